// The Python module: checks shapes, releases the GIL, copies nothing.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "bind.h"
#include "cpu.h"
#include "dispatch.h"
#include "index/quantize.h"

namespace nb = nanobind;

namespace {

template <typename T>
using Vector = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Matrix = nb::ndarray<const T, nb::ndim<2>, nb::device::cpu>;
template <typename T>
using Out = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

const sm::Kernels& kernels_of(const char* isa) {
  const sm::Kernels* kernels = sm::find_kernels(isa);
  if (kernels == nullptr) throw nb::value_error("no kernels of that name on this machine");
  return *kernels;
}

void require(bool holds, const char* message) {
  if (!holds) throw nb::value_error(message);
}

template <typename T>
void require_rows(const Matrix<T>& rows) {
  require(rows.shape(1) <= 1 || rows.stride(1) == 1, "the elements of a row must be contiguous");
}

bool aligned(const void* at, std::int64_t to) {
  return reinterpret_cast<std::uintptr_t>(at) % static_cast<std::uintptr_t>(to) == 0;
}

template <typename T>
bool aligned_rows(const Matrix<T>& rows) {
  return rows.shape(0) == 0 || (aligned(rows.data(), sm::kRowAlign) && rows.stride(0) % sm::kRowAlign == 0);
}

template <typename T>
std::int64_t size(const T& array, std::size_t axis = 0) {
  return static_cast<std::int64_t>(array.shape(axis));
}

// Row r of `rows`, for kernels that take rows from anywhere.
template <typename T>
std::vector<const T*> pointers(const Matrix<T>& rows) {
  std::vector<const T*> all(rows.shape(0));
  for (std::size_t r = 0; r < all.size(); ++r) all[r] = rows.data() + static_cast<std::int64_t>(r) * rows.stride(0);
  return all;
}

nb::dict features() {
  const sm::CpuFeatures cpu = sm::detect_cpu();
  nb::dict found;
  found["avx2"] = cpu.avx2;
  found["fma"] = cpu.fma;
  found["avxvnni"] = cpu.avxvnni;
  found["avx512vnni"] = cpu.avx512vnni;
  found["avx512vpopcntdq"] = cpu.avx512vpopcntdq;
  found["neon"] = cpu.neon;
  found["dotprod"] = cpu.dotprod;
  found["i8mm"] = cpu.i8mm;
  return found;
}

nb::list isas() {
  nb::list names;
  for (const sm::Kernels& kernels : sm::available_kernels()) names.append(nb::str(kernels.isa));
  return names;
}

nb::object isa() {
  const sm::Kernels* chosen = sm::chosen_kernels();
  return chosen != nullptr ? nb::object(nb::str(chosen->isa)) : nb::none();
}

void dot_i8(Vector<std::int8_t> query, Matrix<std::int8_t> rows, Out<std::int32_t> out, const char* isa) {
  const sm::Kernels& kernels = kernels_of(isa);
  const std::int64_t n_dims = size(rows, 1);
  require(size(query) == n_dims && size(out) == size(rows), "shapes do not fit: query [d], rows [n, d], out [n]");
  require(n_dims <= sm::kMaxDims, "too many dimensions for exact int32 sums");
  require_rows(rows);
  const sm::DotI8Args args{query.data(), rows.data(), size(rows), n_dims, rows.stride(0), out.data()};
  nb::gil_scoped_release released;
  kernels.dot_i8(args);
}

std::uint64_t scan_u8(Vector<std::int8_t> query, Matrix<std::uint8_t> page, std::uint64_t wanted,
                      std::int32_t threshold, Out<std::int32_t> scores, const char* isa) {
  const sm::Kernels& kernels = kernels_of(isa);
  const std::int64_t stride = size(page, 1);
  require(size(page) == sm::kPageRows && size(query) == stride && size(scores) == sm::kPageRows,
          "shapes do not fit: query [d], page [64, d], scores [64]");
  require(stride > 0 && stride % sm::kRowAlign == 0 && stride <= sm::kMaxStride,
          "a row of a page takes a multiple of 64 bytes, at most 4096");
  require_rows(page);
  require(page.stride(0) == stride, "the rows of a page must be contiguous");
  require(aligned(page.data(), sm::kRowAlign) && aligned(query.data(), sm::kRowAlign),
          "query and page must be aligned to 64 bytes");
  std::int32_t sum = 0;
  for (std::int64_t d = 0; d < stride; ++d) sum += query.data()[d];
  const sm::ScanU8Args args{page.data(), query.data(), stride, 128 * sum, wanted, threshold, nullptr, scores.data()};
  nb::gil_scoped_release released;
  return kernels.scan_u8(args);
}

std::uint64_t hamming_b1(Vector<std::uint8_t> query, Matrix<std::uint8_t> page, std::uint64_t wanted,
                         std::int32_t threshold, Out<std::int32_t> distances, const char* isa) {
  const sm::Kernels& kernels = kernels_of(isa);
  const std::int64_t n_bytes = size(page, 1);
  require(size(page) == sm::kPageRows && size(query) == n_bytes && size(distances) == sm::kPageRows,
          "shapes do not fit: query [b], page [64, b], distances [64]");
  require(n_bytes > 0 && n_bytes % sm::kBitAlign == 0 && n_bytes <= sm::kMaxStride / 8,
          "a row of signs takes a multiple of 8 bytes, at most 512");
  require_rows(page);
  require(page.stride(0) == n_bytes, "the rows of a page must be contiguous");
  require(aligned(page.data(), sm::kBitAlign) && aligned(query.data(), sm::kBitAlign),
          "query and page must be aligned to 8 bytes");
  const sm::HammingB1Args args{page.data(), query.data(), n_bytes, wanted, threshold, distances.data()};
  nb::gil_scoped_release released;
  return kernels.hamming_b1(args);
}

void rescore_f32(Vector<float> query, Matrix<float> rows, Out<float> out, const char* isa) {
  const sm::Kernels& kernels = kernels_of(isa);
  const std::int64_t n_dims = size(rows, 1);
  require(size(query) == n_dims && size(out) == size(rows), "shapes do not fit: query [d], rows [n, d], out [n]");
  require_rows(rows);
  require(sm::all_finite(query.data(), query.shape(0)), "the query holds a value that is not a finite number");
  const std::vector<const float*> at = pointers(rows);
  const sm::RescoreF32Args args{query.data(), at.data(), size(rows), n_dims, out.data()};
  nb::gil_scoped_release released;
  kernels.rescore_f32(args);
}

void rescore_i16(Vector<std::int16_t> query, Matrix<std::uint8_t> high, Matrix<std::int8_t> low,
                 Out<std::int64_t> out, const char* isa) {
  constexpr int kMost = sm::kLowSteps * 127 + 127;
  const sm::Kernels& kernels = kernels_of(isa);
  const std::int64_t stride = size(query);
  require(size(high, 1) == stride && size(low, 1) == stride && size(high) == size(low) && size(out) == size(high),
          "shapes do not fit: query [d], high and low [n, d], out [n]");
  require(stride > 0 && stride % sm::kRowAlign == 0 && stride <= sm::kMaxStride,
          "a row of a plane takes a multiple of 64 bytes, at most 4096");
  require_rows(high);
  require_rows(low);
  require(aligned(query.data(), sm::kRowAlign) && aligned_rows(high) && aligned_rows(low),
          "query and rows must be aligned to 64 bytes");
  for (std::int64_t d = 0; d < stride; ++d) {
    require(query.data()[d] >= -kMost && query.data()[d] <= kMost, "the query exceeds 16-bit fixed point");
  }
  const std::vector<const std::uint8_t*> high_at = pointers(high);
  const std::vector<const std::int8_t*> low_at = pointers(low);
  const sm::RescoreI16Args args{query.data(), high_at.data(), low_at.data(), size(high), stride, out.data()};
  nb::gil_scoped_release released;
  kernels.rescore_i16(args);
}

// Packs begin with a tag of `n_tag` bytes; one whose tag is not the query's, or that is no whole number of rows, counts
// as empty.
void maxsim_i8(nb::bytes query, nb::sequence packs, std::int64_t n_tag,
               nb::ndarray<std::int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu> out, const char* isa) {
  const sm::Kernels& kernels = kernels_of(isa);
  const auto length = static_cast<std::int64_t>(query.size());
  require(n_tag >= 0 && length >= n_tag && (length - n_tag) % sm::kTokenDims == 0, "the query is no pack of tokens");
  const std::int64_t n_query = (length - n_tag) / sm::kTokenDims;
  const nb::tuple held(packs);  // so that all stay where they are while other threads run
  require(size(out) == static_cast<std::int64_t>(held.size()) && size(out, 1) == n_query,
          "shapes do not fit: m query tokens, n packs, out [n, m]");
  std::vector<const std::int8_t*> texts;
  std::vector<std::int64_t> n_rows;
  for (const nb::handle item : held) {
    if (!nb::isinstance<nb::bytes>(item)) throw nb::type_error("packs must be bytes");
    const auto pack = nb::borrow<nb::bytes>(item);
    const std::int64_t rest = static_cast<std::int64_t>(pack.size()) - n_tag;
    const bool fits = rest >= 0 && rest % sm::kTokenDims == 0 &&
                      std::memcmp(pack.data(), query.data(), static_cast<std::size_t>(n_tag)) == 0;
    texts.push_back(fits ? static_cast<const std::int8_t*>(pack.data()) + n_tag : nullptr);
    n_rows.push_back(fits ? rest / sm::kTokenDims : 0);
  }
  const sm::MaxSimArgs args{static_cast<const std::int8_t*>(query.data()) + n_tag, n_query, texts.data(),
                            n_rows.data(), size(out), out.data()};
  nb::gil_scoped_release released;
  kernels.maxsim_i8(args);
}

}  // namespace

NB_MODULE(_native, m) {
  using nb::arg;
  // A process may end while a thread still holds an index; that is nothing to tell its user.
  nb::set_leak_warnings(false);
  sm::chosen_kernels();
  m.def("features", &features, "Instruction sets of this CPU, by name.");
  m.def("isas", &isas, "Kernels that run here, best first.");
  m.def("isa", &isa, "The kernels chosen at load; None if SECONDME_ISA names none that run here.");
  m.def("dot_i8", &dot_i8, arg("query").noconvert(), arg("rows").noconvert(), arg("out").noconvert(), arg("isa"),
        "Write the int8 dot products of query [d] with rows [n, d] to out [n].");
  m.def("scan_u8", &scan_u8, arg("query").noconvert(), arg("page").noconvert(), arg("wanted"), arg("threshold"),
        arg("scores").noconvert(), arg("isa"), "Score the wanted rows of a page; a bit for each above the threshold.");
  m.def("hamming_b1", &hamming_b1, arg("query").noconvert(), arg("page").noconvert(), arg("wanted"), arg("threshold"),
        arg("distances").noconvert(), arg("isa"), "Count differing bits; a bit for each wanted row below the threshold.");
  m.def("rescore_f32", &rescore_f32, arg("query").noconvert(), arg("rows").noconvert(), arg("out").noconvert(),
        arg("isa"), "Write the float32 dot products of query [d] with rows [n, d] to out [n].");
  m.def("rescore_i16", &rescore_i16, arg("query").noconvert(), arg("high").noconvert(), arg("low").noconvert(),
        arg("out").noconvert(), arg("isa"), "Write the exact products of query [d] with 254 * high + low to out [n].");
  m.def("maxsim_i8", &maxsim_i8, arg("query"), arg("packs"), arg("n_tag"), arg("out").noconvert(), arg("isa"),
        "Write the best product of each of m query tokens with a row of each of n packs to out [n, m].");
  sm::bind_index(m);
  sm::bind_kv(m);
  sm::bind_timing(m);
}

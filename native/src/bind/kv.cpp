// The kernels of cartridges: checks what memory safety needs, releases the GIL, copies nothing but coded streams.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "bind.h"
#include "dispatch.h"
#include "kv/cells.h"
#include "kv/levels.h"
#include "kv/rows.h"
#include "kv/stream.h"

namespace nb = nanobind;

namespace sm {

namespace {

using Data = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Vector = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Matrix = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using OutVector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using OutMatrix = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Strided = nb::ndarray<T, nb::ndim<2>, nb::device::cpu>;  // rows anywhere, elements of a row adjacent
using Coded = std::vector<std::uint8_t>;

const Kernels& kernels_of(const char* isa) {
  const Kernels* kernels = find_kernels(isa);
  if (kernels == nullptr) throw nb::value_error("no kernels of that name on this machine");
  return *kernels;
}

void require(bool holds, const char* message = "shapes do not fit") {
  if (!holds) throw nb::value_error(message);
}

template <typename T>
void require_rows(const Strided<T>& rows) {
  require(rows.shape(1) <= 1 || rows.stride(1) == 1, "the elements of a row must be adjacent");
}

nb::bytes bytes_of(const Coded& coded) { return nb::bytes(coded.data(), coded.size()); }

nb::bytes encode_q8(Matrix<std::int8_t> q) {
  Coded coded;
  {
    nb::gil_scoped_release released;
    coded = kv::encode_q8(q.data(), q.shape(0), q.shape(1));
  }
  return bytes_of(coded);
}

void decode_q8(Data data, OutMatrix<std::int8_t> out, const char* isa) {
  const Kernels& kernels = kernels_of(isa);
  nb::gil_scoped_release released;
  kv::decode_q8(data.data(), data.size(), out.shape(0), out.shape(1), kernels.rans_run, out.data());
}

nb::bytes encode_scales(Matrix<std::uint16_t> words) {
  Coded coded;
  {
    nb::gil_scoped_release released;
    coded = kv::encode_scales(words.data(), words.shape(0), words.shape(1));
  }
  return bytes_of(coded);
}

void decode_scales(Data data, OutMatrix<std::uint16_t> out, const char* isa) {
  const Kernels& kernels = kernels_of(isa);
  nb::gil_scoped_release released;
  kv::decode_scales(data.data(), data.size(), out.shape(0), out.shape(1), kernels.rans_run, out.data());
}

kv::Layout layout_of(const Matrix<std::uint8_t>& table_of, const Vector<std::uint8_t>& classes) {
  const kv::Layout layout{classes.data(), classes.shape(0), table_of.data(), table_of.shape(0), table_of.shape(1)};
  for (std::size_t r = 0; r < layout.n_rows; ++r) require(layout.classes[r] < layout.n_classes, "no such class");
  for (std::size_t i = 0; i < table_of.size(); ++i) require(layout.table_of[i] < kv::kTables, "no such table");
  return layout;
}

nb::bytes encode_rows(Matrix<std::int16_t> z, Matrix<std::uint8_t> table_of, Vector<std::uint8_t> classes) {
  const kv::Layout layout = layout_of(table_of, classes);
  require(z.shape(0) == layout.n_rows && z.shape(1) == layout.n_components);
  Coded coded;
  {
    nb::gil_scoped_release released;
    coded = kv::encode_rows(z.data(), layout);
  }
  return bytes_of(coded);
}

void decode_rows(Data data, Matrix<std::uint8_t> table_of, Vector<std::uint8_t> classes, OutMatrix<std::int16_t> out,
                 const char* isa) {
  const Kernels& kernels = kernels_of(isa);
  const kv::Layout layout = layout_of(table_of, classes);
  require(out.shape(0) == layout.n_rows && out.shape(1) == layout.n_components);
  nb::gil_scoped_release released;
  kv::decode_rows(data.data(), data.size(), layout, kernels.rans_run, out.data());
}

void decode_head(Data data, Matrix<std::uint8_t> table_of, Vector<std::uint8_t> classes, Vector<float> steps,
                 Matrix<float> centroids, Matrix<float> matrix, Vector<float> mean, OutMatrix<float> out,
                 const char* isa) {
  const Kernels& kernels = kernels_of(isa);
  const kv::Layout layout = layout_of(table_of, classes);
  require(steps.shape(0) == layout.n_classes && matrix.shape(0) == layout.n_components &&
          centroids.shape(0) == layout.n_components && centroids.shape(1) > 0 && mean.shape(0) == matrix.shape(1) &&
          out.shape(0) == layout.n_rows && out.shape(1) == matrix.shape(1));
  const kv::Dequantizer dequantizer{steps.data(),  centroids.data(), centroids.shape(1),
                                    matrix.data(), mean.data(),      matrix.shape(1)};
  nb::gil_scoped_release released;
  kv::decode_head(data.data(), data.size(), layout, dequantizer,
                  {kernels.rans_run, kernels.lookup_f32, kernels.synthesis_f32}, out.data());
}

void add_told(Matrix<float> rows, Vector<float> mean, Matrix<float> matrix, OutMatrix<float> out, const char* isa) {
  const Kernels& kernels = kernels_of(isa);
  require(mean.shape(0) == rows.shape(1) && matrix.shape(0) == rows.shape(1) && out.shape(0) == rows.shape(0) &&
          out.shape(1) == matrix.shape(1));
  nb::gil_scoped_release released;
  kv::add_told({rows.data(), rows.shape(0), mean.data(), matrix.data(), rows.shape(1), matrix.shape(1)},
               kernels.synthesis_f32, out.data());
}

// Which row of angles row r of n_rows turns by: `heads` rows share one, or all do.
kv::Turn turn_of(const Matrix<float>& cos, const Matrix<float>& sin, std::size_t n_rows, std::size_t n_dims,
                 std::size_t heads, bool halves) {
  require(cos.shape(0) == sin.shape(0) && cos.shape(1) == sin.shape(1) && heads > 0 && 2 * cos.shape(1) <= n_dims);
  require(cos.shape(0) == 1 || cos.shape(0) * heads == n_rows);
  return {cos.data(), sin.data(), cos.shape(1), cos.shape(0) == 1 ? 0 : cos.shape(1), halves};
}

void rotate_f32(Strided<const float> x, Matrix<float> cos, Matrix<float> sin, bool halves, std::size_t heads,
                OutMatrix<float> out) {
  const std::size_t n_dims = x.shape(1);
  const kv::Turn turn = turn_of(cos, sin, x.shape(0), n_dims, heads, halves);
  require(out.shape(0) == x.shape(0) && out.shape(1) == n_dims);
  require_rows(x);
  nb::gil_scoped_release released;
  for (std::size_t r = 0; r < x.shape(0); ++r) {
    kv::rotate(x.data() + static_cast<std::int64_t>(r) * x.stride(0), turn, r / heads, n_dims,
               out.data() + r * n_dims);
  }
}

void rotate_f16(Matrix<std::uint16_t> x, Matrix<float> cos, Matrix<float> sin, bool halves, std::size_t heads,
                OutMatrix<std::uint16_t> out, const char* isa) {
  const Kernels& kernels = kernels_of(isa);
  const std::size_t n_dims = x.shape(1);
  const kv::Turn turn = turn_of(cos, sin, x.shape(0), n_dims, heads, halves);
  require(out.shape(0) == x.shape(0) && out.shape(1) == n_dims);
  std::vector<float> row(n_dims), turned(n_dims);
  nb::gil_scoped_release released;
  for (std::size_t r = 0; r < x.shape(0); ++r) {
    kernels.widen_f16(x.data() + r * n_dims, row.data(), n_dims);
    kv::rotate(row.data(), turn, r / heads, n_dims, turned.data());
    kernels.narrow_f32(turned.data(), out.data() + r * n_dims, n_dims);
  }
}

void place_keys(Strided<const float> rows, Matrix<float> cos, Matrix<float> sin, Vector<std::int32_t> which,
                bool halves, Strided<std::uint16_t> out, const char* isa) {
  const Kernels& kernels = kernels_of(isa);
  const std::size_t n_dims = rows.shape(1), n_turns = cos.shape(0), n_pairs = cos.shape(1);
  require(sin.shape(0) == n_turns && sin.shape(1) == n_pairs && 2 * n_pairs <= n_dims);
  require(out.shape(0) == rows.shape(0) && out.shape(1) == n_dims && which.shape(0) == rows.shape(0));
  require_rows(rows);
  require_rows(out);
  for (std::size_t r = 0; r < which.size(); ++r) {
    require(which.data()[r] >= 0 && static_cast<std::size_t>(which.data()[r]) < n_turns, "there is no such angle");
  }
  const kv::Turn turn{cos.data(), sin.data(), n_pairs, n_pairs, halves};
  std::vector<float> row(n_dims);
  nb::gil_scoped_release released;
  for (std::size_t r = 0; r < rows.shape(0); ++r) {
    const auto at = static_cast<std::int64_t>(r);
    kv::rotate(rows.data() + at * rows.stride(0), turn, static_cast<std::size_t>(which.data()[r]), n_dims, row.data());
    kernels.narrow_f32(row.data(), out.data() + at * out.stride(0), n_dims);
  }
}

void place_values(Strided<const float> rows, Strided<std::uint16_t> out, const char* isa) {
  const Kernels& kernels = kernels_of(isa);
  require(out.shape(0) == rows.shape(0) && out.shape(1) == rows.shape(1));
  require_rows(rows);
  require_rows(out);
  nb::gil_scoped_release released;
  for (std::size_t r = 0; r < rows.shape(0); ++r) {
    const auto at = static_cast<std::int64_t>(r);
    kernels.narrow_f32(rows.data() + at * rows.stride(0), out.data() + at * out.stride(0), rows.shape(1));
  }
}

// Whether no float16 is infinite or NaN, by their bits.
bool finite_f16(Vector<std::uint16_t> words) {
  const std::uint16_t* const at = words.data();
  const std::size_t n = words.size();
  nb::gil_scoped_release released;
  std::int16_t most = 0;
  for (std::size_t i = 0; i < n; ++i) most = std::max(most, static_cast<std::int16_t>(at[i] & 0x7FFF));
  return most < 0x7C00;
}

void columns_16(Matrix<std::uint16_t> rows, OutMatrix<std::uint16_t> out) {
  require(out.shape(0) == rows.shape(1) && out.shape(1) == rows.shape(0));
  nb::gil_scoped_release released;
  kv::columns16(rows.data(), rows.shape(0), rows.shape(1), out.data());
}

void gather_rows(Strided<const std::uint16_t> cells, Vector<std::int32_t> tokens, OutMatrix<float> out,
                 const char* isa) {
  const Kernels& kernels = kernels_of(isa);
  require(out.shape(0) == tokens.shape(0) && out.shape(1) == cells.shape(1));
  require_rows(cells);
  const auto n_cells = static_cast<std::int64_t>(cells.shape(0));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    require(tokens.data()[i] >= 0 && tokens.data()[i] < n_cells, "a token is not among the cells");
  }
  nb::gil_scoped_release released;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    kernels.widen_f16(cells.data() + tokens.data()[i] * cells.stride(0), out.data() + i * out.shape(1), out.shape(1));
  }
}

void hadamard_f32(Vector<float> x, std::size_t size, OutVector<float> out) {
  require(size >= 2 && size <= kv::kMostHadamard && (size & (size - 1)) == 0 && x.size() % size == 0 &&
          out.size() == x.size());
  nb::gil_scoped_release released;
  kv::hadamard(x.data(), x.size(), size, out.data());
}

void quantize_q8_0(Vector<float> x, OutVector<std::int8_t> q, OutVector<std::uint16_t> scales, const char* isa) {
  const Kernels& kernels = kernels_of(isa);
  require(x.size() % kv::kBlock == 0 && q.size() == x.size() && scales.size() == x.size() / kv::kBlock);
  nb::gil_scoped_release released;
  kv::quantize_q8_0(x.data(), scales.size(), kernels.narrow_f32, q.data(), scales.data());
}

void dequantize_q8_0(Vector<std::int8_t> q, Vector<std::uint16_t> scales, OutVector<float> out, const char* isa) {
  const Kernels& kernels = kernels_of(isa);
  require(q.size() % kv::kBlock == 0 && out.size() == q.size() && scales.size() == q.size() / kv::kBlock);
  nb::gil_scoped_release released;
  kv::dequantize_q8_0(q.data(), scales.data(), scales.size(), kernels.widen_f16, out.data());
}

// Slots of every table, for tests: 32 symbols of each of the coefficients' tables, 256 of each level table.
void coefficient_slots(OutMatrix<std::uint16_t> out) {
  require(out.shape(0) == kv::kTables && out.shape(1) == kv::kCoefficientEscape + 1);
  std::uint16_t* at = out.data();
  for (int number = 0; number < kv::kTables; ++number) {
    for (std::size_t s = 0; s <= kv::kCoefficientEscape; ++s) {
      *at++ = number == 0 ? std::uint16_t{0} : kv::coefficients(number).slots[s];
    }
  }
}

void level_slots(int centre, bool clipped, OutMatrix<std::uint16_t> out) {
  require(out.shape(0) == 256 && out.shape(1) == 256 && centre >= -127 && centre <= 127);
  for (int number = 0; number < 256; ++number) {
    const kv::Slots slots = kv::level_slots(number, centre, clipped);
    std::copy(slots.begin(), slots.end(), out.data() + 256 * number);
  }
}

}  // namespace

void bind_kv(nb::module_& m) {
  using nb::arg;
  const auto in = [](const char* name) { return arg(name).noconvert(); };
  m.def("encode_q8", &encode_q8, in("q"), "Code int8 [n, channels].");
  m.def("decode_q8", &decode_q8, in("data"), in("out"), arg("isa"), "Decode int8 [n, channels] to out.");
  m.def("encode_scales", &encode_scales, in("words"), "Code the bits of float16 [n, blocks].");
  m.def("decode_scales", &decode_scales, in("data"), in("out"), arg("isa"), "Decode bits of float16 to out.");
  m.def("encode_rows", &encode_rows, in("z"), in("table_of"), in("classes"), "Code int16 [n, components].");
  m.def("decode_rows", &decode_rows, in("data"), in("table_of"), in("classes"), in("out"), arg("isa"),
        "Decode int16 [n, components] to out.");
  m.def("decode_head", &decode_head, in("data"), in("table_of"), in("classes"), in("steps"), in("centroids"),
        in("matrix"), in("mean"), in("out"), arg("isa"), "Decode, dequantize and transform to out [n, dims].");
  m.def("add_told", &add_told, in("rows"), in("mean"), in("matrix"), in("out"), arg("isa"),
        "out [n, dims] += (rows - mean) @ matrix.");
  m.def("rotate_f32", &rotate_f32, in("x"), in("cos"), in("sin"), arg("halves"), arg("heads"), in("out"),
        "Apply RoPE to rows [n * heads, dims].");
  m.def("rotate_f16", &rotate_f16, in("x"), in("cos"), in("sin"), arg("halves"), arg("heads"), in("out"), arg("isa"),
        "The same for the bits of float16.");
  m.def("place_keys", &place_keys, in("rows"), in("cos"), in("sin"), in("which"), arg("halves"), in("out"),
        arg("isa"), "Apply RoPE to rows [n, dims], row r by angles which[r], and write bits of float16 anywhere.");
  m.def("place_values", &place_values, in("rows"), in("out"), arg("isa"), "Write bits of float16 to rows anywhere.");
  m.def("finite_f16", &finite_f16, in("words"), "Whether bits of float16 [n] are all finite.");
  m.def("columns_16", &columns_16, in("rows"), in("out"), "Write rows [n, dims] as columns [dims, n].");
  m.def("gather_rows", &gather_rows, in("cells"), in("tokens"), in("out"), arg("isa"),
        "Widen the rows `tokens` of cells [n, dims] to out.");
  m.def("hadamard_f32", &hadamard_f32, in("x"), arg("size"), in("out"), "Transform every `size` elements.");
  m.def("quantize_q8_0", &quantize_q8_0, in("x"), in("q"), in("scales"), arg("isa"), "Round to blocks of 32.");
  m.def("dequantize_q8_0", &dequantize_q8_0, in("q"), in("scales"), in("out"), arg("isa"), "Blocks to float32.");
  m.def("coefficient_slots", &coefficient_slots, in("out"), "Slots of all tables of coefficients, [241, 32].");
  m.def("level_slots", &level_slots, arg("centre"), arg("clipped"), in("out"), "Slots of level tables, [256, 256].");
}

}  // namespace sm

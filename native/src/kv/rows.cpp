#include "kv/rows.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "kv/stream.h"
#include "kv/tables.h"

namespace sm::kv {

namespace {

constexpr int kMostMagnitude = 32767;
constexpr std::size_t kTogether = 48;  // rows that stay in the processor's nearest cache

// Rows by class, in their order: those of class c are rows[first[c]] .. rows[first[c + 1] - 1].
struct ByClass {
  explicit ByClass(const Layout& layout) : rows(layout.n_rows), first(layout.n_classes + 1) {
    for (std::size_t r = 0; r < layout.n_rows; ++r) ++first[layout.classes[r] + std::size_t{1}];
    for (std::size_t c = 0; c < layout.n_classes; ++c) first[c + 1] += first[c];
    std::vector<std::size_t> next(first.begin(), first.end() - 1);
    for (std::size_t r = 0; r < layout.n_rows; ++r) rows[next[layout.classes[r]]++] = r;
  }
  std::vector<std::size_t> rows;
  std::vector<std::size_t> first;
};

// Calls run(rows, n, class, component, table) for each run in the order of the stream.
template <typename Work>
void for_runs(const Layout& layout, const ByClass& by, Work run) {
  for (std::size_t k = 0; k < layout.n_classes; ++k) {
    const std::size_t n = by.first[k + 1] - by.first[k];
    for (std::size_t c = 0; c < layout.n_components && n > 0; ++c) {
      const int table = layout.table_of[k * layout.n_components + c];
      if (table != 0) run(by.rows.data() + by.first[k], n, k, c, table);
    }
  }
}

std::uint64_t n_coded(const Layout& layout, const ByClass& by) {
  std::uint64_t found = 0;
  for_runs(layout, by, [&](const std::size_t*, std::size_t n, std::size_t, std::size_t, int) { found += n; });
  return found;
}

int take_escape(BitReader& escapes, const Coefficients& table) {
  const bool negative = escapes.take(1) != 0;
  const std::uint32_t magnitude = escapes.take_golomb(table.order) + static_cast<std::uint32_t>(table.reach) + 1;
  if (magnitude > kMostMagnitude) throw Damaged();
  return negative ? -static_cast<int>(magnitude) : static_cast<int>(magnitude);
}

// Calls put(i, coefficient) for each escape among n symbols.
template <typename Put>
void escaped(const std::uint8_t* symbols, std::size_t n, BitReader& escapes, const Coefficients& table, Put put) {
  const std::uint8_t* const end = symbols + n;
  for (const std::uint8_t* at = symbols; at != end; ++at) {  // few: what searches memory is much the fastest
    at = static_cast<const std::uint8_t*>(std::memchr(at, kCoefficientEscape, static_cast<std::size_t>(end - at)));
    if (at == nullptr) return;
    put(static_cast<std::size_t>(at - symbols), take_escape(escapes, table));
  }
}

// Where a coefficient is put, in steps.
struct Places {
  const float* centroids;
  std::size_t n;

  float of(int z) const noexcept {
    if (z == 0) return 0;
    const int magnitude = z < 0 ? -z : z;
    const auto m = static_cast<int>(n);
    const float place = magnitude <= m ? centroids[magnitude - 1]
                                       : static_cast<float>(magnitude) + (centroids[n - 1] - static_cast<float>(m));
    return z < 0 ? -place : place;
  }
};

}  // namespace

std::vector<std::uint8_t> encode_rows(const std::int16_t* z, const Layout& layout) {
  const ByClass by(layout);
  const std::size_t width = layout.n_components;
  for (std::size_t i = 0; i < layout.n_rows * width; ++i) {
    if (z[i] != 0 && layout.table_of[layout.classes[i / width] * width + i % width] == 0) {
      throw std::invalid_argument("a coefficient is not 0 where its table says that it always is");
    }
  }
  std::vector<std::uint8_t> symbols(static_cast<std::size_t>(n_coded(layout, by)));
  std::vector<Run> runs;
  BitWriter escapes;
  std::size_t done = 0;
  for_runs(layout, by, [&](const std::size_t* rows, std::size_t n, std::size_t, std::size_t c, int number) {
    const Coefficients& table = coefficients(number);
    std::uint8_t* const at = symbols.data() + done;
    for (std::size_t i = 0; i < n; ++i) {
      const int value = z[rows[i] * width + c], magnitude = value < 0 ? -value : value;
      at[i] = static_cast<std::uint8_t>(magnitude <= table.reach ? value + kMostCoefficient : kCoefficientEscape);
      if (magnitude <= table.reach) continue;
      escapes.put(value < 0, 1);
      escapes.put_golomb(static_cast<std::uint32_t>(magnitude - table.reach - 1), table.order);
    }
    runs.push_back({&table.slots, at, n});
    done += n;
  });
  std::vector<std::uint8_t> out;
  pack(runs, escapes.finish(), out);
  return out;
}

void decode_rows(const std::uint8_t* data, std::size_t n_bytes, const Layout& layout, RansRun kernel,
                 std::int16_t* out) {
  const ByClass by(layout);
  Unpacker stream(data, n_bytes, n_coded(layout, by), kernel);
  const std::size_t width = layout.n_components;
  std::fill_n(out, layout.n_rows * width, std::int16_t{0});
  std::vector<std::uint8_t> symbols(layout.n_rows);
  for_runs(layout, by, [&](const std::size_t* rows, std::size_t n, std::size_t, std::size_t c, int number) {
    const Coefficients& table = coefficients(number);
    stream.run(table.decode, symbols.data(), n);
    for (std::size_t i = 0; i < n; ++i) {
      out[rows[i] * width + c] = static_cast<std::int16_t>(symbols[i] - kMostCoefficient);
    }
    escaped(symbols.data(), n, stream.escapes, table,
            [&](std::size_t i, int value) { out[rows[i] * width + c] = static_cast<std::int16_t>(value); });
  });
  stream.finish();
}

void decode_head(const std::uint8_t* data, std::size_t n_bytes, const Layout& layout, const Dequantizer& dequantizer,
                 const HeadKernels& kernels, float* out) {
  const ByClass by(layout);
  Unpacker stream(data, n_bytes, n_coded(layout, by), kernels.rans_run);
  std::size_t most = 0;
  for (std::size_t k = 0; k < layout.n_classes; ++k) most = std::max(most, by.first[k + 1] - by.first[k]);
  std::vector<std::uint8_t> symbols(most);
  std::vector<float> y(most * layout.n_components);
  std::vector<const float*> matrix;
  std::vector<float*> rows_out;
  std::array<float, kMostSymbols> value{};
  for (std::size_t k = 0; k < layout.n_classes; ++k) {
    const std::size_t n = by.first[k + 1] - by.first[k];
    const float step = dequantizer.steps[k];
    matrix.clear();
    for (std::size_t c = 0; c < layout.n_components && n > 0; ++c) {
      const int number = layout.table_of[k * layout.n_components + c];
      if (number == 0) continue;
      const Coefficients& table = coefficients(number);
      stream.run(table.decode, symbols.data(), n);
      const Places places{dequantizer.centroids + c * dequantizer.n_centroids, dequantizer.n_centroids};
      for (int z = -table.reach; z <= table.reach; ++z) {  // no other symbol has a slot, but for the escape
        value[static_cast<std::size_t>(z + kMostCoefficient)] = places.of(z) * step;
      }
      float* const at = y.data() + matrix.size() * most;
      kernels.lookup(value.data(), symbols.data(), n, at);
      escaped(symbols.data(), n, stream.escapes, table, [&](std::size_t i, int z) { at[i] = places.of(z) * step; });
      matrix.push_back(dequantizer.matrix + c * dequantizer.n_dims);
    }
    rows_out.clear();
    for (std::size_t i = by.first[k]; i < by.first[k + 1]; ++i) {
      rows_out.push_back(out + by.rows[i] * dequantizer.n_dims);
    }
    kernels.synthesis({y.data(), most, 1, matrix.data(), matrix.size(), dequantizer.mean, rows_out.data(), n,
                       dequantizer.n_dims});
  }
  stream.finish();
}

void add_told(const Told& told, Synthesis synthesis, float* out) {
  const std::size_t width = told.n_told;
  std::vector<float> from(kTogether * width);
  std::vector<const float*> matrix(width);
  std::vector<float*> rows_out(kTogether);
  for (std::size_t c = 0; c < width; ++c) matrix[c] = told.matrix + c * told.n_dims;
  for (std::size_t first = 0; first < told.n_rows; first += kTogether) {
    const std::size_t n = std::min(kTogether, told.n_rows - first);
    for (std::size_t r = 0; r < n; ++r) {
      const float* const row = told.rows + (first + r) * width;
      for (std::size_t c = 0; c < width; ++c) from[r * width + c] = row[c] - told.mean[c];
      rows_out[r] = out + (first + r) * told.n_dims;
    }
    synthesis({from.data(), 1, width, matrix.data(), width, nullptr, rows_out.data(), n, told.n_dims});
  }
}

}  // namespace sm::kv

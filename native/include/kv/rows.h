// T1 to T3: quantized coefficients of rows with classes, and rows from them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kv/kernels.h"

namespace sm::kv {

// Which table codes component c of row r: table_of[classes[r] * n_components + c], 0 for none. All must be in range.
struct Layout {
  const std::uint8_t* classes;  // n_rows
  std::size_t n_rows;
  const std::uint8_t* table_of;  // n_classes rows of n_components
  std::size_t n_classes;
  std::size_t n_components;
};

// z: n_rows rows of n_components. Throws std::invalid_argument where a coefficient is not 0 though its table is 0.
std::vector<std::uint8_t> encode_rows(const std::int16_t* z, const Layout& layout);

// Throws Damaged, as the next; `out` holds anything then.
void decode_rows(const std::uint8_t* data, std::size_t n_bytes, const Layout& layout, RansRun kernel,
                 std::int16_t* out);

struct Dequantizer {
  const float* steps;      // n_classes
  const float* centroids;  // n_components rows of n_centroids
  std::size_t n_centroids;
  const float* matrix;  // n_components rows of n_dims
  const float* mean;    // n_dims
  std::size_t n_dims;
};

struct HeadKernels {
  RansRun rans_run;
  Lookup lookup;
  Synthesis synthesis;
};

// out: n_rows rows of n_dims.
void decode_head(const std::uint8_t* data, std::size_t n_bytes, const Layout& layout, const Dequantizer& dequantizer,
                 const HeadKernels& kernels, float* out);

// What some rows, such as keys, tell of others.
struct Told {
  const float* rows;  // n_rows rows of n_told
  std::size_t n_rows;
  const float* mean;    // n_told
  const float* matrix;  // n_told rows of n_dims
  std::size_t n_told;
  std::size_t n_dims;
};

// out += (rows - mean) * matrix: n_rows rows of n_dims.
void add_told(const Told& told, Synthesis synthesis, float* out);

}  // namespace sm::kv

// Keys and values between rows and a runtime's cells: RoPE, the Hadamard transform, blocks of q8_0. All of it is equal
// bit for bit on every machine: each product and sum is rounded to float32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kv/kernels.h"

namespace sm::kv {

constexpr std::size_t kBlock = 32;          // elements of a q8_0 block
constexpr std::size_t kMostHadamard = 4096;

// Cosines and sines of n_pairs pairs a position, rows of n_pairs; one row for all where `step` is 0, else n_pairs.
struct Turn {
  const float* cos;
  const float* sin;
  std::size_t n_pairs;
  std::size_t step;
  bool halves;  // pairs (i, i + n_pairs), else (2i, 2i + 1)
};

// x -> out, n_dims elements, which may be the same memory; `row` of the turn.
void rotate(const float* x, const Turn& turn, std::size_t row, std::size_t n_dims, float* out) noexcept;

// Every `size` elements, a power of two up to kMostHadamard, times the orthonormal Hadamard matrix; n a multiple of it.
void hadamard(const float* x, std::size_t n, std::size_t size, float* out) noexcept;

// n_rows rows of n_dims elements of 16 bits, to n_dims rows of n_rows.
void columns16(const std::uint16_t* rows, std::size_t n_rows, std::size_t n_dims, std::uint16_t* out) noexcept;

// n blocks; `scales` are bits of float16.
void quantize_q8_0(const float* x, std::size_t n_blocks, Narrow narrow, std::int8_t* q, std::uint16_t* scales) noexcept;
void dequantize_q8_0(const std::int8_t* q, const std::uint16_t* scales, std::size_t n_blocks, Widen widen,
                     float* out) noexcept;

}  // namespace sm::kv

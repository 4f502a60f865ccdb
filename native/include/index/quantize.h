// float32 to the fixed-point planes of the index; the same numbers as secondme/memory/vectors.py, bit for bit.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace sm {

// Steps of the high plane per 1.0: a component of a unit vector stays below eight standard deviations, 8 / sqrt(n_dims).
inline float high_steps(std::int64_t n_dims) noexcept {
  const double reach = std::fmin(1.0, 8.0 / std::sqrt(static_cast<double>(n_dims)));
  return static_cast<float>(127.0 / reach);
}

// Both planes of a vector; true if every element is within half a low step of what they hold.
bool quantize(const float* x, std::int64_t n_dims, float steps, std::int8_t* high, std::int8_t* low) noexcept;

bool all_finite(const float* x, std::size_t n) noexcept;

}  // namespace sm

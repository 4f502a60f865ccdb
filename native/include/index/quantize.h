// float32 to the fixed-point planes of the index; the same numbers as secondme/memory/vectors.py, bit for bit.
#pragma once

#include <cmath>
#include <cstdint>

#include "rescore/rescore.h"

namespace sm {

// Steps of the high plane per 1.0: a component of a unit vector stays below eight standard deviations, 8 / sqrt(n_dims).
inline float high_steps(std::int64_t n_dims) noexcept {
  const double reach = std::fmin(1.0, 8.0 / std::sqrt(static_cast<double>(n_dims)));
  return static_cast<float>(127.0 / reach);
}

struct Quantized {
  std::int8_t high;
  std::int8_t low;
  bool fits;  // high and low together are within half a low step of the value
};

inline Quantized quantize(float x, float steps) noexcept {
  const float y = x * steps;
  const float high = std::fmin(127.0F, std::fmax(-127.0F, std::nearbyint(y)));
  const float rest = (y - high) * static_cast<float>(kLowSteps);
  const float low = std::fmin(127.0F, std::fmax(-127.0F, std::nearbyint(rest)));
  return {static_cast<std::int8_t>(high), static_cast<std::int8_t>(low), std::fabs(rest - low) <= 0.5F};
}

}  // namespace sm

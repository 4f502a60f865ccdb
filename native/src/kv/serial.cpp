// Portable: the reference of the others, and what runs where none of them does.
#include <cstring>

#include "lane.h"

namespace sm {

namespace {

std::uint32_t bits_of(float x) noexcept {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}

float float_of(std::uint32_t bits) noexcept {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

// IEEE 754 binary16; a subnormal is scaled by a product that is exact.
float widen(std::uint16_t half) noexcept {
  const std::uint32_t sign = (half & 0x8000U) << 16, rest = half & 0x7FFFU;
  if (rest >= 0x7C00) {
    const std::uint32_t payload = (rest & 0x3FFU) << 13;
    return float_of(sign | 0x7F800000U | payload | (payload != 0 ? 0x400000U : 0U));
  }
  if (rest >= 0x400) return float_of(sign | ((rest << 13) + (112U << 23)));
  const float small = static_cast<float>(rest) * 5.9604644775390625e-8F;  // 2^-24
  return float_of(sign | bits_of(small));
}

std::uint16_t narrow(float x) noexcept {
  const std::uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000U, rest = bits & 0x7FFFFFFFU;
  if (rest > 0x7F800000U) return static_cast<std::uint16_t>(sign | 0x7E00U | (rest >> 13 & 0x1FFU));
  if (rest >= 0x47800000U) return static_cast<std::uint16_t>(sign | 0x7C00U);  // 65536 and above
  if (rest >= 0x38800000U) {                                                   // normal: 2^-14 and above
    const std::uint32_t odd = rest >> 13 & 1U;
    return static_cast<std::uint16_t>(sign | ((rest - (112U << 23) + 0xFFFU + odd) >> 13));
  }
  // Adding 0.5 leaves the multiple of 2^-24 in the lowest bits, rounded to even by the hardware.
  const float shifted = float_of(rest) + 0.5F;
  return static_cast<std::uint16_t>(sign | (bits_of(shifted) - 0x3F000000U));
}

}  // namespace

const std::uint8_t* sm_rans_run_serial(const RansRunArgs& args) noexcept { return run_by_words(args); }

void sm_lookup_f32_serial(const float* values, const std::uint8_t* symbols, std::size_t n, float* out) noexcept {
  for (std::size_t i = 0; i < n; ++i) out[i] = values[symbols[i]];
}

void sm_synthesis_f32_serial(const SynthesisArgs& args) noexcept {
  for (std::size_t r = 0; r < args.n_rows; ++r) {
    float* const out = args.out[r];
    if (args.mean != nullptr) std::memcpy(out, args.mean, args.n_dims * sizeof(float));
    for (std::size_t c = 0; c < args.n_components; ++c) {
      const float y = args.y[c * args.y_stride + r * args.y_step];
      const float* const row = args.matrix[c];
      for (std::size_t d = 0; d < args.n_dims; ++d) out[d] += y * row[d];
    }
  }
}

void sm_widen_f16_serial(const std::uint16_t* from, float* to, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i) to[i] = widen(from[i]);
}

void sm_narrow_f32_serial(const float* from, std::uint16_t* to, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i) to[i] = narrow(from[i]);
}

}  // namespace sm

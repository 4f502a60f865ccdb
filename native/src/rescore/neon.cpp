// NEON: float32 by FMA; the two planes of bytes are put together to int16 and multiplied to int32.
#include <arm_neon.h>

#include "rescore/rescore.h"

namespace sm {

namespace {

float dot_f32(const float* query, const float* row, std::int64_t n_dims) noexcept {
  float32x4_t sums[4];  // four hide the latency of FMA
  for (float32x4_t& sum : sums) sum = vdupq_n_f32(0);
  std::int64_t d = 0;
  for (; d + 16 <= n_dims; d += 16) {
    for (int i = 0; i < 4; ++i) sums[i] = vfmaq_f32(sums[i], vld1q_f32(query + d + 4 * i), vld1q_f32(row + d + 4 * i));
  }
  for (; d + 4 <= n_dims; d += 4) sums[0] = vfmaq_f32(sums[0], vld1q_f32(query + d), vld1q_f32(row + d));
  float sum = vaddvq_f32(vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3])));
  for (; d < n_dims; ++d) sum += query[d] * row[d];
  return sum;
}

// Eight elements: pairs of products are below 2^31 by the bounds of the family, and are added in pairs to int64.
inline int64x2_t add_products(int64x2_t sum, const std::int16_t* query, int8x8_t high, int8x8_t low) noexcept {
  const int16x8_t q = vld1q_s16(query);
  const int16x8_t x = vmlaq_n_s16(vmovl_s8(low), vmovl_s8(high), kLowSteps);
  return vpadalq_s32(sum, vmlal_high_s16(vmull_s16(vget_low_s16(x), vget_low_s16(q)), x, q));
}

std::int64_t dot_i16(const RescoreI16Args& args, const std::uint8_t* high, const std::int8_t* low) noexcept {
  const uint8x16_t flip = vdupq_n_u8(0x80);
  int64x2_t even = vdupq_n_s64(0);
  int64x2_t odd = vdupq_n_s64(0);
  for (std::int64_t d = 0; d < args.stride; d += 16) {
    const int8x16_t h = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(high + d), flip));
    const int8x16_t l = vld1q_s8(low + d);
    even = add_products(even, args.query + d, vget_low_s8(h), vget_low_s8(l));
    odd = add_products(odd, args.query + d + 8, vget_high_s8(h), vget_high_s8(l));
  }
  return vaddvq_s64(vaddq_s64(even, odd));
}

}  // namespace

void sm_rescore_f32_neon(const RescoreF32Args& args) noexcept {
  for (std::int64_t r = 0; r < args.n_rows; ++r) args.out[r] = dot_f32(args.query, args.rows[r], args.n_dims);
}

void sm_rescore_i16_neon(const RescoreI16Args& args) noexcept {
  for (std::int64_t r = 0; r < args.n_rows; ++r) args.out[r] = dot_i16(args, args.high[r], args.low[r]);
}

}  // namespace sm

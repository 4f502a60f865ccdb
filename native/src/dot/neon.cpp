// NEON of the arm64 base architecture: widening multiply to int16, pairwise accumulate to int32.
#include <arm_neon.h>

#include "dot/dot.h"

namespace sm {

namespace {

std::int32_t dot(const std::int8_t* query, const std::int8_t* row, std::int64_t n_dims) noexcept {
  int32x4_t low = vdupq_n_s32(0);
  int32x4_t high = vdupq_n_s32(0);  // two accumulators hide the latency of the additions
  std::int64_t d = 0;
  for (; d + 16 <= n_dims; d += 16) {
    const int8x16_t q = vld1q_s8(query + d);
    const int8x16_t x = vld1q_s8(row + d);
    low = vpadalq_s16(low, vmull_s8(vget_low_s8(q), vget_low_s8(x)));
    high = vpadalq_s16(high, vmull_high_s8(q, x));
  }
  std::int32_t sum = vaddvq_s32(vaddq_s32(low, high));
  for (; d < n_dims; ++d) sum += std::int32_t{query[d]} * std::int32_t{row[d]};
  return sum;
}

}  // namespace

void sm_dot_i8_neon(const DotI8Args& args) noexcept {
  for (std::int64_t r = 0; r < args.n_rows; ++r) {
    args.out[r] = dot(args.query, args.rows + r * args.row_stride, args.n_dims);
  }
}

}  // namespace sm

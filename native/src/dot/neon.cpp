// NEON of the arm64 base architecture: widening multiply to int16, pairwise accumulate to int32.
#include <arm_neon.h>

#include "dot/dot.h"

namespace sm {

namespace {

// Each product is added on its own: two of -128 * -128 do not fit an int16.
inline int32x4_t add_products(int32x4_t sum, int8x16_t q, int8x16_t x) noexcept {
  return vpadalq_s16(vpadalq_s16(sum, vmull_s8(vget_low_s8(q), vget_low_s8(x))), vmull_high_s8(q, x));
}

std::int32_t dot(const std::int8_t* query, const std::int8_t* row, std::int64_t n_dims) noexcept {
  int32x4_t sums[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};  // two hide the latency of the additions
  std::int64_t d = 0;
  for (; d + 64 <= n_dims; d += 64) {
    const int8x16x4_t q = vld1q_s8_x4(query + d);
    const int8x16x4_t x = vld1q_s8_x4(row + d);
    for (int i = 0; i < 4; ++i) sums[i % 2] = add_products(sums[i % 2], q.val[i], x.val[i]);
  }
  for (; d + 16 <= n_dims; d += 16) sums[0] = add_products(sums[0], vld1q_s8(query + d), vld1q_s8(row + d));
  std::int32_t sum = vaddvq_s32(vaddq_s32(sums[0], sums[1]));
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

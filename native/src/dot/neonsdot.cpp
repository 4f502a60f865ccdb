// SDOT (FEAT_DotProd): four products of bytes are added to an int32 lane, sixteen elements an instruction.
#include <arm_neon.h>

#include "dot/dot.h"

namespace sm {

namespace {

std::int32_t tail(const std::int8_t* query, const std::int8_t* row, std::int64_t d, std::int64_t n_dims) noexcept {
  std::int32_t sum = 0;
  for (; d < n_dims; ++d) sum += std::int32_t{query[d]} * std::int32_t{row[d]};
  return sum;
}

std::int32_t dot(const std::int8_t* query, const std::int8_t* row, std::int64_t n_dims) noexcept {
  int32x4_t sums[4];  // four hide the latency of SDOT
  for (int32x4_t& sum : sums) sum = vdupq_n_s32(0);
  std::int64_t d = 0;
  for (; d + 64 <= n_dims; d += 64) {
    const int8x16x4_t q = vld1q_s8_x4(query + d);
    const int8x16x4_t x = vld1q_s8_x4(row + d);
    for (int i = 0; i < 4; ++i) sums[i] = vdotq_s32(sums[i], q.val[i], x.val[i]);
  }
  for (; d + 16 <= n_dims; d += 16) sums[0] = vdotq_s32(sums[0], vld1q_s8(query + d), vld1q_s8(row + d));
  const int32x4_t sum = vaddq_s32(vaddq_s32(sums[0], sums[1]), vaddq_s32(sums[2], sums[3]));
  return vaddvq_s32(sum) + tail(query, row, d, n_dims);
}

// Four rows share the loads of the query.
void dot_four(const DotI8Args& args, const std::int8_t* first, std::int32_t* out) noexcept {
  const std::int8_t* rows[4];
  for (int r = 0; r < 4; ++r) rows[r] = first + r * args.row_stride;
  int32x4_t sums[4][2];
  for (auto& row : sums) row[0] = row[1] = vdupq_n_s32(0);
  std::int64_t d = 0;
  for (; d + 64 <= args.n_dims; d += 64) {
    const int8x16x4_t q = vld1q_s8_x4(args.query + d);
    for (int r = 0; r < 4; ++r) {
      const int8x16x4_t x = vld1q_s8_x4(rows[r] + d);
      for (int i = 0; i < 4; ++i) sums[r][i % 2] = vdotq_s32(sums[r][i % 2], x.val[i], q.val[i]);
    }
  }
  for (; d + 16 <= args.n_dims; d += 16) {
    const int8x16_t q = vld1q_s8(args.query + d);
    for (int r = 0; r < 4; ++r) sums[r][0] = vdotq_s32(sums[r][0], vld1q_s8(rows[r] + d), q);
  }
  for (int r = 0; r < 4; ++r) {
    out[r] = vaddvq_s32(vaddq_s32(sums[r][0], sums[r][1])) + tail(args.query, rows[r], d, args.n_dims);
  }
}

}  // namespace

void sm_dot_i8_neonsdot(const DotI8Args& args) noexcept {
  std::int64_t r = 0;
  for (; r + 4 <= args.n_rows; r += 4) dot_four(args, args.rows + r * args.row_stride, args.out + r);
  for (; r < args.n_rows; ++r) args.out[r] = dot(args.query, args.rows + r * args.row_stride, args.n_dims);
}

}  // namespace sm

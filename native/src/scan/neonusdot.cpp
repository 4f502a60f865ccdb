// USDOT (FEAT_I8MM, Arm ARM C7.2 "USDOT") takes the rows as they are stored, u8 against the signed query.
#include "neon_page.h"

namespace sm {

namespace {

inline int32x4_t dots(const ScanU8Args& args, const FourRows& rows) noexcept {
  int32x4_t sums[4][2];  // two per row hide the latency of USDOT
  for (auto& row : sums) row[0] = row[1] = vdupq_n_s32(0);
  for (std::int64_t d = 0; d < args.stride; d += kRowAlign) {
    const int8x16x4_t q = vld1q_s8_x4(args.query + d);
    for (int r = 0; r < 4; ++r) {
      const uint8x16x4_t x = vld1q_u8_x4(rows.at[r] + d);
      for (int i = 0; i < 4; ++i) {
        sums[r][i % 2] = vusdotq_s32(sums[r][i % 2], x.val[i], q.val[i]);
      }
    }
  }
  const int32x4_t biased = sum_four(vaddq_s32(sums[0][0], sums[0][1]), vaddq_s32(sums[1][0], sums[1][1]),
                                    vaddq_s32(sums[2][0], sums[2][1]), vaddq_s32(sums[3][0], sums[3][1]));
  return vsubq_s32(biased, vdupq_n_s32(args.bias));
}

}  // namespace

std::uint64_t sm_scan_u8_neonusdot(const ScanU8Args& args) noexcept {
  return scan_page(args, [&args](const FourRows& rows) noexcept { return dots(args, rows); });
}

}  // namespace sm

// USDOT (FEAT_I8MM, Arm ARM C7.2 "USDOT") takes the rows as they are stored, u8 against the signed query.
#include "neon_page.h"

namespace sm {

namespace {

inline int32x4_t dots(const ScanU8Args& args, const FourRows& rows) noexcept {
  int32x4_t sums[4][2];  // two per row hide the latency of USDOT
  for (auto& row : sums) row[0] = row[1] = vdupq_n_s32(0);
  for (std::int64_t d = 0; d < args.stride; d += kRowAlign) {
    int8x16_t q[4];
    for (int i = 0; i < 4; ++i) q[i] = vld1q_s8(args.query + d + 16 * i);
    for (int r = 0; r < 4; ++r) {
      const std::uint8_t* at = rows.at[r] + d;
      for (int i = 0; i < 4; ++i) {
        sums[r][i % 2] = vusdotq_s32(sums[r][i % 2], vld1q_u8(at + 16 * i), q[i]);
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

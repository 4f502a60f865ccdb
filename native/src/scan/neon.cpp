// NEON of the arm64 base architecture: bytes are multiplied to int16 and added in pairs to int32.
//
// Bounds: two products fit an int16 sum if the query has no -128: 2 * 128 * 127 = 32,512. With one, each product is added
// on its own (128 * 128 = 16,384). Quantized queries have none.
#include "neon_page.h"

namespace sm {

namespace {

template <bool kPairs>
inline int32x4_t add_products(int32x4_t sum, int8x16_t x, int8x16_t q) noexcept {
  const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(q));
  if (kPairs) return vpadalq_s16(sum, vmlal_high_s8(low, x, q));
  return vpadalq_s16(vpadalq_s16(sum, low), vmull_high_s8(x, q));
}

template <bool kPairs>
inline int32x4_t dots(const ScanU8Args& args, const FourRows& rows) noexcept {
  const uint8x16_t flip = vdupq_n_u8(0x80);
  int32x4_t sums[4];
  for (int32x4_t& sum : sums) sum = vdupq_n_s32(0);
  for (std::int64_t d = 0; d < args.stride; d += kRowAlign) {
    const int8x16x4_t q = vld1q_s8_x4(args.query + d);
    for (int r = 0; r < 4; ++r) {
      const uint8x16x4_t x = vld1q_u8_x4(rows.at[r] + d);
      for (int i = 0; i < 4; ++i) {
        sums[r] = add_products<kPairs>(sums[r], vreinterpretq_s8_u8(veorq_u8(x.val[i], flip)), q.val[i]);
      }
    }
  }
  return sum_four(sums[0], sums[1], sums[2], sums[3]);
}

inline bool has_lowest(const ScanU8Args& args) noexcept {
  int8x16_t least = vdupq_n_s8(0);
  for (std::int64_t d = 0; d < args.stride; d += 16) least = vminq_s8(least, vld1q_s8(args.query + d));
  return vminvq_s8(least) == -128;
}

}  // namespace

std::uint64_t sm_scan_u8_neon(const ScanU8Args& args) noexcept {
  if (has_lowest(args)) {
    return scan_page(args, [&args](const FourRows& rows) noexcept { return dots<false>(args, rows); });
  }
  return scan_page(args, [&args](const FourRows& rows) noexcept { return dots<true>(args, rows); });
}

}  // namespace sm

// NEON: bits are counted per byte (CNT) and added in pairs to uint16, which a row of kMaxStride bits cannot overflow.
#include "neon_page.h"

#include "hamming/hamming.h"

namespace sm {

namespace {

inline uint16x8_t add_bits(uint16x8_t sum, uint8x16_t x, uint8x16_t q) noexcept {
  return vpadalq_u8(sum, vcntq_u8(veorq_u8(x, q)));
}

inline int32x4_t distances(const HammingB1Args& args, const FourRows& rows) noexcept {
  uint16x8_t sums[4];
  for (uint16x8_t& sum : sums) sum = vdupq_n_u16(0);
  std::int64_t i = 0;
  for (; i + 16 <= args.n_bytes; i += 16) {
    const uint8x16_t q = vld1q_u8(args.query + i);
    for (int r = 0; r < 4; ++r) sums[r] = add_bits(sums[r], vld1q_u8(rows.at[r] + i), q);
  }
  if (i < args.n_bytes) {  // rows are multiples of 8 bytes
    const uint8x8_t zero = vdup_n_u8(0);
    const uint8x16_t q = vcombine_u8(vld1_u8(args.query + i), zero);
    for (int r = 0; r < 4; ++r) sums[r] = add_bits(sums[r], vcombine_u8(vld1_u8(rows.at[r] + i), zero), q);
  }
  const uint16x8_t pairs = vpaddq_u16(vpaddq_u16(sums[0], sums[1]), vpaddq_u16(sums[2], sums[3]));
  return vreinterpretq_s32_u32(vpaddlq_u16(pairs));
}

}  // namespace

std::uint64_t sm_hamming_b1_neon(const HammingB1Args& args) noexcept {
  const int32x4_t threshold = vdupq_n_s32(args.threshold);
  return walk_page({args.rows, args.n_bytes, args.wanted, nullptr, args.distances},
                   [&args](const FourRows& rows) noexcept { return distances(args, rows); },
                   [threshold](int32x4_t found) noexcept { return vcltq_s32(found, threshold); });
}

}  // namespace sm

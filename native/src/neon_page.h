// The walk over a page that the NEON kernels share: four wanted rows at a time, wherever they lie.
//
// Rows that are not wanted are never read: a writer may be filling them. All names are local to the including file, for
// each file compiles this for its own instruction set, and the linker must not mix the copies.
#pragma once

#include <arm_neon.h>

#include <cstdint>

#include "scan/scan.h"

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

namespace sm {
namespace {

struct FourRows {
  const std::uint8_t* at[4];
};

inline int lowest_bit(std::uint64_t word) noexcept {
#if defined(_MSC_VER) && !defined(__clang__)
  unsigned long index = 0;
  _BitScanForward64(&index, word);
  return static_cast<int>(index);
#else
  return __builtin_ctzll(word);
#endif
}

// Into the second-level cache: a page and the next are more than the first level of many cores holds.
inline void prefetch(const std::uint8_t* at, std::int64_t n_bytes) noexcept {
#if defined(__GNUC__)
  for (std::int64_t i = 0; i < n_bytes; i += 64) __builtin_prefetch(at + i, 0, 2);
#else
  (void)at, (void)n_bytes;
#endif
}

inline std::uint64_t four_bits(uint32x4_t lanes) noexcept {
  static constexpr std::uint32_t kBits[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(lanes, vld1q_u32(kBits)));
}

// The sums of four vectors of four lanes.
inline int32x4_t sum_four(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d) noexcept {
  return vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
}

struct PageWalk {
  const std::uint8_t* rows;
  std::int64_t row_bytes;
  std::uint64_t wanted;
  const std::uint8_t* next;  // prefetched as far as four rows in succession are wanted; may be null
  std::int32_t* out;         // [kPageRows]
};

// `measure` makes four numbers of FourRows, `report` says which of them make a bit of the result.
template <typename Measure, typename Report>
inline std::uint64_t walk_page(const PageWalk& page, Measure measure, Report report) noexcept {
  std::uint64_t reported = 0;
  std::uint64_t wanted = page.wanted;
  while (wanted != 0) {
    const int first = lowest_bit(wanted);
    if (((wanted >> first) & 0xFU) == 0xFU) {
      const std::int64_t offset = first * page.row_bytes;
      const std::uint8_t* at = page.rows + offset;
      if (page.next != nullptr) prefetch(page.next + offset, 4 * page.row_bytes);
      const int32x4_t found = measure(
          FourRows{{at, at + page.row_bytes, at + 2 * page.row_bytes, at + 3 * page.row_bytes}});
      vst1q_s32(page.out + first, found);
      reported |= four_bits(report(found)) << first;
      wanted &= ~(std::uint64_t{0xF} << first);
      continue;
    }
    int row[4];
    FourRows rows;
    int n = 0;  // a page may end with fewer than four: the last is then measured again
    for (int i = 0; i < 4; ++i) {
      if (wanted != 0) {
        row[n++] = lowest_bit(wanted);
        wanted &= wanted - 1;
      }
      rows.at[i] = page.rows + row[n - 1] * page.row_bytes;
    }
    std::int32_t found[4];
    const int32x4_t four = measure(rows);
    vst1q_s32(found, four);
    const std::uint64_t bits = four_bits(report(four));
    for (int i = 0; i < n; ++i) {
      page.out[row[i]] = found[i];
      reported |= ((bits >> i) & 1U) << row[i];
    }
  }
  return reported;
}

// A scan: `dots` makes the four scores of FourRows.
template <typename Dots>
inline std::uint64_t scan_page(const ScanU8Args& args, Dots dots) noexcept {
  const int32x4_t threshold = vdupq_n_s32(args.threshold);
  return walk_page({args.rows, args.stride, args.wanted, args.next, args.scores}, dots,
                   [threshold](int32x4_t scores) noexcept { return vcgtq_s32(scores, threshold); });
}

}  // namespace
}  // namespace sm

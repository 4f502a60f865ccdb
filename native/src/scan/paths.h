// The ways through a page that the x86 kernels of the scan family share: all rows in order, or the wanted ones picked.
//
// All of it has internal linkage, because each file that includes it is compiled for another instruction set.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "scan/scan.h"

// Where a block is a call, the call costs half as much as the block's arithmetic; GCC does not always see it.
#if defined(__GNUC__)
#define SM_INLINE inline __attribute__((always_inline))
#else
#define SM_INLINE inline
#endif

namespace sm {
namespace {

constexpr std::int64_t kLine = 64;
constexpr std::int64_t kAheadBytes = 8192;  // how far the path through all rows prefetches
constexpr int kAheadRows = 8;               // how many wanted rows the gathering path prefetches
#if defined(__has_feature)
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1  // as GCC says it
#endif
#endif
#if defined(__SANITIZE_THREAD__)
constexpr int kDense = kPageRows;  // the thread sanitizer sees loads whose values are thrown away, too
#else
constexpr int kDense = 44;  // from so many wanted rows on, reading all of them in order is faster
#endif

inline void fetch_line(const std::uint8_t* at) noexcept {
  _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0);
}

inline void fetch_row(const std::uint8_t* row, std::int64_t stride) noexcept {
  for (std::int64_t d = 0; d < stride; d += kLine) fetch_line(row + d);
}

// The lines to fetch while element d of each row of a block is computed: as many as are read, to keep pace.
template <bool kFetch, int kRows>
inline void fetch_ahead(const std::uint8_t* coming, std::int64_t d) noexcept {
  if constexpr (kFetch) {
    for (int r = 0; r < kRows; ++r) fetch_line(coming + kRows * d + kLine * r);
  }
}

// All rows, wanted or not.
template <bool kFetch, class Isa>
std::uint64_t scan_all(const Isa& isa, const ScanU8Args& args) noexcept {
  const std::int64_t page = kPageRows * args.stride;
  const std::int64_t reach = kAheadBytes < page ? kAheadBytes : page;
  const std::uint8_t* rows[Isa::kRows];
  std::uint64_t above = 0;
  for (int r = 0; r < kPageRows; r += Isa::kRows) {
    const std::int64_t at = r * args.stride;
    for (int i = 0; i < Isa::kRows; ++i) rows[i] = args.rows + at + i * args.stride;
    const std::uint8_t* coming = nullptr;
    if constexpr (kFetch) coming = at + reach < page ? args.rows + at + reach : args.next + (at + reach - page);
    above |= std::uint64_t{isa.template block<kFetch>(rows, coming, args.scores + r)} << r;
  }
  return above;
}

// The rows with the numbers `wanted`. The result and `scores` have them side by side; a last block that is not full
// repeats its last row, so there may be too many.
template <class Isa>
std::uint64_t scan_some(const Isa& isa, const ScanU8Args& args, const std::uint8_t* wanted, int n_wanted,
                        std::int32_t* scores) noexcept {
  const auto row = [&](int k) noexcept { return args.rows + wanted[k < n_wanted ? k : n_wanted - 1] * args.stride; };
  for (int k = 0; k < kAheadRows && k < n_wanted; ++k) fetch_row(row(k), args.stride);
  const std::uint8_t* rows[Isa::kRows];
  std::uint64_t above = 0;
  for (int k = 0; k < n_wanted; k += Isa::kRows) {
    for (int i = 0; i < Isa::kRows; ++i) {
      rows[i] = row(k + i);
      if (k + i + kAheadRows < n_wanted) fetch_row(row(k + i + kAheadRows), args.stride);
    }
    above |= std::uint64_t{isa.template block<false>(rows, nullptr, scores + k)} << k;
  }
  return above;
}

// `Isa` holds what it needs of the arguments and gives
//   kRows                                rows of a block, a divisor of kPageRows
//   block<kFetch>(rows, coming, scores)  writes a block's scores and returns a bit for each above the threshold; with
//                                        kFetch it prefetches kRows * stride bytes at `coming`
template <class Isa>
std::uint64_t scan(const ScanU8Args& args) noexcept {
  const Isa isa(args);
  if (_mm_popcnt_u64(args.wanted) >= kDense) {
    return (args.next != nullptr ? scan_all<true>(isa, args) : scan_all<false>(isa, args)) & args.wanted;
  }
  std::uint8_t wanted[kPageRows];
  int n_wanted = 0;
  for (std::uint64_t rest = args.wanted; rest != 0; rest &= rest - 1) {
    wanted[n_wanted++] = static_cast<std::uint8_t>(__builtin_ctzll(rest));
  }
  std::int32_t scores[kPageRows];
  std::uint64_t hits = scan_some(isa, args, wanted, n_wanted, scores) & ((std::uint64_t{1} << n_wanted) - 1);
  std::uint64_t above = 0;
  for (; hits != 0; hits &= hits - 1) {
    const int k = __builtin_ctzll(hits);
    args.scores[wanted[k]] = scores[k];
    above |= std::uint64_t{1} << wanted[k];
  }
  return above;
}

}  // namespace
}  // namespace sm

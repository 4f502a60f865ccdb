// Words with one bit per row of a page. Private to src.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sm {

inline std::uint64_t bit(int row) noexcept { return std::uint64_t{1} << row; }

inline int lowest_set(std::uint64_t word) noexcept {
#if defined(__GNUC__)
  return __builtin_ctzll(word);
#else
  int row = 0;
  while (((word >> row) & 1U) == 0) ++row;
  return row;
#endif
}

inline int lowest_clear(std::uint64_t word) noexcept { return lowest_set(~word); }

inline int count_set(std::uint64_t word) noexcept {
#if defined(__GNUC__)
  return __builtin_popcountll(word);
#else
  int n = 0;
  for (; word != 0; word &= word - 1) ++n;
  return n;
#endif
}

// The first n rows.
inline std::uint64_t first_rows(std::size_t n) noexcept {
  return n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
}

}  // namespace sm

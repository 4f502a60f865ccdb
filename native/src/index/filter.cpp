#include "index/filter.h"

#include <cstring>

namespace sm {

namespace {

bool has(const std::vector<std::uint64_t>& set, std::int32_t n) noexcept {
  const auto word = static_cast<std::size_t>(n) / 64;
  return n >= 0 && word < set.size() && ((set[word] >> (n % 64)) & 1U) != 0;
}

// A word of 64 answers. The first loop has no branch, so that compilers make vector code of it; the multiplication
// gathers the lowest bits of eight bytes in the topmost one (little-endian, as everywhere here).
template <typename Test>
std::uint64_t word_of(Test test) noexcept {
  std::uint8_t answers[kPageRows];
  for (int r = 0; r < kPageRows; ++r) answers[r] = test(r) ? 1 : 0;
  std::uint64_t word = 0;
  for (int byte = 0; byte < kPageRows / 8; ++byte) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, answers + 8 * byte, sizeof(eight));
    word |= ((eight * 0x0102040810204080U) >> 56) << (8 * byte);
  }
  return word;
}

std::uint64_t among(const std::int32_t* column, const RowSet& set) noexcept {
  if (set.only >= 0) {
    return word_of([column, only = set.only](int r) noexcept { return column[r] == only; });
  }
  return word_of([column, &set](int r) noexcept { return has(set.bits, column[r]); });
}

}  // namespace

std::uint64_t Filter::match(const Page& page, std::uint64_t rows) const noexcept {
  if (rows != 0 && !projects.bits.empty()) rows &= among(page.project, projects);
  if (rows != 0 && !sources.bits.empty()) rows &= among(page.source, sources);
  if (rows != 0 && least_trust > 0) {
    rows &= word_of([&](int r) noexcept { return page.trust[r] >= least_trust; });
  }
  if (rows != 0 && (since != std::numeric_limits<std::int64_t>::min() ||
                    until != std::numeric_limits<std::int64_t>::max())) {
    rows &= word_of([&](int r) noexcept { return (page.time[r] >= since) & (page.time[r] <= until); });
  }
  return rows;
}

}  // namespace sm

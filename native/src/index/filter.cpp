#include "index/filter.h"

#include <cstring>

namespace sm {

namespace {

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
  // What is beyond the set, a negative number as well, is looked up in the last word. Without a branch, because rows of
  // many projects would make it a guess.
  const std::uint32_t* bits = set.bits.data();
  const auto last = static_cast<std::uint32_t>(set.bits.size() - 1);
  return word_of([column, bits, last](int r) noexcept {
    const auto n = static_cast<std::uint32_t>(column[r]);
    const std::uint32_t word = n / 32 < last ? n / 32 : last;
    return ((bits[word] >> (n % 32)) & 1U) != 0;
  });
}

}  // namespace

RowSet::RowSet(const std::vector<std::int32_t>& ids) : bits(1), only(ids.size() == 1 ? ids.front() : -1) {
  for (const std::int32_t id : ids) {
    const auto word = static_cast<std::size_t>(id) / 32;
    if (word + 1 >= bits.size()) bits.resize(word + 2);
    bits[word] |= std::uint32_t{1} << (id % 32);
  }
}

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

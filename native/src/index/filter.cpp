#include "index/filter.h"

namespace sm {

namespace {

bool has(const std::vector<std::uint64_t>& set, std::int32_t n) noexcept {
  const auto word = static_cast<std::size_t>(n) / 64;
  return n >= 0 && word < set.size() && ((set[word] >> (n % 64)) & 1U) != 0;
}

// A word of 64 answers. The loop has no branch, so that compilers make vector code of it.
template <typename Test>
std::uint64_t word_of(Test test) noexcept {
  std::uint8_t answers[kPageRows];
  for (int r = 0; r < kPageRows; ++r) answers[r] = test(r) ? 1 : 0;
  std::uint64_t word = 0;
  for (int byte = 0; byte < kPageRows / 8; ++byte) {
    std::uint64_t packed = 0;
    for (int bit = 0; bit < 8; ++bit) packed |= std::uint64_t{answers[8 * byte + bit]} << bit;
    word |= packed << (8 * byte);
  }
  return word;
}

}  // namespace

std::uint64_t Filter::match(const Page& page, std::uint64_t rows) const noexcept {
  if (rows != 0 && !projects.empty()) {
    rows &= word_of([&](int r) noexcept { return has(projects, page.project[r]); });
  }
  if (rows != 0 && !sources.empty()) {
    rows &= word_of([&](int r) noexcept { return has(sources, page.source[r]); });
  }
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

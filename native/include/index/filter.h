// Which rows a search may return, as one word per page. Made anew for each page while it is scanned: that costs about
// one percent of scanning the page, so there is nothing to cache and nothing to go stale.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "index/page.h"

namespace sm {

// A set of row ids. Most sets have one member, which is compared and not looked up.
struct RowSet {
  std::vector<std::uint32_t> bits;  // bit i % 32 of word i / 32: row i is in it; the last word is 0. No word: everything is
  std::int32_t only = -1;           // the one member, or -1

  RowSet() = default;
  // Just these ids, none of them negative; without any, nothing is in it.
  explicit RowSet(const std::vector<std::int32_t>& ids);

  bool operator==(const RowSet& other) const noexcept { return bits == other.bits; }
};

struct Filter {
  RowSet projects;
  RowSet sources;
  std::uint8_t least_trust = 0;
  std::int64_t since = std::numeric_limits<std::int64_t>::min();
  std::int64_t until = std::numeric_limits<std::int64_t>::max();  // inclusive

  // The rows among `rows` that pass.
  std::uint64_t match(const Page& page, std::uint64_t rows) const noexcept;
};

}  // namespace sm

// Which rows a search may return, as one word per page. Made anew for each page while it is scanned: that costs about
// one percent of scanning the page, so there is nothing to cache and nothing to go stale.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "index/page.h"

namespace sm {

struct Filter {
  std::vector<std::uint64_t> projects;  // bit i: project i is wanted; empty: all are
  std::vector<std::uint64_t> sources;   // as for projects
  std::uint8_t least_trust = 0;
  std::int64_t since = std::numeric_limits<std::int64_t>::min();
  std::int64_t until = std::numeric_limits<std::int64_t>::max();  // inclusive

  // The rows among `rows` that pass.
  std::uint64_t match(const Page& page, std::uint64_t rows) const noexcept;
};

}  // namespace sm

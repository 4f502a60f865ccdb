// A growing sequence of pages that readers walk while the writer appends.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include "index/page.h"

namespace sm {

struct List {
  // What readers may walk: `n_pages` entries of `pages`, both loaded with acquire, the count first. The array is replaced
  // by a larger copy when it is full.
  std::atomic<std::size_t> n_pages{0};
  std::atomic<Page**> pages{nullptr};

  // Writer only.
  std::size_t capacity = 0;
  std::size_t n_rows = 0;
  std::vector<Page*> open;  // pages with a free row
};

// What a search sees: the lists of one moment. List 0 is the tail and always scanned.
struct Snapshot {
  std::vector<List*> lists;
};

}  // namespace sm

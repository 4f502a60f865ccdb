// A sequence of pages that readers walk while the writer appends, and what a search sees of all of them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "index/page.h"

namespace sm {

// Grows in place up to its capacity; a larger one, or one without some of the pages, takes its place in the list.
struct PageArray {
  explicit PageArray(std::size_t n_most) : capacity(n_most), at(std::make_unique<Page*[]>(n_most)) {}

  const std::size_t capacity;
  std::atomic<std::size_t> n{0};  // loaded with acquire before `at` is read
  const std::unique_ptr<Page*[]> at;
};

struct List {
  static constexpr std::size_t kFirstPages = 16;

  List() : pages(new PageArray(kFirstPages)) {}
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() { delete pages.load(std::memory_order_relaxed); }

  std::atomic<PageArray*> pages;

  // Writer only.
  std::size_t number = 0;       // its place in the snapshot
  std::size_t n_rows = 0;
  std::size_t n_empty = 0;      // pages without any row
  std::size_t split_above = 0;  // a list that could not be split waits until it has so many rows
  std::vector<Page*> open;      // pages with a free row
};

// What a search sees: the lists of one moment, never changed but replaced. List 0 is the tail and always scanned. Of the
// others list 1 + i has its centroid in row i % 64 of page i / 64 of `centroids`, biased as rows are.
struct Snapshot {
  std::vector<List*> lists;
  std::vector<std::uint8_t*> centroids;

  std::size_t n_centroids() const noexcept { return lists.size() - 1; }
};

}  // namespace sm

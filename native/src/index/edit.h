// How snapshots follow each other. Private to src/index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "clusters.h"

namespace sm {

// A new snapshot in the making. Pages of centroids that do not change are shared with the old one.
class Index::Clusters::Edit {
 public:
  explicit Edit(Clusters& clusters)
      : clusters_(clusters), next_(std::make_unique<Snapshot>(clusters.seen())), is_new_(next_->centroids.size()) {}
  Edit(const Edit&) = delete;
  Edit& operator=(const Edit&) = delete;
  ~Edit() {
    for (std::size_t p = 0; next_ != nullptr && p < is_new_.size(); ++p) {
      if (is_new_[p]) clusters_.index.high_.give(next_->centroids[p]);
    }
  }

  void set(std::size_t number, List* list, const std::uint8_t* centroid) {
    std::uint8_t* row = writable(number);
    next_->lists[number] = list;
    std::memcpy(row, centroid, stride());
  }
  void append(List* list, const std::uint8_t* centroid) {
    const std::size_t at = next_->n_centroids();
    if (at / kPageRows == next_->centroids.size()) {
      is_new_.reserve(is_new_.size() + 1);
      next_->centroids.reserve(next_->centroids.size() + 1);
      next_->centroids.push_back(clusters_.index.high_.take());
      is_new_.push_back(true);
    }
    next_->lists.push_back(list);
    set(at + 1, list, centroid);
  }
  // The last list takes the number of the one that goes.
  void drop(std::size_t number) {
    const std::size_t last = next_->n_centroids();
    if (number != last) set(number, next_->lists[last], clusters_.centroid(last));
    writable(last);  // so that no centroid outlives its list
    wipe(row_of(last), stride());
    next_->lists.pop_back();
    if (last % kPageRows != 1) return;
    clusters_.index.high_.give(next_->centroids.back());
    next_->centroids.pop_back();
    is_new_.pop_back();
  }

  void publish() {
    Index& index = clusters_.index;
    std::vector<std::uint8_t*> replaced;
    const Snapshot& old = clusters_.seen();
    for (std::size_t p = 0; p < old.centroids.size(); ++p) {
      if (p >= is_new_.size() || is_new_[p]) replaced.push_back(old.centroids[p]);
    }
    for (std::size_t n = 0; n < next_->lists.size(); ++n) next_->lists[n]->number = n;
    const Snapshot* before = index.snapshot_.exchange(next_.release(), std::memory_order_seq_cst);
    index.retire([&index, before, replaced = std::move(replaced)] {
      for (std::uint8_t* block : replaced) index.high_.give(block);
      delete before;
    });
  }

 private:
  std::size_t stride() const noexcept { return static_cast<std::size_t>(clusters_.index.stride_); }
  std::uint8_t* row_of(std::size_t number) const noexcept {
    return next_->centroids[(number - 1) / kPageRows] + (number - 1) % kPageRows * stride();
  }
  std::uint8_t* writable(std::size_t number) {
    const std::size_t p = (number - 1) / kPageRows;
    if (!is_new_[p]) {
      std::uint8_t* copy = clusters_.index.high_.take();
      std::memcpy(copy, next_->centroids[p], kPageRows * stride());
      next_->centroids[p] = copy;
      is_new_[p] = true;
    }
    return row_of(number);
  }

  Clusters& clusters_;
  std::unique_ptr<Snapshot> next_;
  std::vector<bool> is_new_;
};

}  // namespace sm

// The first lists: centroids from a sample, and the tail's rows into the lists.
#include <algorithm>
#include <cstring>
#include <utility>

#include "bits.h"
#include "jobs.h"

namespace sm {

namespace {

constexpr std::size_t kRowsPerList = 32;  // of the sample
constexpr std::size_t kRounds = 10;
constexpr std::size_t kSweepAt = 64;       // empty pages of the tail
constexpr std::size_t kRowsPerLook = 16;  // between two looks at the clock

}  // namespace

Index::Clusters::Train::Train(Clusters& of)
    : clusters_(of), n_lists_(std::max<std::size_t>(2, of.index.places_.size() / of.aim())) {
  sample_.reserve(kRowsPerList * n_lists_);
  sums_.reserve(n_lists_);
}

Index::Clusters::Train::~Train() {
  for (std::uint8_t* block : centroids_) clusters_.index.high_.give(block);
}

bool Index::Clusters::Train::step(Deadline deadline) {
  Index& index = clusters_.index;
  const auto& pages = index.pages_;
  while (n_sampled_ < kRowsPerList * n_lists_ && !pages.empty()) {
    const Page& page = *pages[clusters_.random() % pages.size()];
    const int row = static_cast<int>(clusters_.random() % kPageRows);
    ++n_sampled_;
    if ((page.live.load(std::memory_order_relaxed) & bit(row)) != 0) sample_.push_back(page.id[row]);
    if (n_sampled_ % kRowsPerLook == 0 && is_over(deadline)) return false;
  }
  while (sums_.size() < n_lists_) {
    seed();
    if (sums_.size() % kRowsPerLook == 0 && is_over(deadline)) return false;
  }
  for (; round_ < kRounds; ++round_) {
    while (at_ < sample_.size()) {
      if (is_over(deadline)) return false;
      const std::size_t n = std::min(kRowsPerLook, sample_.size() - at_);
      assign(at_, n);
      at_ += n;
    }
    for (; at_ < sample_.size() + n_lists_; ++at_) {
      if (at_ % kRowsPerLook == 0 && is_over(deadline)) return false;
      update(at_ - sample_.size());
    }
    at_ = 0;
  }
  publish();
  return true;
}

void Index::Clusters::Train::seed() {
  const std::size_t c = sums_.size();
  if (c / kPageRows == centroids_.size()) {
    centroids_.reserve(centroids_.size() + 1);
    centroids_.push_back(clusters_.index.high_.take());
  }
  sums_.emplace_back(clusters_.index.stride_);
  update(c);
}

void Index::Clusters::Train::assign(std::size_t first, std::size_t n) {
  const Index& index = clusters_.index;
  const std::uint8_t* rows[kRowsPerLook] = {};
  Best best[kRowsPerLook];
  std::size_t n_rows = 0;
  for (std::size_t i = first; i < first + n; ++i) {
    const Place place = index.places_.find(sample_[i]);
    if (place.page != nullptr) rows[n_rows++] = place.page->high + place.row * index.stride_;
  }
  clusters_.nearest(centroids_, n_lists_, rows, n_rows, best);
  for (std::size_t i = 0; i < n_rows; ++i) sums_[best[i].at].add(rows[i]);
}

// The mean of what was assigned, or a row of the sample where that was nothing.
void Index::Clusters::Train::update(std::size_t c) {
  const Index& index = clusters_.index;
  std::uint8_t* row = centroids_[c / kPageRows] + static_cast<std::int64_t>(c % kPageRows) * index.stride_;
  if (!sums_[c].write(index.steps_, row)) {
    for (int tries = 0; tries < 8 && !sample_.empty(); ++tries) {
      const Place place = index.places_.find(sample_[clusters_.random() % sample_.size()]);
      if (place.page == nullptr) continue;
      std::memcpy(row, place.page->high + place.row * index.stride_, static_cast<std::size_t>(index.stride_));
      break;
    }
  }
  sums_[c].clear();
}

void Index::Clusters::Train::publish() {
  Index& index = clusters_.index;
  auto snapshot = std::make_unique<Snapshot>(clusters_.seen());
  for (std::size_t c = 0; c < n_lists_; ++c) {
    List& list = clusters_.new_list();
    list.number = snapshot->lists.size();
    snapshot->lists.push_back(&list);
  }
  snapshot->centroids = std::move(centroids_);
  centroids_.clear();
  const Snapshot* old = index.snapshot_.exchange(snapshot.release(), std::memory_order_seq_cst);
  index.retire([old] { delete old; });
}

bool Index::Clusters::Drain::step(Deadline deadline) {
  const Index& index = clusters_.index;
  if (clusters_.tail().n_empty >= kSweepAt) {
    clusters_.sweep(clusters_.tail());
    at_ = 0;
  }
  const PageArray& pages = *clusters_.tail().pages.load(std::memory_order_relaxed);
  std::vector<Place> copied;
  while (at_ < pages.n.load(std::memory_order_relaxed) && clusters_.moving.size() < kMostMoving && !is_over(deadline)) {
    Page& page = *pages.at[at_];
    Place places[kRowsPerLook];
    const std::uint8_t* rows[kRowsPerLook];
    List* lists[kRowsPerLook];
    std::size_t n = 0;
    for (std::uint64_t live = page.live.load(std::memory_order_relaxed); live != 0 && n < kRowsPerLook; live &= live - 1) {
      const int r = lowest_set(live);
      if (clusters_.moving.find(page.id[r]).page != nullptr) continue;
      places[n] = {&page, r};
      rows[n++] = page.high + r * index.stride_;
    }
    clusters_.lists_for(rows, n, lists);
    for (std::size_t i = 0; i < n; ++i) {
      clusters_.copy(places[i], *lists[i]);
      copied.push_back(places[i]);
    }
    if (n < kRowsPerLook) ++at_;
  }
  const bool done = at_ == pages.n.load(std::memory_order_relaxed);
  clusters_.settle(std::move(copied));
  return done;
}

}  // namespace sm

// Lists that have grown are split, those that have shrunk are given up, and rows follow the nearest centroid.
#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "bits.h"
#include "edit.h"
#include "jobs.h"

namespace sm {

namespace {

constexpr std::size_t kRounds = 8;
constexpr std::size_t kRoundsAfterHalving = 3;
constexpr std::size_t kPagesLookedAt = 16;  // by a round of 2-means
constexpr std::size_t kAround = 24;         // lists whose rows are looked at after a split
constexpr std::size_t kRowsPerLook = 16;

std::size_t n_pages(const List& list) noexcept {
  return list.pages.load(std::memory_order_relaxed)->n.load(std::memory_order_relaxed);
}

Page& page_of(const List& list, std::size_t i) noexcept { return *list.pages.load(std::memory_order_relaxed)->at[i]; }

}  // namespace

Index::Clusters::Split::Split(Clusters& of, List& list)
    : clusters_(of),
      from_(list),
      stride_(std::max<std::size_t>(1, n_pages(list) / kPagesLookedAt)),
      sums_{Sum(of.index.stride_), Sum(of.index.stride_)},
      centroids_{std::make_unique<Centroid>(), std::make_unique<Centroid>()} {}

Index::Clusters::Split::~Split() {
  for (const auto& centroid : centroids_) wipe(centroid->at, sizeof(centroid->at));
}

bool Index::Clusters::Split::step(Deadline deadline) {
  if (round_ == 0 && !seed()) return true;
  for (; round_ <= kRounds; ++round_) {
    if (is_over(deadline)) return false;
    if (!divide()) return true;
  }
  for (int side = 0; side < 2 && to_[side] == nullptr; ++side) to_[side] = &clusters_.new_list();
  for (;;) {
    for (; at_ < n_pages(from_); ++at_) {
      if (is_over(deadline)) return false;
      copy_page(page_of(from_, at_));
    }
    at_ = 0;  // rows that were added meanwhile may lie anywhere
    if (clusters_.moving.size() == from_.n_rows) return finish();
  }
}

// A row and the one farthest from it. False if there are not two rows that differ.
bool Index::Clusters::Split::seed() {
  const Index& index = clusters_.index;
  const auto stride = static_cast<std::size_t>(index.stride_);
  alignas(64) std::int32_t scores[kPageRows];
  SignedRow first;
  bool has_first = false;
  std::int32_t least = 0;
  for (std::size_t i = 0; i < n_pages(from_); i += stride_) {
    const Page& page = page_of(from_, i);
    const std::uint64_t live = page.live.load(std::memory_order_relaxed);
    if (live == 0) continue;
    if (!has_first) {
      std::memcpy(centroids_[0]->at, page.high + lowest_set(live) * index.stride_, stride);
      first.set(centroids_[0]->at, index.stride_);
      least = std::numeric_limits<std::int32_t>::max();
      has_first = true;
    }
    clusters_.score(page.high, live, first, scores);
    for (std::uint64_t rows = live; rows != 0; rows &= rows - 1) {
      const int r = lowest_set(rows);
      if (scores[r] >= least) continue;
      least = scores[r];
      std::memcpy(centroids_[1]->at, page.high + r * index.stride_, stride);
    }
  }
  round_ = 1;
  const bool differ = has_first && std::memcmp(centroids_[0]->at, centroids_[1]->at, stride) != 0;
  if (!differ) from_.split_above = 2 * from_.n_rows;
  return differ;
}

// One round of 2-means. False if the parts would be so uneven that the smaller one would soon be merged again.
bool Index::Clusters::Split::divide() {
  const Index& index = clusters_.index;
  alignas(64) std::int32_t scores[2][kPageRows];
  const SignedRow queries[2] = {SignedRow(centroids_[0]->at, index.stride_), SignedRow(centroids_[1]->at, index.stride_)};
  for (Sum& sum : sums_) sum.clear();
  for (std::size_t i = 0; i < n_pages(from_); i += stride_) {
    const Page& page = page_of(from_, i);
    const std::uint64_t live = page.live.load(std::memory_order_relaxed);
    for (int side = 0; side < 2; ++side) clusters_.score(page.high, live, queries[side], scores[side]);
    for (std::uint64_t rows = live; rows != 0; rows &= rows - 1) {
      const int r = lowest_set(rows);
      sums_[scores[1][r] > scores[0][r] ? 1 : 0].add(page.high + r * index.stride_);
    }
  }
  const std::size_t fewer = std::min(sums_[0].n(), sums_[1].n());
  const std::size_t part = sums_[0].n() + sums_[1].n();
  if (round_ == kRounds && 3 * fewer * from_.n_rows < part * std::min(clusters_.aim(), from_.n_rows)) {
    if (is_halved_) {
      from_.split_above = 2 * from_.n_rows;
      return false;
    }
    halve();
    is_halved_ = true;
    round_ = kRounds - kRoundsAfterHalving;
  }
  for (int side = 0; side < 2; ++side) sums_[side].write(index.steps_, centroids_[side]->at);
  return true;
}

// Even parts: along the line between the two centroids.
void Index::Clusters::Split::halve() {
  const Index& index = clusters_.index;
  struct Along {
    std::int32_t at;
    const std::uint8_t* row;
  };
  alignas(64) std::int32_t scores[2][kPageRows];
  const SignedRow queries[2] = {SignedRow(centroids_[0]->at, index.stride_), SignedRow(centroids_[1]->at, index.stride_)};
  std::vector<Along> rows_along;
  for (std::size_t i = 0; i < n_pages(from_); i += stride_) {
    const Page& page = page_of(from_, i);
    const std::uint64_t live = page.live.load(std::memory_order_relaxed);
    for (int side = 0; side < 2; ++side) clusters_.score(page.high, live, queries[side], scores[side]);
    for (std::uint64_t rows = live; rows != 0; rows &= rows - 1) {
      const int r = lowest_set(rows);
      rows_along.push_back({scores[1][r] - scores[0][r], page.high + r * index.stride_});
    }
  }
  std::sort(rows_along.begin(), rows_along.end(), [](const Along& a, const Along& b) { return a.at < b.at; });
  for (Sum& sum : sums_) sum.clear();
  for (std::size_t i = 0; i < rows_along.size(); ++i) sums_[2 * i < rows_along.size() ? 0 : 1].add(rows_along[i].row);
}

void Index::Clusters::Split::copy_page(Page& page) {
  const Index& index = clusters_.index;
  const Snapshot& snapshot = clusters_.seen();
  alignas(64) std::int32_t scores[3][kPageRows];
  const std::uint8_t* centroids[3] = {centroids_[0]->at, centroids_[1]->at, clusters_.centroid(from_.number)};
  const std::uint64_t live = page.live.load(std::memory_order_relaxed);
  for (int c = 0; c < 3; ++c) clusters_.score(page.high, live, SignedRow(centroids[c], index.stride_), scores[c]);
  for (std::uint64_t rows = live; rows != 0; rows &= rows - 1) {
    const int r = lowest_set(rows);
    if (clusters_.moving.find(page.id[r]).page != nullptr) continue;
    const int side = scores[1][r] > scores[0][r] ? 1 : 0;
    List* to = to_[side];
    // A row that was nearer to the old centroid than to both new ones may be nearest to one of another list.
    if (scores[2][r] > scores[side][r] && snapshot.n_centroids() > 1) {
      const SignedRow row(page.high + r * index.stride_, index.stride_);
      const Best other = clusters_.nearest(snapshot.centroids, snapshot.n_centroids(), row, from_.number - 1);
      if (other.score > scores[side][r]) to = snapshot.lists[1 + other.at];
    }
    clusters_.copy({&page, r}, *to);
  }
}

bool Index::Clusters::Split::finish() {
  Edit edit(clusters_);
  edit.set(from_.number, to_[0], centroids_[0]->at);
  edit.append(to_[1], centroids_[1]->at);
  edit.publish();
  clusters_.drop_older();
  clusters_.retire_list(&from_);
  ++clusters_.n_splits;
  ++clusters_.n_unmeasured;
  clusters_.next = std::make_unique<Adopt>(clusters_, *to_[0], *to_[1]);
  return true;
}

bool Index::Clusters::Dissolve::step(Deadline deadline) {
  const Index& index = clusters_.index;
  const Snapshot& snapshot = clusters_.seen();
  std::size_t n_copied = 0;
  for (;;) {
    for (; at_ < n_pages(from_); ++at_) {
      Page& page = page_of(from_, at_);
      for (std::uint64_t rows = page.live.load(std::memory_order_relaxed); rows != 0; rows &= rows - 1) {
        const int r = lowest_set(rows);
        if (clusters_.moving.find(page.id[r]).page != nullptr) continue;
        List* to = snapshot.lists.front();
        if (!into_tail_) {
          const SignedRow row(page.high + r * index.stride_, index.stride_);
          to = snapshot.lists[1 + clusters_.nearest(snapshot.centroids, snapshot.n_centroids(), row, from_.number - 1).at];
        }
        clusters_.copy({&page, r}, *to);
        if (++n_copied % kRowsPerLook == 0 && is_over(deadline)) return false;
      }
    }
    at_ = 0;
    if (clusters_.moving.size() == from_.n_rows) break;
  }
  Edit edit(clusters_);
  edit.drop(from_.number);
  edit.publish();
  clusters_.drop_older();
  clusters_.retire_list(&from_);
  ++clusters_.n_merges;
  ++clusters_.n_unmeasured;
  return true;
}

Index::Clusters::Adopt::Adopt(Clusters& of, List& first, List& second) : clusters_(of), to_{&first, &second} {
  const Snapshot& snapshot = clusters_.seen();
  for (const List* list : to_) {
    SignedRow centroid(clusters_.centroid(list->number), clusters_.index.stride_);
    alignas(64) std::int32_t scores[kPageRows];
    std::vector<std::pair<std::int32_t, List*>> found;
    for (std::size_t p = 0; p < snapshot.centroids.size(); ++p) {
      const std::uint64_t wanted = first_rows(snapshot.n_centroids() - p * kPageRows);
      clusters_.score(snapshot.centroids[p], wanted, centroid, scores);
      for (std::uint64_t rows = wanted; rows != 0; rows &= rows - 1) {
        const int r = lowest_set(rows);
        List* other = snapshot.lists[1 + p * kPageRows + static_cast<std::size_t>(r)];
        if (other != to_[0] && other != to_[1]) found.emplace_back(scores[r], other);
      }
    }
    const std::size_t n = std::min(kAround / 2, found.size());
    std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(n), found.end(),
                      [](const auto& a, const auto& b) { return a.first > b.first; });
    for (std::size_t i = 0; i < n; ++i) {
      if (std::find(around_.begin(), around_.end(), found[i].second) == around_.end()) around_.push_back(found[i].second);
    }
  }
}

bool Index::Clusters::Adopt::step(Deadline deadline) {
  std::vector<Place> copied;
  bool over = false;
  while (list_ < around_.size() && !over) {
    if (at_ == n_pages(*around_[list_])) {
      ++list_;
      at_ = 0;
      continue;
    }
    look_at(page_of(*around_[list_], at_++), copied);
    over = is_over(deadline);
  }
  const bool done = list_ == around_.size();
  clusters_.settle(std::move(copied));
  return done;
}

void Index::Clusters::Adopt::look_at(Page& page, std::vector<Place>& copied) {
  const std::int64_t stride = clusters_.index.stride_;
  alignas(64) std::int32_t scores[3][kPageRows];
  const std::uint64_t live = page.live.load(std::memory_order_relaxed);
  const List* lists[3] = {to_[0], to_[1], page.list};
  for (int c = 0; c < 3; ++c) {
    clusters_.score(page.high, live, SignedRow(clusters_.centroid(lists[c]->number), stride), scores[c]);
  }
  for (std::uint64_t rows = live; rows != 0; rows &= rows - 1) {
    const int r = lowest_set(rows);
    const int side = scores[1][r] > scores[0][r] ? 1 : 0;
    if (scores[side][r] <= scores[2][r] || clusters_.moving.find(page.id[r]).page != nullptr) continue;
    clusters_.copy({&page, r}, *to_[side]);
    copied.push_back({&page, r});
  }
}

}  // namespace sm

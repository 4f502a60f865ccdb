// What is done next with the lists, and how rows and lists are moved while searches run.
#include "clusters.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "bits.h"
#include "index/quantize.h"
#include "jobs.h"

namespace sm {

namespace {

constexpr std::size_t kFewestAimed = kPageRows;
constexpr std::size_t kMostAimed = 4096;
constexpr std::size_t kSplitAt = 2;       // times the aim
constexpr std::size_t kMergeBelow = 4;    // parts of the aim
constexpr std::size_t kSweptAtOnce = 64;  // pages: zeroing them takes a part of a millisecond
constexpr std::size_t kMeasureAfter = 8;  // parts of rows or lists that may change before recall is measured again

}  // namespace

void SignedRow::set(const std::uint8_t* biased, std::int64_t stride) noexcept {
  std::int32_t sum = 0;
  for (std::int64_t d = 0; d < stride; ++d) {
    at[d] = static_cast<std::int8_t>(biased[d] ^ 0x80);
    sum += at[d];
  }
  bias = 128 * sum;
}

Sum::~Sum() { clear(); }

void Sum::add(const std::uint8_t* biased) noexcept {
  std::int32_t* sums = sums_.data();
  for (std::size_t d = 0; d < sums_.size(); ++d) sums[d] += static_cast<std::int32_t>(biased[d]) - 128;
  ++n_;
}

void Sum::clear() noexcept {
  wipe(sums_.data(), sums_.size() * sizeof(sums_[0]));
  n_ = 0;
}

bool Sum::write(float steps, std::uint8_t* biased) const noexcept {
  double square = 0;
  for (const std::int32_t sum : sums_) square += double{1} * sum * sum;
  if (square == 0) return false;
  const auto scale = static_cast<float>(1.0 / std::sqrt(square));
  for (std::size_t d = 0; d < sums_.size(); ++d) {
    const float x = std::nearbyint(static_cast<float>(sums_[d]) * scale * steps);
    biased[d] = static_cast<std::uint8_t>(128 + static_cast<int>(std::fmin(127.0F, std::fmax(-127.0F, x))));
  }
  return true;
}

Index::Clusters::Progress Index::Clusters::work(Deadline deadline) {
  do {
    index.release_unseen();
    if (job == nullptr) {
      // Each job finds every row once.
      if (moving.size() > 0) return Progress::kBlocked;
      job = next != nullptr ? std::move(next) : next_job();
    }
    if (job == nullptr) return index.retired_.empty() ? Progress::kNothing : Progress::kBlocked;
    const bool was_blocked = moving.size() >= kMostMoving;
    if (job->step(deadline)) {
      job.reset();
    } else if (was_blocked && moving.size() >= kMostMoving) {
      return Progress::kBlocked;
    }
  } while (!is_over(deadline));
  return Progress::kMore;
}

std::unique_ptr<Index::Clusters::Job> Index::Clusters::next_job() {
  const std::size_t n_rows = index.places_.size();
  const std::size_t flat_limit = index.options_.flat_limit;
  const std::size_t n_lists = seen().n_centroids();
  if (n_lists == 0) {
    if (flat_limit == 0 || n_rows < flat_limit) return nullptr;
    return std::make_unique<Train>(*this);
  }
  if (2 * n_rows < flat_limit) return std::make_unique<Dissolve>(*this, *seen().lists.back(), true);
  sweep_all();
  if (tail().n_rows > 0) return std::make_unique<Drain>(*this);
  // Splits and merges come first, for they change the answer; but they may go on for as long as rows are added.
  const bool is_due = is_measure_due();
  if (is_due && n_unmeasured > n_lists) return std::make_unique<Measure>(*this);
  List* largest = nullptr;
  List* smallest = nullptr;
  for (std::size_t n = 1; n <= n_lists; ++n) {
    List* list = seen().lists[n];
    if (list->n_rows > std::max(kSplitAt * aim(), list->split_above) &&
        (largest == nullptr || list->n_rows > largest->n_rows)) {
      largest = list;
    }
    if (smallest == nullptr || list->n_rows < smallest->n_rows) smallest = list;
  }
  if (largest != nullptr) return std::make_unique<Split>(*this, *largest);
  if (n_lists > 1 && kMergeBelow * smallest->n_rows < aim()) return std::make_unique<Dissolve>(*this, *smallest, false);
  if (is_due) return std::make_unique<Measure>(*this);
  return nullptr;
}

bool Index::Clusters::is_measure_due() const noexcept {
  const std::size_t n_rows = index.places_.size();
  const std::size_t n_changed = std::max(n_rows, n_rows_measured) - std::min(n_rows, n_rows_measured);
  return kMeasureAfter * n_changed > n_rows_measured || kMeasureAfter * n_unmeasured > seen().n_centroids();
}

void Index::Clusters::lists_for(const std::uint8_t* const* biased, std::size_t n, List** lists) const {
  const Snapshot& snapshot = seen();
  Best best[kAtOnce];
  if (snapshot.n_centroids() > 0) nearest(snapshot.centroids, snapshot.n_centroids(), biased, n, best);
  for (std::size_t i = 0; i < n; ++i) lists[i] = snapshot.lists[snapshot.n_centroids() > 0 ? 1 + best[i].at : 0];
}

void Index::Clusters::describe(IndexStats& stats) const {
  std::vector<std::size_t> sizes;
  for (std::size_t n = 1; n < seen().lists.size(); ++n) sizes.push_back(seen().lists[n]->n_rows);
  std::sort(sizes.begin(), sizes.end());
  stats.n_lists = sizes.size();
  stats.n_tail = tail().n_rows;
  stats.n_probes = mean_probes > 0 ? mean_probes : index.n_probes_.load(std::memory_order_relaxed);
  stats.recall = recall;
  stats.n_splits = n_splits;
  stats.n_merges = n_merges;
  if (sizes.empty()) return;
  stats.fewest = sizes.front();
  stats.median = sizes[sizes.size() / 2];
  stats.most = sizes.back();
}

const std::uint8_t* Index::Clusters::centroid(std::size_t number) const noexcept {
  return seen().centroids[(number - 1) / kPageRows] +
         static_cast<std::int64_t>((number - 1) % kPageRows) * index.stride_;
}

std::size_t Index::Clusters::aim() const noexcept {
  const auto root = static_cast<std::size_t>(std::sqrt(static_cast<double>(index.places_.size())));
  return std::clamp(root / 2, kFewestAimed, kMostAimed);
}

Best Index::Clusters::nearest(const std::vector<std::uint8_t*>& pages, std::size_t n, const SignedRow& row,
                              std::size_t except) const noexcept {
  Best best{std::numeric_limits<std::int32_t>::min(), 0};
  for (std::size_t p = 0; p * kPageRows < n; ++p) {
    std::uint64_t wanted = first_rows(n - p * kPageRows);
    if (except / kPageRows == p) wanted &= ~bit(static_cast<int>(except % kPageRows));
    nearest_of_page(pages[p], p * kPageRows, wanted, row, best);
  }
  return best;
}

void Index::Clusters::nearest(const std::vector<std::uint8_t*>& pages, std::size_t n, const std::uint8_t* const* biased,
                              std::size_t n_rows, Best* best) const {
  const auto rows = std::make_unique<SignedRow[]>(n_rows);
  for (std::size_t i = 0; i < n_rows; ++i) {
    rows[i].set(biased[i], index.stride_);
    best[i] = {std::numeric_limits<std::int32_t>::min(), 0};
  }
  for (std::size_t p = 0; p * kPageRows < n; ++p) {
    const std::uint64_t wanted = first_rows(n - p * kPageRows);
    for (std::size_t i = 0; i < n_rows; ++i) nearest_of_page(pages[p], p * kPageRows, wanted, rows[i], best[i]);
  }
  for (std::size_t i = 0; i < n_rows; ++i) wipe(rows[i].at, static_cast<std::size_t>(index.stride_));
}

void Index::Clusters::nearest_of_page(const std::uint8_t* page, std::size_t first, std::uint64_t wanted,
                                      const SignedRow& row, Best& best) const noexcept {
  alignas(64) std::int32_t scores[kPageRows];
  std::uint64_t above = index.kernels_.scan_u8({page, row.at, index.stride_, row.bias, wanted, best.score, nullptr, scores});
  for (; above != 0; above &= above - 1) {
    const int r = lowest_set(above);
    if (scores[r] > best.score) best = {scores[r], first + static_cast<std::size_t>(r)};
  }
}

void Index::Clusters::score(const std::uint8_t* rows, std::uint64_t wanted, const SignedRow& query,
                            std::int32_t* scores) const noexcept {
  index.kernels_.scan_u8({rows, query.at, index.stride_, query.bias, wanted, std::numeric_limits<std::int32_t>::min(),
                          nullptr, scores});
}

void Index::Clusters::begin_moves() {
  index.moving_.store(true, std::memory_order_seq_cst);
  index.n_moves_.fetch_add(1, std::memory_order_seq_cst);
}

void Index::Clusters::end_moves() noexcept {
  if (moving.size() == 0) index.moving_.store(false, std::memory_order_seq_cst);
}

void Index::Clusters::copy(Place from, List& to) {
  const std::int64_t id = from.page->id[from.row];
  begin_moves();
  moving.put(id, from);
  index.places_.put(id, index.copy_row(from, to));
}

void Index::Clusters::settle(std::vector<Place> copied) {
  if (copied.empty()) return;
  index.retire([this, copied = std::move(copied)] {
    // To who keeps rows of an older state this is a change as any other.
    index.version_.fetch_add(2, std::memory_order_seq_cst);
    std::vector<Place> gone;
    for (const Place& place : copied) {
      const std::int64_t id = place.page->id[place.row];
      const Place older = moving.find(id);
      if (older.page != place.page || older.row != place.row) continue;  // removed meanwhile
      place.page->live.fetch_and(~bit(place.row), std::memory_order_seq_cst);
      --place.page->list->n_rows;
      moving.erase(id);
      gone.push_back(place);
    }
    end_moves();
    index.retire([this, gone = std::move(gone)] {
      for (const Place& place : gone) index.release_row(*place.page, place.row);
    });
  });
}

void Index::Clusters::drop_older() noexcept {
  moving.clear();
  end_moves();
}

void Index::Clusters::retire_list(List* list) {
  index.retire([this, list] {
    const PageArray& pages = *list->pages.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < pages.n.load(std::memory_order_relaxed); ++i) index.drop_page(*pages.at[i]);
    const auto is_it = [list](const std::unique_ptr<List>& owned) { return owned.get() == list; };
    index.lists_.erase(std::find_if(index.lists_.begin(), index.lists_.end(), is_it));
  });
}

List& Index::Clusters::new_list() {
  index.lists_.push_back(std::make_unique<List>());
  return *index.lists_.back();
}

void Index::Clusters::sweep(List& list) {
  PageArray* old = list.pages.load(std::memory_order_relaxed);
  const std::size_t n = old->n.load(std::memory_order_relaxed);
  auto kept = std::make_unique<PageArray>(std::max(List::kFirstPages, n));
  std::vector<Page*> gone;
  std::size_t n_kept = 0;
  for (std::size_t i = 0; i < n; ++i) {
    Page* page = old->at[i];
    if (page->used == 0 && gone.size() < kSweptAtOnce) {
      page->list = nullptr;
      gone.push_back(page);
    } else {
      kept->at[n_kept++] = page;
    }
  }
  kept->n.store(n_kept, std::memory_order_relaxed);
  list.open.erase(std::remove_if(list.open.begin(), list.open.end(), [](const Page* page) { return page->list == nullptr; }),
                  list.open.end());
  list.n_empty -= gone.size();
  list.pages.store(kept.release(), std::memory_order_seq_cst);
  index.retire([this, old, gone = std::move(gone)] {
    delete old;
    for (Page* page : gone) index.drop_page(*page);
  });
}

void Index::Clusters::sweep_all() {
  for (List* list : seen().lists) {
    if (list->n_empty > 0) sweep(*list);
  }
}

std::uint64_t Index::Clusters::random() noexcept {  // xorshift64: Marsaglia, "Xorshift RNGs", 2003
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

}  // namespace sm

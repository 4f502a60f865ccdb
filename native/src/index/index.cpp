// The writer's side of the index.
#include "index/index.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <utility>

#include "bits.h"
#include "clusters.h"
#include "query.h"

namespace sm {

namespace {

constexpr std::size_t kFirstProbes = 32;           // until a number is measured
constexpr std::chrono::microseconds kHold{1000};  // for which `maintain` keeps other writers out

std::int64_t rounded_up(std::int64_t n, std::int64_t step) noexcept { return (n + step - 1) / step * step; }

std::size_t page_bytes(std::int64_t row_bytes) noexcept { return static_cast<std::size_t>(kPageRows * row_bytes); }

void raise(std::atomic<std::int32_t>& greatest, std::int32_t value) noexcept {
  if (value > greatest.load(std::memory_order_relaxed)) greatest.store(value, std::memory_order_relaxed);
}

}  // namespace

// The writer's lock, and its mark in the version: what a reader kept from an even version that is still the same after
// it announced itself was neither taken away before, nor will it be zeroed while that reader is there. `maintain` makes way
// for writers that wait.
class Index::Writing {
 public:
  explicit Writing(Index& index) : index_(announced(index)), lock_(index.writing_) {
    index_.version_.fetch_add(1, std::memory_order_seq_cst);
  }
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;
  ~Writing() {
    index_.n_writers_.fetch_sub(1, std::memory_order_relaxed);
    index_.version_.fetch_add(1, std::memory_order_seq_cst);
  }

 private:
  static Index& announced(Index& index) noexcept {
    index.n_writers_.fetch_add(1, std::memory_order_relaxed);
    return index;
  }

  Index& index_;
  const std::lock_guard<std::mutex> lock_;
};

Index::Index(const IndexOptions& options)
    : options_(options),
      kernels_(options.kernels != nullptr ? *options.kernels : available_kernels().front()),
      stride_(rounded_up(options.n_dims, kRowAlign)),
      sign_bytes_(options.signs ? rounded_up(options.n_dims, 8 * kBitAlign) / 8 : 0),
      steps_(high_steps(options.n_dims)),
      high_(page_bytes(stride_), options.lock),
      low_(page_bytes(stride_), options.lock),
      signs_(page_bytes(sign_bytes_), options.lock),
      clusters_(std::make_unique<Clusters>(*this)),
      n_probes_(kFirstProbes) {
  if (options.n_dims < 1 || options.n_dims > kMaxStride) throw std::invalid_argument("n_dims must be 1 to 4096");
  lists_.push_back(std::make_unique<List>());
  auto snapshot = std::make_unique<Snapshot>();
  snapshot->lists.push_back(lists_.front().get());
  snapshot_.store(snapshot.release(), std::memory_order_seq_cst);
  if (options.n_remembered > 0) {
    lookaside_ = std::make_unique<Lookaside>(stride_, options.n_remembered, kernels_, options.lock);
  }
}

Index::~Index() {
  free_everything();
  free_snapshot(snapshot_.load(std::memory_order_seq_cst));
}

void Index::add(const std::int64_t* ids, const float* rows, const Attributes* attributes, std::size_t n) {
  const Writing writing(*this);
  release_unseen();
  add_rows(ids, rows, attributes, n);
}

void Index::add(const std::int64_t* ids, const std::int8_t* rows, const Attributes* attributes, std::size_t n) {
  const Writing writing(*this);
  release_unseen();
  add_rows(ids, rows, attributes, n);
}

std::size_t Index::remove(const std::int64_t* ids, std::size_t n) {
  const Writing writing(*this);
  std::size_t n_removed = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const Place place = places_.find(ids[i]);
    if (place.page == nullptr) continue;
    forget(ids[i], place);
    ++n_removed;
  }
  release_unseen();
  return n_removed;
}

template <typename T>
void Index::add_rows(const std::int64_t* ids, const T* rows, const Attributes* attributes, std::size_t n) {
  for (std::size_t from = 0; from < n; from += Clusters::kAtOnce) {
    const std::size_t n_now = std::min(n - from, Clusters::kAtOnce);
    std::deque<Row> quantized;
    const std::uint8_t* high[Clusters::kAtOnce];
    List* lists[Clusters::kAtOnce];
    for (std::size_t i = 0; i < n_now; ++i) {
      high[i] = quantized.emplace_back(rows + static_cast<std::int64_t>(from + i) * options_.n_dims, *this).high;
    }
    clusters_->lists_for(high, n_now, lists);
    for (std::size_t i = 0; i < n_now; ++i) add_row(ids[from + i], quantized[i], attributes[from + i], *lists[i]);
  }
}

void Index::add_row(std::int64_t id, const Row& row, const Attributes& attributes, List& list) {
  const Place known = places_.find(id);
  if (known.page != nullptr) {
    if (complete(known, row, attributes)) {
      const Place older = clusters_->moving.find(id);
      if (older.page != nullptr) complete(older, row, attributes);
      return;
    }
    forget(id, known);
  }
  place_row(list, id, row, attributes);
}

// Readers look at the low plane of a row only after its bit in `fine` was set, so it may be filled in place.
bool Index::complete(Place place, const Row& row, const Attributes& attributes) noexcept {
  Page& page = *place.page;
  const int r = place.row;
  const bool same = page.project[r] == attributes.project && page.source[r] == attributes.source &&
                    page.trust[r] == attributes.trust && page.time[r] == attributes.time &&
                    std::memcmp(page.high + r * stride_, row.high, static_cast<std::size_t>(stride_)) == 0;
  if (!same) return false;
  if (!row.is_fine || page.low == nullptr) return true;
  std::int8_t* low = page.low + r * stride_;
  if ((page.fine.load(std::memory_order_relaxed) & bit(r)) != 0) {
    return std::memcmp(low, row.low, static_cast<std::size_t>(stride_)) == 0;
  }
  measure(row);
  std::memcpy(low, row.low, static_cast<std::size_t>(stride_));
  page.fine.fetch_or(bit(r), std::memory_order_seq_cst);
  return true;
}

// For what the lookaside proves of rows that it has not seen.
void Index::measure(const Row& row) noexcept {
  if (lookaside_ == nullptr) return;
  std::int32_t high = 0;
  std::int32_t low = 0;
  for (std::int64_t d = 0; d < stride_; ++d) high += (row.high[d] - 128) * (row.high[d] - 128);
  raise(longest_, high);
  if (!row.is_fine) return;
  for (std::int64_t d = 0; d < stride_; ++d) low += row.low[d] * row.low[d];
  raise(longest_low_, low);
}

void Index::place_row(List& list, std::int64_t id, const Row& row, const Attributes& attributes) {
  const Place place = free_place(list);
  places_.put(id, place);
  Page& page = *place.page;
  const int r = place.row;
  std::memcpy(page.high + r * stride_, row.high, static_cast<std::size_t>(stride_));
  if (page.signs != nullptr) pack_signs(row.high, options_.n_dims, sign_bytes_, page.signs + r * sign_bytes_);
  page.id[r] = id;
  page.project[r] = attributes.project;
  page.source[r] = attributes.source;
  page.trust[r] = attributes.trust;
  page.time[r] = attributes.time;
  if (row.is_fine && page.low != nullptr) {
    std::memcpy(page.low + r * stride_, row.low, static_cast<std::size_t>(stride_));
    page.fine.fetch_or(bit(r), std::memory_order_seq_cst);
  }
  measure(row);
  publish(place);
}

// A second copy of a row, with everything that belongs to it.
Place Index::copy_row(Place from, List& to) {
  const Place place = free_place(to);
  const Page& old = *from.page;
  Page& page = *place.page;
  const int o = from.row;
  const int r = place.row;
  std::memcpy(page.high + r * stride_, old.high + o * stride_, static_cast<std::size_t>(stride_));
  if (page.signs != nullptr) {
    std::memcpy(page.signs + r * sign_bytes_, old.signs + o * sign_bytes_, static_cast<std::size_t>(sign_bytes_));
  }
  page.id[r] = old.id[o];
  page.project[r] = old.project[o];
  page.source[r] = old.source[o];
  page.trust[r] = old.trust[o];
  page.time[r] = old.time[o];
  if ((old.fine.load(std::memory_order_relaxed) & bit(o)) != 0) {
    std::memcpy(page.low + r * stride_, old.low + o * stride_, static_cast<std::size_t>(stride_));
    page.fine.fetch_or(bit(r), std::memory_order_seq_cst);
  }
  publish(place);
  return place;
}

Place Index::free_place(List& list) {
  Page& page = page_with_room(list);
  return {&page, lowest_clear(page.used)};
}

void Index::publish(Place place) noexcept {
  Page& page = *place.page;
  if (page.used == 0) --page.list->n_empty;
  page.used |= bit(place.row);
  ++page.list->n_rows;
  page.live.fetch_or(bit(place.row), std::memory_order_seq_cst);
}

Page& Index::page_with_room(List& list) {
  while (!list.open.empty()) {
    Page& page = *list.open.back();
    if (page.used != ~std::uint64_t{0}) return page;
    page.is_open = false;
    list.open.pop_back();
  }
  append_page(list);
  return *list.open.back();
}

void Index::append_page(List& list) {
  auto page = std::make_unique<Page>();
  page->list = &list;
  page->number = pages_.size();
  page->is_open = true;
  list.open.reserve(list.open.size() + 1);
  if (pages_.size() == pages_.capacity()) pages_.reserve(2 * pages_.size() + List::kFirstPages);
  PageArray* pages = list.pages.load(std::memory_order_relaxed);
  const std::size_t n = pages->n.load(std::memory_order_relaxed);
  if (n == pages->capacity) {
    auto larger = std::make_unique<PageArray>(2 * n);
    std::memcpy(larger->at.get(), pages->at.get(), n * sizeof(Page*));
    larger->n.store(n, std::memory_order_relaxed);
    list.pages.store(larger.get(), std::memory_order_seq_cst);
    retire([pages] { delete pages; });
    pages = larger.release();
  }
  page->high = high_.take();
  if (options_.fine) page->low = reinterpret_cast<std::int8_t*>(low_.take());
  if (options_.signs) page->signs = signs_.take();
  pages->at[n] = page.get();
  list.open.push_back(page.get());
  ++list.n_empty;
  pages_.push_back(std::move(page));
  pages->n.store(n + 1, std::memory_order_seq_cst);
}

// No reader may know it any more.
void Index::drop_page(Page& page) noexcept {
  high_.give(page.high);
  if (page.low != nullptr) low_.give(reinterpret_cast<std::uint8_t*>(page.low));
  if (page.signs != nullptr) signs_.give(page.signs);
  const std::size_t number = page.number;
  std::swap(pages_[number], pages_.back());
  pages_[number]->number = number;
  pages_.pop_back();
}

// Take away all copies of a row.
void Index::forget(std::int64_t id, Place place) {
  take_away(place);
  const Place older = clusters_->moving.find(id);
  if (older.page != nullptr) {
    take_away(older);
    clusters_->moving.erase(id);
  }
  places_.erase(id);
}

void Index::take_away(Place place) {
  Page* page = place.page;
  const int row = place.row;
  page->live.fetch_and(~bit(row), std::memory_order_seq_cst);
  --page->list->n_rows;
  retire([this, page, row] { release_row(*page, row); });
}

void Index::release_row(Page& page, int row) noexcept {
  wipe(page.high + row * stride_, static_cast<std::size_t>(stride_));
  if (page.low != nullptr) wipe(page.low + row * stride_, static_cast<std::size_t>(stride_));
  if (page.signs != nullptr) wipe(page.signs + row * sign_bytes_, static_cast<std::size_t>(sign_bytes_));
  page.fine.fetch_and(~bit(row), std::memory_order_seq_cst);
  page.used &= ~bit(row);
  if (page.used == 0) ++page.list->n_empty;
  if (!page.is_open) {
    page.is_open = true;
    page.list->open.push_back(&page);
  }
}

void Index::retire(std::function<void()> release) {
  retired_.push_back({epochs_.advance(), std::move(release)});
}

bool Index::reclaim() {
  const std::lock_guard<std::mutex> writing(writing_);
  return release_unseen();
}

bool Index::release_unseen() {
  while (!retired_.empty() && epochs_.passed(retired_.front().epoch)) {
    retired_.front().release();
    retired_.pop_front();
  }
  return retired_.empty();
}

void Index::clear() {
  const Writing writing(*this);
  auto tail = std::make_unique<List>();
  auto empty = std::make_unique<Snapshot>();
  empty->lists.push_back(tail.get());
  const Snapshot* old = snapshot_.exchange(empty.release(), std::memory_order_seq_cst);
  retire([this, old] { free_snapshot(old); });
  while (!release_unseen()) std::this_thread::yield();
  free_everything();
  lists_.push_back(std::move(tail));
  clusters_ = std::make_unique<Clusters>(*this);
  n_probes_.store(kFirstProbes, std::memory_order_relaxed);
  reach_.store(-1.0, std::memory_order_relaxed);
  longest_.store(0, std::memory_order_relaxed);
  longest_low_.store(0, std::memory_order_relaxed);
  if (lookaside_ != nullptr) lookaside_->clear(version_.load(std::memory_order_relaxed));
}

void Index::free_snapshot(const Snapshot* snapshot) noexcept {
  for (std::uint8_t* block : snapshot->centroids) high_.give(block);
  delete snapshot;
}

bool Index::maintain(std::int64_t budget_us) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(budget_us);
  for (;;) {
    const Writing writing(*this);
    const auto now = std::chrono::steady_clock::now();
    const Clusters::Progress progress = clusters_->work(std::min(end, now + kHold));
    if (progress != Clusters::Progress::kMore) return progress == Clusters::Progress::kBlocked;
    if (std::chrono::steady_clock::now() >= end || n_writers_.load(std::memory_order_relaxed) > 1) return true;
  }
}

// Nobody may be reading any more.
void Index::free_everything() noexcept {
  while (!retired_.empty()) {
    retired_.front().release();
    retired_.pop_front();
  }
  clusters_->stop();
  while (!pages_.empty()) drop_page(*pages_.back());
  lists_.clear();
  places_.clear();
}

IndexStats Index::stats() const {
  const std::lock_guard<std::mutex> writing(writing_);
  IndexStats stats;
  stats.n_rows = places_.size();
  for (const auto& page : pages_) {
    std::uint64_t fine = page->fine.load(std::memory_order_relaxed) & page->live.load(std::memory_order_relaxed);
    for (; fine != 0; fine &= fine - 1) ++stats.n_fine;
  }
  stats.held_bytes = high_.held_bytes() + low_.held_bytes() + signs_.held_bytes();
  stats.locked_bytes = high_.locked_bytes() + low_.locked_bytes() + signs_.locked_bytes();
  stats.n_waiting = retired_.size();
  clusters_->describe(stats);
  stats.n_remembered = lookaside_ != nullptr ? lookaside_->size() : 0;
  stats.n_repeats = n_repeats_.load(std::memory_order_relaxed);
  stats.n_near = n_near_.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace sm

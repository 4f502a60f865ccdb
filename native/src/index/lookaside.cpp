#include "index/lookaside.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace sm {

namespace {

constexpr std::size_t kMostFilters = 256;

std::uint64_t bit(int row) noexcept { return std::uint64_t{1} << row; }

int lowest_set(std::uint64_t word) noexcept {
#if defined(__GNUC__)
  return __builtin_ctzll(word);
#else
  int row = 0;
  while (((word >> row) & 1U) == 0) ++row;
  return row;
#endif
}

bool equal(const RowSet& a, const RowSet& b) noexcept { return a.only == b.only && a.bits == b.bits; }

bool equal(const Filter& a, const Filter& b) noexcept {
  return a.least_trust == b.least_trust && a.since == b.since && a.until == b.until && equal(a.projects, b.projects) &&
         equal(a.sources, b.sources);
}

std::size_t count_set(const std::uint8_t* at, std::size_t n_bytes) noexcept {
  return n_bytes - static_cast<std::size_t>(std::count(at, at + n_bytes, std::uint8_t{0}));
}

}  // namespace

double most_outside(const Surroundings& around, double least) noexcept {
  const auto [a, m, n, x2] = around;
  constexpr double kExact = 9007199254740992.0;  // 2^53: products up to here are whole numbers
  constexpr double kLost = 4e-15;                // of a result: more than all roundings here together
  const double beyond = x2 * n - least * least;  // negative: no row reaches |least|
  if (least < 0 && beyond < 0) return -std::numeric_limits<double>::infinity();
  const double most = std::sqrt(x2) * std::sqrt(m);
  double reached = most;
  // Beyond the top of f, that is if s sqrt(M) >= A X, f(s) says nothing.
  if (n > 0 && beyond >= 0 && least * std::sqrt(m) < a * std::sqrt(x2)) {
    const double across = std::fmax(0.0, m * n - a * a) + (m * n > kExact ? kLost * m * n : 0.0);
    reached = std::fmin(most, (a * least + std::sqrt(across) * std::sqrt(beyond)) / n);
  }
  return reached + kLost * most;
}

Lookaside::Lookaside(std::int64_t stride, std::size_t capacity, const Kernels& kernels, bool lock)
    : stride_(stride),
      capacity_(capacity),
      kernels_(kernels),
      high_(static_cast<std::size_t>(kPageRows * stride), lock),
      wide_(static_cast<std::size_t>(kPageRows * stride) * sizeof(std::int16_t), lock) {}

Recalled Lookaside::lookup(const Asked& asked) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (asked.version != version_) {
    if (asked.version > version_) {
      drop_all();
      version_ = asked.version;
    }
    return {};
  }
  const std::uint32_t filter = number_of(asked.filter);
  if (n_ == 0 || filter == kUnknown) return {};
  const Place place = nearest(asked, filter, false);
  if (place.page == nullptr) return {};
  Entry& entry = place.page->entries[place.row];
  entry.used = ++tick_;
  return {entry.found, same(*place.page, place.row, asked), place.product, wide_product(place, asked), entry.square};
}

void Lookaside::remember(const Asked& asked, std::shared_ptr<const Neighbourhood> found) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (capacity_ == 0 || asked.version < version_) return;
  if (asked.version > version_) {
    drop_all();
    version_ = asked.version;
  }
  const std::uint32_t filter = number_for(asked.filter);
  const Place known = nearest(asked, filter, true);
  const Place place = known.page != nullptr ? known : free_place();
  QueryPage& page = *place.page;
  std::uint8_t* high = page.high + place.row * stride_;
  for (std::int64_t d = 0; d < stride_; ++d) high[d] = static_cast<std::uint8_t>(asked.high[d] + 128);
  std::memcpy(page.wide + place.row * stride_, asked.wide, static_cast<std::size_t>(stride_) * sizeof(*asked.wide));
  page.entries[place.row] = {++tick_, asked.square, filter, std::move(found)};
  if ((page.live & bit(place.row)) == 0) ++n_;
  page.live |= bit(place.row);
}

void Lookaside::clear(std::uint64_t version) {
  const std::lock_guard<std::mutex> lock(mutex_);
  drop_all();
  version_ = std::max(version_, version);
}

std::size_t Lookaside::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return n_;
}

std::size_t Lookaside::n_bytes_in_use() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::size_t n = 0;
  for (const auto& page : pages_) {
    n += count_set(page->high, high_.block_bytes());
    n += count_set(reinterpret_cast<const std::uint8_t*>(page->wide), wide_.block_bytes());
  }
  return n;
}

std::uint32_t Lookaside::number_of(const Filter* filter) const noexcept {
  if (filter == nullptr) return 0;
  for (std::size_t i = 0; i < filters_.size(); ++i) {
    if (equal(filters_[i], *filter)) return static_cast<std::uint32_t>(i) + 1;
  }
  return kUnknown;
}

std::uint32_t Lookaside::number_for(const Filter* filter) {
  const std::uint32_t known = number_of(filter);
  if (known != kUnknown) return known;
  // Filters that change with every query, such as one by time, shall not grow the list.
  if (filters_.size() == kMostFilters) drop_all();
  filters_.push_back(*filter);
  return static_cast<std::uint32_t>(filters_.size());
}

// With `same_only`, the same query or none. Otherwise only a query within 60 degrees counts: from one farther away, the
// bound above never proves anything.
Lookaside::Place Lookaside::nearest(const Asked& asked, std::uint32_t filter, bool same_only) noexcept {
  alignas(64) std::int32_t scores[kPageRows];
  Place best;
  ScanU8Args args{nullptr, asked.high, stride_, asked.bias, 0, 0, nullptr, scores};
  args.threshold = same_only ? asked.square - 1 : asked.square / 2;
  for (std::size_t i = 0; i < pages_.size(); ++i) {
    QueryPage& page = *pages_[i];
    if (page.live == 0) continue;
    args.rows = page.high;
    args.wanted = page.live;
    args.next = i + 1 < pages_.size() ? pages_[i + 1]->high : nullptr;
    for (std::uint64_t above = kernels_.scan_u8(args); above != 0; above &= above - 1) {
      const int row = lowest_set(above);
      if (page.entries[row].filter != filter) continue;
      if (scores[row] == asked.square && same(page, row, asked)) return {&page, row, scores[row]};
      if (same_only || scores[row] <= args.threshold) continue;
      best = {&page, row, scores[row]};
      // A longer vector scores above a nearer one, but never above the same one by more than a step of rounding; the
      // threshold stays low enough for that one to be seen.
      args.threshold = std::min(scores[row], asked.square - 1);
    }
  }
  return best;
}

std::int64_t Lookaside::wide_product(const Place& place, const Asked& asked) const noexcept {
  alignas(64) static constexpr std::int8_t kNoLow[kMaxStride] = {};
  const std::uint8_t* high = place.page->high + place.row * stride_;
  const std::int8_t* low = kNoLow;
  std::int64_t sum = 0;
  kernels_.rescore_i16({asked.wide, &high, &low, 1, stride_, &sum});
  return sum / kLowSteps;
}

bool Lookaside::same(const QueryPage& page, int row, const Asked& asked) const noexcept {
  return std::memcmp(page.wide + row * stride_, asked.wide, static_cast<std::size_t>(stride_) * sizeof(*asked.wide)) == 0;
}

Lookaside::Place Lookaside::free_place() {
  if (n_ < capacity_) {
    for (const auto& page : pages_) {
      if (page->live != ~std::uint64_t{0}) return {page.get(), lowest_set(~page->live), 0};
    }
    auto page = std::make_unique<QueryPage>();
    pages_.reserve(pages_.size() + 1);
    page->high = high_.take();
    page->wide = reinterpret_cast<std::int16_t*>(wide_.take());
    pages_.push_back(std::move(page));
    return {pages_.back().get(), 0, 0};
  }
  Place oldest;
  for (const auto& page : pages_) {
    for (std::uint64_t live = page->live; live != 0; live &= live - 1) {
      const int row = lowest_set(live);
      if (oldest.page == nullptr || page->entries[row].used < oldest.page->entries[oldest.row].used) {
        oldest = {page.get(), row, 0};
      }
    }
  }
  drop(*oldest.page, oldest.row);
  return oldest;
}

void Lookaside::drop(QueryPage& page, int row) noexcept {
  wipe(page.high + row * stride_, static_cast<std::size_t>(stride_));
  wipe(page.wide + row * stride_, static_cast<std::size_t>(stride_) * sizeof(std::int16_t));
  page.entries[row] = {};
  page.live &= ~bit(row);
  --n_;
}

void Lookaside::drop_all() noexcept {
  for (const auto& page : pages_) {
    for (std::uint64_t live = page->live; live != 0; live &= live - 1) drop(*page, lowest_set(live));
  }
  filters_.clear();
}

}  // namespace sm

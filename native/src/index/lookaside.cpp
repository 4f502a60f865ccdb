#include "index/lookaside.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "bits.h"

namespace sm {

namespace {

constexpr std::size_t kMostFilters = 256;

bool equal(const Filter& a, const Filter& b) noexcept {
  return a.least_trust == b.least_trust && a.since == b.since && a.until == b.until && a.projects == b.projects &&
         a.sources == b.sources;
}

std::size_t n_not_zero(const std::uint8_t* at, std::size_t n_bytes) noexcept {
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
  Place place = find(asked, filter);
  const bool is_same = place.page != nullptr;
  if (!is_same) place = nearest(asked, filter);
  if (place.page == nullptr) return {};
  Entry& entry = place.page->entries[place.row];
  entry.used = ++tick_;
  return {entry.found, is_same, place.product, wide_product(place, asked), entry.square};
}

void Lookaside::remember(const Asked& asked, std::shared_ptr<const Neighbourhood> found) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (capacity_ == 0 || asked.version < version_) return;
  if (asked.version > version_) {
    drop_all();
    version_ = asked.version;
  }
  const std::uint32_t filter = number_for(asked.filter);
  const Place known = find(asked, filter);
  const Place place = known.page != nullptr ? known : free_place();
  QueryPage& page = *place.page;
  std::uint8_t* high = page.high + place.row * stride_;
  for (std::int64_t d = 0; d < stride_; ++d) high[d] = static_cast<std::uint8_t>(asked.high[d] + 128);
  std::memcpy(page.wide + place.row * stride_, asked.wide, static_cast<std::size_t>(stride_) * sizeof(*asked.wide));
  page.hashes[place.row] = hash(asked.wide);
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
    n += n_not_zero(page->high, high_.block_bytes());
    n += n_not_zero(reinterpret_cast<const std::uint8_t*>(page->wide), wide_.block_bytes());
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

Lookaside::Place Lookaside::find(const Asked& asked, std::uint32_t filter) noexcept {
  const std::uint32_t wanted = hash(asked.wide);
  for (const auto& page : pages_) {
    std::uint32_t n_equal = 0;
    for (const std::uint32_t known : page->hashes) n_equal += known == wanted ? 1U : 0U;
    if (n_equal == 0) continue;
    for (std::uint64_t live = page->live; live != 0; live &= live - 1) {
      const int row = lowest_set(live);
      if (page->hashes[row] == wanted && page->entries[row].filter == filter && same(*page, row, asked)) {
        return {page.get(), row, asked.square};
      }
    }
  }
  return {};
}

// Only a query within 60 degrees counts: from one farther away, the bound never proves anything.
Lookaside::Place Lookaside::nearest(const Asked& asked, std::uint32_t filter) noexcept {
  alignas(64) std::int32_t scores[kPageRows];
  Place best;
  ScanU8Args args{nullptr, asked.high, stride_, asked.bias, 0, asked.square / 2, nullptr, scores};
  for (const auto& page : pages_) {
    args.rows = page->high;
    args.wanted = page->live;
    if (args.wanted == 0) continue;
    for (std::uint64_t above = kernels_.scan_u8(args); above != 0; above &= above - 1) {
      const int row = lowest_set(above);
      if (page->entries[row].filter != filter || scores[row] <= args.threshold) continue;
      best = {page.get(), row, scores[row]};
      args.threshold = scores[row];
    }
  }
  return best;
}

// Multiplied and folded, eight bytes at a time in four chains, so that one multiplication need not wait for the last.
std::uint32_t Lookaside::hash(const std::int16_t* wide) const noexcept {
  constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15U;  // 2^64 divided by the golden ratio
  std::uint64_t chains[4] = {1, 2, 3, 4};
  const auto n_bytes = static_cast<std::size_t>(stride_) * sizeof(*wide);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(wide);
  for (std::size_t i = 0; i < n_bytes; i += sizeof(chains)) {
    std::uint64_t words[4];
    std::memcpy(words, bytes + i, sizeof(words));
    for (int c = 0; c < 4; ++c) {
      chains[c] = (chains[c] ^ words[c]) * kOdd;
      chains[c] ^= chains[c] >> 29;
    }
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t chain : chains) {
    sum = (sum ^ chain) * kOdd;
    sum ^= sum >> 32;
  }
  return static_cast<std::uint32_t>(sum);
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
      if (page->live != ~std::uint64_t{0}) return {page.get(), lowest_clear(page->live), 0};
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
  page.hashes[row] = 0;
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

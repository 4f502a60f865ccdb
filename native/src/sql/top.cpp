#include "sql/top.h"

#include <algorithm>
#include <cstring>

#include "../index/bits.h"

namespace sm::sql {

namespace {

constexpr std::size_t kIdBytes = sizeof(std::int64_t);
constexpr std::size_t kSlack = 64;
// A bitmap answers at once and a list by halving, so up to so many bytes the bitmap may be the longer form: 8 million ids.
constexpr std::size_t kBitmapBytes = std::size_t{1} << 20;
// Below so many wanted rows of a group, one call for each is cheaper than scoring them all.
constexpr int kFewRows = 24;

std::int64_t id_at(Bytes ids, std::size_t n) noexcept {
  std::int64_t id;
  std::memcpy(&id, ids.at + n * kIdBytes, kIdBytes);  // a BLOB need not be aligned
  return id;
}

// Up to 64 bits from slot `from` on, which is a multiple of 64.
std::uint64_t word_at(Bytes bits, std::size_t from) noexcept {
  std::uint64_t word = 0;
  const std::size_t first = from / 8;
  const std::size_t n = std::min<std::size_t>(8, bits.size - first);
  for (std::size_t i = 0; i < n; ++i) word |= std::uint64_t{bits.at[first + i]} << (8 * i);
  return word;
}

std::uint64_t among(const IdSet& ids, Bytes rowids, std::size_t from, std::uint64_t word) noexcept {
  std::uint64_t kept = 0;
  for (std::uint64_t rest = word; rest != 0; rest &= rest - 1) {
    const int r = lowest_set(rest);
    kept |= std::uint64_t{ids.has(id_at(rowids, from + static_cast<std::size_t>(r)))} << r;
  }
  return kept;
}

bool better(const Neighbour& a, const Neighbour& b) noexcept {
  return a.score != b.score ? a.score > b.score : a.id < b.id;
}

template <typename T>
void append(std::vector<std::uint8_t>& out, const T* values, std::size_t n) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(values);
  out.insert(out.end(), bytes, bytes + n * sizeof(T));
}

}  // namespace

bool IdSet::open(Bytes bytes) noexcept {
  if (bytes.size < kIdBytes) return false;
  const std::int64_t form = id_at(bytes, 0);
  bitmap_ = form == 1;
  if (bitmap_) {
    if (bytes.size < 2 * kIdBytes) return false;
    first_ = id_at(bytes, 1);
    body_ = {bytes.at + 2 * kIdBytes, bytes.size - 2 * kIdBytes};
    return true;
  }
  body_ = {bytes.at + kIdBytes, bytes.size - kIdBytes};
  return form == 0 && body_.size % kIdBytes == 0;
}

bool IdSet::has(std::int64_t id) const noexcept {
  if (bitmap_) {
    // Unsigned, so that an id below `first` becomes a distance no bitmap has.
    const std::uint64_t n = static_cast<std::uint64_t>(id) - static_cast<std::uint64_t>(first_);
    return n / 8 < body_.size && ((body_.at[n / 8] >> (n % 8)) & 1U) != 0;
  }
  std::size_t low = 0;
  std::size_t high = body_.size / kIdBytes;
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if (id_at(body_, middle) < id) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < body_.size / kIdBytes && id_at(body_, low) == id;
}

std::vector<std::uint8_t> IdSet::pack(std::vector<std::int64_t>& ids) {
  if (!std::is_sorted(ids.begin(), ids.end())) std::sort(ids.begin(), ids.end());
  std::vector<std::uint8_t> out;
  std::int64_t form = 0;
  if (!ids.empty()) {
    const std::uint64_t reach = static_cast<std::uint64_t>(ids.back()) - static_cast<std::uint64_t>(ids.front());
    if (reach / 8 < std::max(kBitmapBytes, ids.size() * kIdBytes)) {
      form = 1;
      append(out, &form, 1);
      append(out, ids.data(), 1);
      out.resize(2 * kIdBytes + static_cast<std::size_t>(reach / 8) + 1);
      for (const std::int64_t id : ids) {
        const std::uint64_t n = static_cast<std::uint64_t>(id) - static_cast<std::uint64_t>(ids.front());
        out[2 * kIdBytes + n / 8] = static_cast<std::uint8_t>(out[2 * kIdBytes + n / 8] | (1U << (n % 8)));
      }
      return out;
    }
  }
  append(out, &form, 1);
  append(out, ids.data(), ids.size());
  return out;
}

bool fits(const Block& block, std::size_t n_dims) noexcept {
  const std::size_t n = block.rowids.size / kIdBytes;
  if (n == 0 || block.rowids.size % kIdBytes != 0 || n % 8 != 0 || block.validity.size != n / 8) return false;
  // No product: a size that overflows must not fit.
  return n_dims == 0 || (block.vectors.size % n == 0 && block.vectors.size / n == n_dims);
}

bool has_any(const Block& block, const IdSet& ids) noexcept {
  const std::size_t n = block.rowids.size / kIdBytes;
  for (std::size_t from = 0; from < n; from += 64) {
    for (std::uint64_t rest = word_at(block.validity, from); rest != 0; rest &= rest - 1) {
      if (ids.has(id_at(block.rowids, from + static_cast<std::size_t>(lowest_set(rest))))) return true;
    }
  }
  return false;
}

void BlockTop::add(const Block& block, Bytes query, const IdSet* ids) {
  if (k_ == 0) return;
  const std::size_t n = block.rowids.size / kIdBytes;
  for (std::size_t from = 0; from < n; from += kGroup) {
    std::uint64_t wanted = word_at(block.validity, from);
    if (ids != nullptr) wanted = among(*ids, block.rowids, from, wanted);
    if (wanted == 0) continue;
    score(block.vectors.at + from * query.size, query, wanted, std::min(kGroup, n - from));
    if (full_ && *std::max_element(scores_, scores_ + kGroup) <= threshold_) continue;
    for (std::uint64_t rest = wanted; rest != 0; rest &= rest - 1) {
      const auto r = static_cast<std::size_t>(lowest_set(rest));
      if (!full_ || scores_[r] > threshold_) push({id_at(block.rowids, from + r), scores_[r], 0});
    }
  }
}

void BlockTop::score(const std::uint8_t* rows, Bytes query, std::uint64_t wanted, std::size_t n_rows) noexcept {
  const auto* q = reinterpret_cast<const std::int8_t*>(query.at);
  const auto* first = reinterpret_cast<const std::int8_t*>(rows);
  const auto n_dims = static_cast<std::int64_t>(query.size);
  if (count_set(wanted) >= kFewRows) {
    dot_({q, first, static_cast<std::int64_t>(n_rows), n_dims, n_dims, scores_});
    return;
  }
  for (std::uint64_t rest = wanted; rest != 0; rest &= rest - 1) {
    const int r = lowest_set(rest);
    dot_({q, first + r * n_dims, 1, n_dims, n_dims, scores_ + r});
  }
}

void BlockTop::push(Neighbour found) {
  found_.push_back(found);
  if (found_.size() >= 2 * k_ + kSlack) select();
}

void BlockTop::select() {
  std::nth_element(found_.begin(), found_.begin() + static_cast<std::ptrdiff_t>(k_ - 1), found_.end(), better);
  found_.resize(k_);
  threshold_ = found_.back().score;
  full_ = true;
}

const std::vector<Neighbour>& BlockTop::finish() {
  if (found_.size() > k_) select();
  std::sort(found_.begin(), found_.end(), better);
  return found_;
}

}  // namespace sm::sql

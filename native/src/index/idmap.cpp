#include "index/idmap.h"

#include <utility>

namespace sm {

namespace {

constexpr std::size_t kFewest = 64;

}  // namespace

// Fibonacci hashing: ids are mostly consecutive, and the multiplication spreads them.
std::size_t IdMap::home(std::int64_t id) const noexcept {
  return static_cast<std::size_t>((static_cast<std::uint64_t>(id) * 0x9E3779B97F4A7C15U) >> 20) & (entries_.size() - 1);
}

std::size_t IdMap::slot(std::int64_t id) const noexcept {
  std::size_t at = home(id);
  while (entries_[at].place.page != nullptr && entries_[at].id != id) at = (at + 1) & (entries_.size() - 1);
  return at;
}

Place IdMap::find(std::int64_t id) const noexcept { return entries_.empty() ? Place{} : entries_[slot(id)].place; }

void IdMap::put(std::int64_t id, Place place) {
  if (4 * (n_ + 1) > 3 * entries_.size()) grow();
  Entry& entry = entries_[slot(id)];
  if (entry.place.page == nullptr) ++n_;
  entry = {id, place};
}

bool IdMap::erase(std::int64_t id) noexcept {
  if (entries_.empty()) return false;
  std::size_t hole = slot(id);
  if (entries_[hole].place.page == nullptr) return false;
  const std::size_t mask = entries_.size() - 1;
  for (std::size_t at = (hole + 1) & mask; entries_[at].place.page != nullptr; at = (at + 1) & mask) {
    // An entry may fill the hole unless its home lies between the hole and itself.
    if (((at - home(entries_[at].id)) & mask) >= ((at - hole) & mask)) {
      entries_[hole] = entries_[at];
      hole = at;
    }
  }
  entries_[hole] = Entry{};
  --n_;
  return true;
}

void IdMap::clear() noexcept {
  entries_.clear();
  n_ = 0;
}

void IdMap::grow() {
  std::vector<Entry> old(entries_.empty() ? kFewest : 2 * entries_.size());
  std::swap(old, entries_);
  for (const Entry& entry : old) {
    if (entry.place.page != nullptr) entries_[slot(entry.id)] = entry;
  }
}

}  // namespace sm

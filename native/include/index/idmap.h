// Where each id's vector lies: a hash table with linear probing and backward-shift deletion (Knuth, TAOCP 3, 6.4, algorithm R).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sm {

struct Page;

struct Place {
  Page* page = nullptr;  // null: no such id
  int row = 0;
};

class IdMap {
 public:
  std::size_t size() const noexcept { return n_; }
  Place find(std::int64_t id) const noexcept;
  // Throws std::bad_alloc; then nothing has changed.
  void put(std::int64_t id, Place place);
  bool erase(std::int64_t id) noexcept;
  void clear() noexcept;

 private:
  struct Entry {
    std::int64_t id = 0;
    Place place;
  };
  std::size_t home(std::int64_t id) const noexcept;
  std::size_t slot(std::int64_t id) const noexcept;  // of the id, or the free one where it would go
  void grow();

  std::vector<Entry> entries_;  // a power of two of them, at most three quarters in use
  std::size_t n_ = 0;
};

}  // namespace sm

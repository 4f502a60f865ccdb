// The nearest rows over blocks of vectors as sqlite-vec keeps them: what the SQL aggregates do, without SQLite.
//
// A block (a row of the shadow table *_chunks) has n slots: rowids [n] int64, validity [n] bits, vectors [n][d] int8, all
// little-endian and contiguous; bit r % 8 of byte r / 8 of `validity` is set if slot r is in use. Whatever bytes such a
// block holds, nothing outside of it is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "dot/dot.h"

namespace sm::sql {

struct Bytes {
  const std::uint8_t* at = nullptr;
  std::size_t size = 0;
};

// A result row, as it is packed into the resulting BLOB.
struct Neighbour {
  std::int64_t id;
  std::int32_t score;
  std::int32_t zero;
};
static_assert(sizeof(Neighbour) == 16, "packed without holes");

// A set of row ids in a BLOB: int64 form, then for form 0 the ids, rising; for form 1 int64 first, then a bit for
// each id from `first` on. Ids that lie close are packed in the second form, others in the first.
class IdSet {
 public:
  IdSet() = default;
  // False if the bytes are no such set.
  bool open(Bytes bytes) noexcept;
  bool has(std::int64_t id) const noexcept;

  // Sorts `ids` and packs them.
  static std::vector<std::uint8_t> pack(std::vector<std::int64_t>& ids);

 private:
  bool bitmap_ = false;
  std::int64_t first_ = 0;
  Bytes body_;
};

struct Block {
  Bytes rowids;
  Bytes validity;
  Bytes vectors;
};

// Whether the three sizes belong together, for vectors of `n_dims`; with `n_dims` 0 the vectors are not looked at.
bool fits(const Block& block, std::size_t n_dims) noexcept;

// Whether a slot in use holds one of `ids`. The block must fit.
bool has_any(const Block& block, const IdSet& ids) noexcept;

class BlockTop {
 public:
  static constexpr std::int64_t kMostK = 1 << 20;

  BlockTop(DotI8 dot, std::size_t k) : dot_(dot), k_(k) {}

  // Scores the slots in use whose id is in `ids` (null: all). The block must fit `query.size` dimensions.
  void add(const Block& block, Bytes query, const IdSet* ids);

  // The best k, best first; equal scores by id. Which of the rows that tie at the cut are kept follows the scan.
  const std::vector<Neighbour>& finish();

 private:
  void score(const std::uint8_t* rows, Bytes query, std::uint64_t wanted, std::size_t n_rows) noexcept;
  void push(Neighbour found);
  void select();

  static constexpr std::size_t kGroup = 64;  // rows scored at once, so that their scores stay in registers and L1

  DotI8 dot_;
  std::size_t k_;
  bool full_ = false;           // k rows were found, and the worst of them scores threshold_
  std::int32_t threshold_ = 0;
  std::int32_t scores_[kGroup] = {};  // those of rows that are not wanted are of an earlier group
  std::vector<Neighbour> found_;
};

}  // namespace sm::sql

// A memory of recent queries and of what they found, so that repeats and near repeats need no scan.
//
// An entry is a query, the rows nearest to it (where they lie in the index, not their bytes) and the answer it was given.
// All entries are of one version of the index; whatever is written to it drops them all. Their number bounds a lookup: one
// pass of the scan kernel over the remembered queries.
//
// What a near repeat may miss. Let q0 be a remembered query, s the least score among its neighbours (every other row x
// has q0.x <= s), q the new one, N = q0.q0, M = q.q, A = q.q0, and X^2 the greatest x.x. Split q = (A / N) q0 + r with r at
// right angles to q0, so r.r = M - A^2 / N. For a row x outside with t = q0.x, the part of x at right angles to q0 has the
// square x.x - t^2 / N, and by Cauchy and Schwarz
//     q.x = (A / N) t + r.x <= f(t) = (A t + sqrt((M N - A^2) (X^2 N - t^2))) / N.
// f is concave and greatest at t = A X / sqrt(M), where it is X sqrt(M); so over all t <= s it is greatest at the lesser of
// the two. This is used twice, with x and q0 of the high planes:
// - q of the high plane: if f stays below the score of the last candidate that a scan would keep, all candidates are among
//   the neighbours, and the answer is that of a scan;
// - q of both planes: a row is 254 x + y with y its low plane, so with Y the greatest length of one its score is at most
//   254 f + sqrt(M) Y. If that stays below the last result among the neighbours, these results are the best of all rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "dispatch.h"
#include "index/arena.h"
#include "index/filter.h"
#include "index/topk.h"

namespace sm {

// The greatest score with q that a row outside a neighbourhood can have, rounded upwards. All are whole numbers.
struct Surroundings {
  double product = 0;       // A
  double square = 0;        // M
  double known_square = 0;  // N
  double longest = 0;       // X^2
};
double most_outside(const Surroundings& around, double least) noexcept;

// What a scan found, and the answer made of it. Never changed once it is remembered.
struct Neighbourhood {
  std::vector<Candidate> rows;
  std::int32_t most = 0;        // greatest and least score of `rows`
  std::int32_t least = 0;
  std::int32_t longest = 0;     // greatest square of a row of the index, in the high plane and
  std::int32_t longest_low = 0; // in the low one
  bool exhaustive = false;      // no row outside scores above `least`
  bool everything = false;      // there is no row outside

  std::size_t k = 0;            // the answer: for so many results,
  std::size_t n_wanted = 0;     // of so many candidates,
  int mode = 0;                 // found in this way,
  double scale = 0;             // for a query of this length
  bool fine = false;
  std::vector<std::int64_t> ids;
  std::vector<float> scores;
};

struct Asked {
  const std::int8_t* high = nullptr;   // [stride], zero beyond the dimensions, aligned to kRowAlign
  const std::int16_t* wide = nullptr;  // [stride]
  std::int32_t bias = 0;               // 128 * sum of `high`
  std::int32_t square = 0;             // high.high
  const Filter* filter = nullptr;      // null: all rows
  std::uint64_t version = 0;           // of the index
};

struct Recalled {
  std::shared_ptr<const Neighbourhood> near;  // null: nothing of this filter is near
  bool same = false;                          // it is the same query
  std::int32_t product = 0;                   // of the high planes of both
  std::int64_t wide_product = 0;              // of both planes of the new one and the high plane of the remembered one
  std::int32_t square = 0;                    // of the high plane of the remembered one
};

// Any number of threads may call; they wait for each other for the few microseconds of a lookup.
class Lookaside {
 public:
  Lookaside(std::int64_t stride, std::size_t capacity, const Kernels& kernels, bool lock);
  Lookaside(const Lookaside&) = delete;
  Lookaside& operator=(const Lookaside&) = delete;

  // The same query, or the one with the greatest product. It becomes the last to be replaced. Drops everything if `asked.version` is newer.
  Recalled lookup(const Asked& asked);
  // Replaces the entry that was not looked up for longest once all are taken, and that of the same query. An older
  // version than that of the other entries is not remembered.
  void remember(const Asked& asked, std::shared_ptr<const Neighbourhood> found);
  // Zeroes all queries and forgets what was found; what is older than `version` is not remembered any more.
  void clear(std::uint64_t version);

  std::size_t size() const;
  std::size_t capacity() const noexcept { return capacity_; }
  // Bytes other than zero that the memory for queries holds.
  std::size_t n_bytes_in_use() const;

 private:
  struct Entry {
    std::uint64_t used = 0;  // the tick of its last lookup
    std::int32_t square = 0;
    std::uint32_t filter = 0;
    std::shared_ptr<const Neighbourhood> found;
  };
  struct QueryPage {
    std::uint64_t live = 0;
    std::uint32_t hashes[kPageRows] = {};  // of `wide`
    std::uint8_t* high = nullptr;   // [kPageRows][stride], biased as rows are
    std::int16_t* wide = nullptr;   // [kPageRows][stride]
    Entry entries[kPageRows];
  };
  struct Place {
    QueryPage* page = nullptr;
    int row = 0;
    std::int32_t product = 0;
  };

  // 0 is no filter, `kUnknown` one that no entry has.
  static constexpr std::uint32_t kUnknown = ~std::uint32_t{0};
  std::uint32_t number_of(const Filter* filter) const noexcept;
  std::uint32_t number_for(const Filter* filter);
  Place find(const Asked& asked, std::uint32_t filter) noexcept;
  Place nearest(const Asked& asked, std::uint32_t filter) noexcept;
  std::uint32_t hash(const std::int16_t* wide) const noexcept;
  std::int64_t wide_product(const Place& place, const Asked& asked) const noexcept;
  bool same(const QueryPage& page, int row, const Asked& asked) const noexcept;
  Place free_place();
  void drop(QueryPage& page, int row) noexcept;
  void drop_all() noexcept;

  const std::int64_t stride_;
  const std::size_t capacity_;
  const Kernels& kernels_;
  mutable std::mutex mutex_;
  Arena high_;
  Arena wide_;
  std::vector<std::unique_ptr<QueryPage>> pages_;
  std::vector<Filter> filters_;
  std::uint64_t version_ = 0;
  std::uint64_t tick_ = 0;
  std::size_t n_ = 0;
};

}  // namespace sm

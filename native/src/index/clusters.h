// The writer's work on the lists. Private to src/index.
//
// Rows are moved in two ways, and no search misses one in either. Single rows are published in their new list first; the
// older copies are taken away when no search is left that began before. Whole lists are copied into lists that nobody sees
// yet, and the next snapshot has these in place of the old one. The way in which lists follow their rows is that of
// Xu et al., "SPFresh: incremental in-place update for billion-scale vector search", SOSP 2023, section 4.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "index/index.h"

namespace sm {

using Deadline = std::chrono::steady_clock::time_point;

inline bool is_over(Deadline deadline) noexcept { return std::chrono::steady_clock::now() >= deadline; }

// A row of a page as a query of the scan kernels.
struct SignedRow {
  alignas(64) std::int8_t at[kMaxStride];
  std::int32_t bias = 0;

  SignedRow() noexcept {}
  SignedRow(const std::uint8_t* biased, std::int64_t stride) noexcept { set(biased, stride); }
  void set(const std::uint8_t* biased, std::int64_t stride) noexcept;
};

// A centroid, biased as rows are.
struct Centroid {
  alignas(64) std::uint8_t at[kMaxStride];
};

struct Best {
  std::int32_t score;
  std::size_t at;
};

// The sum of rows, from which a centroid of unit length is made (Dhillon and Modha, "Concept decompositions for large
// sparse text data using clustering", 2001).
class Sum {
 public:
  explicit Sum(std::int64_t stride) : sums_(static_cast<std::size_t>(stride)) {}
  Sum(const Sum&) = default;
  ~Sum();
  void add(const std::uint8_t* biased) noexcept;
  void clear() noexcept;
  std::size_t n() const noexcept { return n_; }
  // Writes [stride] bytes; false, and nothing, if the rows cancel out or there are none.
  bool write(float steps, std::uint8_t* biased) const noexcept;

 private:
  std::vector<std::int32_t> sums_;
  std::size_t n_ = 0;
};

struct Index::Clusters {
  enum class Progress { kNothing, kBlocked, kMore };

  // Something that is done step by step. `step` returns true once it is done; it stops soon after the deadline.
  struct Job {
    virtual ~Job() = default;
    virtual bool step(Deadline deadline) = 0;
  };
  struct Train;
  struct Drain;
  struct Split;
  struct Dissolve;
  struct Adopt;
  struct Measure;
  class Edit;

  explicit Clusters(Index& of) : index(of) {}

  // All of these under the writer's lock.

  Progress work(Deadline deadline);
  // Where rows belong: at most kAtOnce of them, because each page of centroids is scanned for all while it is in the cache.
  static constexpr std::size_t kAtOnce = 32;
  void lists_for(const std::uint8_t* const* biased, std::size_t n, List** lists) const;
  void describe(IndexStats& stats) const;
  void stop() noexcept { job.reset(); next.reset(); moving.clear(); }

  const Snapshot& seen() const noexcept { return *index.snapshot_.load(std::memory_order_relaxed); }
  List& tail() const noexcept { return *seen().lists.front(); }
  const std::uint8_t* centroid(std::size_t number) const noexcept;
  // Rows of a list. The fewer, the fewer rows are scanned for the same recall; but all centroids are scanned, too, and by
  // every insertion: so half as many rows as the square root would balance.
  std::size_t aim() const noexcept;
  // The nearest of the first `n` rows of `pages`, without row `except`.
  Best nearest(const std::vector<std::uint8_t*>& pages, std::size_t n, const SignedRow& row,
               std::size_t except = ~std::size_t{0}) const noexcept;
  void nearest(const std::vector<std::uint8_t*>& pages, std::size_t n, const std::uint8_t* const* biased,
               std::size_t n_rows, Best* best) const;
  void nearest_of_page(const std::uint8_t* page, std::size_t first, std::uint64_t wanted, const SignedRow& row,
                       Best& best) const noexcept;
  void score(const std::uint8_t* rows, std::uint64_t wanted, const SignedRow& query, std::int32_t* scores) const noexcept;

  // Copies a row of `from` that has no copy yet; the older one is noted in `moving`.
  void copy(Place from, List& to);
  // The older copies of these rows go when nobody is left who may miss the newer ones.
  void settle(std::vector<Place> copied);
  // The rows that have copies are seen in these alone from this snapshot on.
  void drop_older() noexcept;
  // From this snapshot on nobody sees `list`.
  void retire_list(List* list);
  List& new_list();
  // Give some empty pages back.
  void sweep(List& list);

  std::unique_ptr<Job> next_job();
  bool is_measure_due() const noexcept;
  void sweep_all();

  Index& index;
  IdMap moving;  // the older copies of rows of which there are two
  std::unique_ptr<Job> job;
  std::unique_ptr<Job> next;
  std::uint64_t random_state = 0x9E3779B97F4A7C15U;
  std::uint64_t random() noexcept;

  std::size_t n_splits = 0;
  std::size_t n_merges = 0;
  std::size_t n_unmeasured = 0;  // splits and merges since the last measurement
  std::size_t n_rows_measured = 0;
  double recall = 0;
  std::size_t mean_probes = 0;  // lists within reach, on average

 private:
  void begin_moves();
  void end_moves() noexcept;
};

}  // namespace sm

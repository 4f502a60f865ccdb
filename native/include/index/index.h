// Exact and approximate nearest-neighbour search over unit vectors in memory, for many readers and one writer.
//
// Vectors are 16-bit fixed point in two planes of bytes: the high plane is scanned, the low plane completes the scores of
// the few candidates that the scan leaves (see quantize.h). Nothing here is ever written to a disk.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "dispatch.h"
#include "index/arena.h"
#include "index/epochs.h"
#include "index/filter.h"
#include "index/idmap.h"
#include "index/list.h"
#include "index/lookaside.h"
#include "index/page.h"
#include "index/topk.h"

namespace sm {

struct IndexOptions {
  std::int64_t n_dims = 0;  // 1 to kMaxStride
  bool lock = true;         // ask that the memory stays out of swap
  bool fine = true;         // keep the low plane
  bool signs = false;       // keep a plane of sign bits for the coarsest scan
  const Kernels* kernels = nullptr;
  std::size_t n_remembered = 0;  // queries that the lookaside keeps; 0: there is none
};

enum class Mode { kExact, kSigns };

struct Request {
  const float* query = nullptr;  // [n_dims], finite
  std::size_t k = 0;
  const Filter* filter = nullptr;  // null: all rows
  Mode mode = Mode::kExact;
  int oversample = 4;  // candidates of the int8 scan for each result
  int n_threads = 1;
  bool recall = true;  // ask the lookaside first, and let it remember
  double slack = 0;    // see Index::search
};

struct IndexStats {
  std::size_t n_rows = 0;
  std::size_t n_fine = 0;
  std::size_t held_bytes = 0;
  std::size_t locked_bytes = 0;
  std::size_t n_waiting = 0;  // things taken away that a reader may still see
  std::size_t n_remembered = 0;  // queries in the lookaside
  std::uint64_t n_repeats = 0;   // searches that it answered: the same query again,
  std::uint64_t n_near = 0;      // and one near a remembered query
};

class Index {
 public:
  explicit Index(const IndexOptions& options);
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;
  ~Index();

  // Writing: one thread at a time, the others wait. All throw std::bad_alloc; rows added before stay.

  // Rows as float32 [n][n_dims]: both planes. A row that is already there with the same high plane and attributes is
  // completed in place, and otherwise replaced.
  void add(const std::int64_t* ids, const float* rows, const Attributes* attributes, std::size_t n);
  // Rows as int8 [n][n_dims]: the high plane only.
  void add(const std::int64_t* ids, const std::int8_t* rows, const Attributes* attributes, std::size_t n);
  // How many of `ids` were there. Their bytes are zeroed as soon as no running search can see them.
  std::size_t remove(const std::int64_t* ids, std::size_t n);
  // Wait for running searches and zero everything.
  void clear();
  // Zero and free what no reader can see any more; true if nothing is left waiting.
  bool reclaim();

  // Reading: any number of threads.

  // Write the best k rows, best first, as ids and cosines; returns how many, or ~n if a row or the query could not be
  // rescored, so that the n scores are those of the high plane.
  //
  // With a lookaside, the answer is the same, or it is better: a scan may miss a row that only the low plane puts among
  // the best. With `slack` above 0 it may miss rows whose cosine is at most so much above that of the last result.
  std::int64_t search(const Request& request, std::int64_t* ids, float* scores) const;
  // The best k of the high plane alone.
  std::size_t candidates(const Request& request, std::int64_t* ids, float* scores) const;
  // Grows at the beginning and at the end of every write; for what was derived from an older state. Odd during a write.
  std::uint64_t version() const noexcept { return version_.load(std::memory_order_acquire); }
  IndexStats stats() const;
  const IndexOptions& options() const noexcept { return options_; }
  std::int64_t stride() const noexcept { return stride_; }

 private:
  struct Query;
  struct Row;
  class Writing;

  void add_row(std::int64_t id, const Row& row, const Attributes& attributes);
  bool complete(Place place, const Row& row, const Attributes& attributes) noexcept;
  void place_row(List& list, std::int64_t id, const Row& row, const Attributes& attributes);
  Page& page_with_room(List& list);
  void append_page(List& list);
  void take_away(Place place);
  void retire(std::function<void()> release);
  bool release_unseen();
  void release_row(Page& page, int row) noexcept;
  void free_everything() noexcept;

  std::vector<Candidate> scan(const Query& query, const Request& request, std::size_t n_wanted) const;
  void scan_list(const List& list, const Query& query, const Filter* filter, TopK& best, std::size_t first,
                 std::size_t step) const;
  void scan_signs(const List& list, const Query& query, const Filter* filter, TopK& best) const;
  std::int64_t recall(const Query& query, const Request& request, std::int64_t* ids, float* scores) const;
  void measure(const Row& row) noexcept;
  bool answer_near(const Query& query, const Request& request, const Recalled& known, std::int32_t square,
                   std::int64_t* ids, float* scores, std::int64_t& n) const;
  double most_cosine_outside(const Query& query, const Recalled& known) const;
  std::vector<Candidate> score_again(const Query& query, const std::vector<Candidate>& rows) const;
  bool rescore(const Query& query, std::vector<Candidate>& found, std::int64_t* ids, float* scores, std::size_t k,
               std::size_t& n) const;

  const IndexOptions options_;
  const Kernels& kernels_;
  const std::int64_t stride_;
  const std::int64_t sign_bytes_;
  const float steps_;

  mutable std::mutex writing_;
  mutable Epochs epochs_;
  std::atomic<const Snapshot*> snapshot_{nullptr};
  std::atomic<std::uint64_t> version_{0};
  std::atomic<std::int32_t> longest_{0};      // greatest square of a row since the last clear, in the high plane and
  std::atomic<std::int32_t> longest_low_{0};  // in the low one
  std::unique_ptr<Lookaside> lookaside_;  // null: nothing is remembered
  mutable std::atomic<std::uint64_t> n_repeats_{0};
  mutable std::atomic<std::uint64_t> n_near_{0};
  Arena high_;
  Arena low_;
  Arena signs_;
  IdMap places_;
  std::vector<std::unique_ptr<List>> lists_;
  std::vector<std::unique_ptr<Page>> pages_;
  struct Retired {
    std::uint64_t epoch;
    std::function<void()> release;
  };
  std::deque<Retired> retired_;
};

}  // namespace sm

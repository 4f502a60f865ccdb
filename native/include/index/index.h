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
  std::size_t flat_limit = 100'000;  // rows from which on `maintain` keeps lists; 0: never
  double least_recall = 0.98;        // recall@10 that kAuto is to reach on a sample
};

// kExact: every row. kSigns: every row's signs, then the best of them. kLists: the tail and the `probes` lists whose
// centroids are nearest (inverted file: Sivic and Zisserman, "Video Google", 2003; Jegou et al., "Product quantization for
// nearest neighbor search", 2011). Without a number, as many lists as the recall measured on a sample asks for:
// those whose centroids score at most so much less than the best one, which are few for most queries. kAuto: kExact while
// there are no lists; then kLists, with more of them while a filter lets few rows pass.
enum class Mode { kExact, kSigns, kLists, kAuto };

struct Request {
  const float* query = nullptr;  // [n_dims], finite
  std::size_t k = 0;
  const Filter* filter = nullptr;  // null: all rows
  Mode mode = Mode::kExact;
  int oversample = 4;  // candidates of the int8 scan for each result
  int n_threads = 1;
  int probes = 0;      // lists to scan; 0: those that `maintain` has found to be enough
  bool recall = true;  // ask the lookaside first, and let it remember
  double slack = 0;    // see Index::search
};

// Where the results of one of several requests go.
struct Written {
  std::size_t k = 0;             // room for so many
  std::int64_t* ids = nullptr;
  float* scores = nullptr;
  std::size_t n = 0;             // how many there are
};

struct IndexStats {
  std::size_t n_rows = 0;
  std::size_t n_fine = 0;
  std::size_t held_bytes = 0;
  std::size_t locked_bytes = 0;
  std::size_t n_waiting = 0;  // things taken away that a reader may still see
  std::size_t n_lists = 0;    // without the tail
  std::size_t n_tail = 0;     // rows that every search scans
  std::size_t fewest = 0;     // rows of the smallest, the median and the largest list
  std::size_t median = 0;
  std::size_t most = 0;
  std::size_t n_probes = 0;   // lists that a search scans, on average over the latest sample
  double recall = 0;          // recall@10 on that; 0: not measured yet
  std::size_t n_splits = 0;
  std::size_t n_merges = 0;
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
  // Work on the lists for about `budget_us`, in steps that keep other writers out for at most about a millisecond; true
  // if more is left to do, or waits for running searches. Ends early where another writer waits. Searches never wait.
  bool maintain(std::int64_t budget_us);

  // Reading: any number of threads.

  // Write the best k rows, best first, as ids and cosines; returns how many, or ~n if a row or the query could not be
  // rescored, so that the n scores are those of the high plane.
  //
  // With a lookaside, the answer is the same, or it is better: a scan may miss a row that only the low plane puts among
  // the best. With `slack` above 0 it may miss rows whose cosine is at most so much above that of the last result.
  std::int64_t search(const Request& request, std::int64_t* ids, float* scores) const;
  // The best k of the high plane alone.
  std::size_t candidates(const Request& request, std::int64_t* ids, float* scores) const;
  // The same for each of `n` requests, all of one filter and Mode::kExact, in one reading of the rows by one thread.
  void candidates_each(const Request* requests, std::size_t n, Written* written) const;
  // The part of the exact best k that kLists finds with `probes` (0: the chosen number), averaged over `n_sample` random
  // rows as queries. A row does not count as its own neighbour. 1 if there is nothing to find.
  double measure_recall(std::size_t n_sample, std::size_t k, int probes) const;
  // Grows at the beginning and at the end of every write; for what was derived from an older state. Odd during a write.
  std::uint64_t version() const noexcept { return version_.load(std::memory_order_acquire); }
  IndexStats stats() const;
  const IndexOptions& options() const noexcept { return options_; }
  std::int64_t stride() const noexcept { return stride_; }

 private:
  struct Query;
  struct Row;
  struct Clusters;
  class Writing;

  template <typename T>
  void add_rows(const std::int64_t* ids, const T* rows, const Attributes* attributes, std::size_t n);
  void add_row(std::int64_t id, const Row& row, const Attributes& attributes, List& list);
  bool complete(Place place, const Row& row, const Attributes& attributes) noexcept;
  void place_row(List& list, std::int64_t id, const Row& row, const Attributes& attributes);
  Place copy_row(Place from, List& to);
  Place free_place(List& list);
  void publish(Place place) noexcept;
  Page& page_with_room(List& list);
  void append_page(List& list);
  void drop_page(Page& page) noexcept;
  void forget(std::int64_t id, Place place);
  void take_away(Place place);
  void retire(std::function<void()> release);
  bool release_unseen();
  void release_row(Page& page, int row) noexcept;
  void free_everything() noexcept;
  void free_snapshot(const Snapshot* snapshot) noexcept;

  std::vector<Candidate> scan(const Query& query, const Request& request, std::size_t n_wanted) const;
  std::vector<Candidate> scan_once(const Query& query, const Request& request, std::size_t n_wanted) const;
  bool random_row(std::uint64_t number, float* row, std::int64_t& id) const;
  struct Scanned {
    const Query* query;
    TopK* best;
  };
  std::size_t scan_pages(Page* const* pages, std::size_t n, const Query& query, const Filter* filter, TopK& best) const;
  std::size_t scan_pages(Page* const* pages, std::size_t n, const Scanned* queries, std::size_t n_queries,
                         const Filter* filter) const;
  std::size_t write_candidates(const Query& query, const std::vector<Candidate>& found, const Written& written) const;
  void scan_list(const List& list, const Query& query, const Request& request, TopK& best) const;
  void scan_nearest(const Snapshot& snapshot, const Query& query, const Request& request, TopK& best) const;
  std::vector<Candidate> nearest_lists(const Snapshot& snapshot, const Query& query, std::size_t n) const;
  std::vector<Candidate> lists_within(const Snapshot& snapshot, const Query& query, double reach, std::size_t n_most) const;
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
  std::atomic<int> n_writers_{0};  // that hold the lock or wait for it
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

  std::unique_ptr<Clusters> clusters_;
  std::atomic<std::size_t> n_probes_;  // at most so many lists are scanned,
  std::atomic<double> reach_{-1.0};    // if their centroids' cosines are at most so far below the best; below 0: not known
  // While rows are moved, a search may see them twice. The first is set before and cleared after, the second counts.
  std::atomic<bool> moving_{false};
  std::atomic<std::uint64_t> n_moves_{0};
};

}  // namespace sm

// The readers' side of the index. Nothing here waits for the writer.
#include <algorithm>
#include <limits>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "index/index.h"
#include "bits.h"
#include "query.h"

namespace sm {

namespace {

constexpr std::size_t kSignOversample = 16;  // rows of the scan of signs for each candidate of the int8 scan
constexpr std::size_t kFewestSigns = 256;
constexpr std::size_t kPagesWorthAThread = 256;

// A row that is being moved can be seen in both of its places.
void drop_copies(std::vector<Candidate>& found, std::size_t n_most) {
  std::vector<std::int64_t> known;
  known.reserve(found.size());
  for (const Candidate& c : found) known.push_back(c.page->id[c.row]);
  std::sort(known.begin(), known.end());
  if (std::adjacent_find(known.begin(), known.end()) != known.end()) {
    known.erase(std::unique(known.begin(), known.end()), known.end());
    std::vector<bool> taken(known.size());
    const auto again = [&](const Candidate& c) {
      const auto at = std::lower_bound(known.begin(), known.end(), c.page->id[c.row]) - known.begin();
      const bool was = taken[static_cast<std::size_t>(at)];
      taken[static_cast<std::size_t>(at)] = true;
      return was;
    };
    std::vector<Candidate> once;
    for (const Candidate& c : found) {
      if (!again(c)) once.push_back(c);
    }
    found = std::move(once);
  }
  if (found.size() <= n_most) return;
  const auto better = [](const Candidate& x, const Candidate& y) noexcept { return x.score > y.score; };
  std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(n_most - 1), found.end(), better);
  found.resize(n_most);
}

struct Hit {
  std::int64_t score;
  std::int64_t id;
};

bool ranks_before(const Hit& a, const Hit& b) noexcept { return a.score != b.score ? a.score > b.score : a.id < b.id; }

constexpr std::size_t kFew = 32;

// The best k, best first, and one of each id: a row that is moved or replaced during a search can be seen in both places,
// and if it is replaced, with two scores.
std::size_t order(std::vector<Hit>& hits, std::size_t k) {
  if (k > kFew) {
    std::sort(hits.begin(), hits.end(), [](const Hit& a, const Hit& b) noexcept {
      return a.id != b.id ? a.id < b.id : a.score > b.score;
    });
    const auto same = [](const Hit& a, const Hit& b) noexcept { return a.id == b.id; };
    hits.erase(std::unique(hits.begin(), hits.end(), same), hits.end());
    std::sort(hits.begin(), hits.end(), ranks_before);
    return std::min(k, hits.size());
  }
  std::sort(hits.begin(), hits.end(), ranks_before);
  std::size_t n = 0;  // for a few results, looking back is cheaper than a second sort
  for (std::size_t i = 0; i < hits.size() && n < k; ++i) {
    const auto last = hits.begin() + static_cast<std::ptrdiff_t>(n);
    const auto known = std::find_if(hits.begin(), last, [&](const Hit& hit) noexcept { return hit.id == hits[i].id; });
    if (known == last) hits[n++] = hits[i];
  }
  return n;
}

std::uint64_t wanted_rows(const Page& page, const Filter* filter) noexcept {
  const std::uint64_t live = page.live.load(std::memory_order_seq_cst);
  return filter != nullptr ? filter->match(page, live) : live;
}

// Between the rows that a filter picks the processor's own prefetching loses the thread, and with every page it would wait
// for the first ones again.
void fetch_first(const Page& page, std::uint64_t wanted, std::int64_t stride) noexcept {
#if defined(__GNUC__)
  constexpr int kRows = 8;
  constexpr int kDense = 44;  // from so many on, the scan reads whole pages in order
  if (count_set(wanted) >= kDense) return;
  for (int n = 0; n < kRows && wanted != 0; ++n, wanted &= wanted - 1) {
    const std::uint8_t* row = page.high + lowest_set(wanted) * stride;
    for (std::int64_t d = 0; d < stride; d += kRowAlign) __builtin_prefetch(row + d);
  }
#endif
}

}  // namespace

// Returns how many rows passed the filter.
std::size_t Index::scan_pages(Page* const* pages, std::size_t n, const Query& query, const Filter* filter,
                              TopK& best) const {
  const Scanned one{&query, &best};
  return scan_pages(pages, n, &one, 1, filter);
}

// A page is in the cache when the second of several queries reads it.
std::size_t Index::scan_pages(Page* const* pages, std::size_t n, const Scanned* queries, std::size_t n_queries,
                              const Filter* filter) const {
  alignas(64) std::int32_t scores[kPageRows];
  std::size_t n_passed = 0;
  std::uint64_t coming = n > 0 ? wanted_rows(*pages[0], filter) : 0;
  for (std::size_t i = 0; i < n; ++i) {
    const Page& page = *pages[i];
    const std::uint64_t wanted = coming;
    if (i + 1 < n) {
      coming = wanted_rows(*pages[i + 1], filter);
      if (filter != nullptr) fetch_first(*pages[i + 1], coming, stride_);
    }
    if (wanted == 0) continue;
    n_passed += static_cast<std::size_t>(count_set(wanted));
    for (std::size_t q = 0; q < n_queries; ++q) {
      const Query& query = *queries[q].query;
      TopK& best = *queries[q].best;
      const std::uint8_t* next = q == 0 && i + 1 < n ? pages[i + 1]->high : nullptr;
      const ScanU8Args args{page.high, query.high, stride_, query.bias, wanted, best.threshold(), next, scores};
      for (std::uint64_t above = kernels_.scan_u8(args); above != 0; above &= above - 1) {
        const int row = lowest_set(above);
        best.push({scores[row], row, &page});
      }
    }
  }
  return n_passed;
}

void Index::scan_list(const List& list, const Query& query, const Request& request, TopK& best) const {
  const PageArray& pages = *list.pages.load(std::memory_order_seq_cst);
  const std::size_t n_pages = pages.n.load(std::memory_order_seq_cst);
  const auto n_threads =
      std::min(static_cast<std::size_t>(std::max(1, request.n_threads)), n_pages / kPagesWorthAThread + 1);
  if (n_threads == 1) {
    scan_pages(pages.at.get(), n_pages, query, request.filter, best);
    return;
  }
  const std::size_t share = (n_pages + n_threads - 1) / n_threads;
  std::vector<TopK> parts(n_threads - 1, TopK(best.k()));
  std::vector<std::thread> threads;
  for (std::size_t t = 1; t < n_threads; ++t) {
    threads.emplace_back([&, t] {
      const std::size_t first = std::min(n_pages, t * share);
      scan_pages(pages.at.get() + first, std::min(share, n_pages - first), query, request.filter, parts[t - 1]);
    });
  }
  scan_pages(pages.at.get(), share, query, request.filter, best);
  for (std::thread& thread : threads) thread.join();
  for (TopK& part : parts) {
    for (const Candidate& found : part.finish()) {
      if (found.score > best.threshold()) best.push(found);
    }
  }
}

void Index::scan_signs(const List& list, const Query& query, const Filter* filter, TopK& best) const {
  const PageArray& pages = *list.pages.load(std::memory_order_seq_cst);
  const std::size_t n = pages.n.load(std::memory_order_seq_cst);
  alignas(64) std::int32_t distances[kPageRows];
  HammingB1Args args{nullptr, query.signs, sign_bytes_, 0, 0, distances};
  for (std::size_t i = 0; i < n; ++i) {
    const Page& page = *pages.at[i];
    args.wanted = page.live.load(std::memory_order_seq_cst);
    if (filter != nullptr) args.wanted = filter->match(page, args.wanted);
    if (args.wanted == 0) continue;
    args.rows = page.signs;
    // The reservoir keeps what is greatest, and of distances the smallest are wanted.
    args.threshold = best.threshold() == std::numeric_limits<std::int32_t>::min()
                         ? std::numeric_limits<std::int32_t>::max()
                         : -best.threshold();
    for (std::uint64_t below = kernels_.hamming_b1(args); below != 0; below &= below - 1) {
      const int row = lowest_set(below);
      best.push({-distances[row], row, &page});
    }
  }
}

std::vector<Candidate> Index::scan(const Query& query, const Request& request, std::size_t n_wanted) const {
  const std::uint64_t n_moves = n_moves_.load(std::memory_order_seq_cst);
  const bool moving = moving_.load(std::memory_order_seq_cst);
  std::vector<Candidate> found = scan_once(query, request, moving ? 2 * n_wanted : n_wanted);
  if (!moving && n_moves_.load(std::memory_order_seq_cst) == n_moves) return found;
  const std::size_t n_found = found.size();
  drop_copies(found, n_wanted);
  if (moving || found.size() == n_found) return found;
  // Copies came up while this search was running, and may have pushed other rows out.
  found = scan_once(query, request, 2 * n_wanted);
  drop_copies(found, n_wanted);
  return found;
}

std::vector<Candidate> Index::scan_once(const Query& query, const Request& request, std::size_t n_wanted) const {
  const Snapshot& snapshot = *snapshot_.load(std::memory_order_seq_cst);
  TopK best(n_wanted);
  if (request.mode == Mode::kSigns && sign_bytes_ > 0) {
    TopK coarse(std::max(kFewestSigns, n_wanted * kSignOversample));
    for (const List* list : snapshot.lists) scan_signs(*list, query, request.filter, coarse);
    alignas(64) std::int32_t scores[kPageRows];
    for (const Candidate& found : coarse.finish()) {
      const std::uint64_t wanted = std::uint64_t{1} << found.row;
      const ScanU8Args args{found.page->high, query.high, stride_, query.bias, wanted, best.threshold(), nullptr, scores};
      if (kernels_.scan_u8(args) != 0) best.push({scores[found.row], found.row, found.page});
    }
    return std::move(best.finish());
  }
  if ((request.mode == Mode::kLists || request.mode == Mode::kAuto) && snapshot.n_centroids() > 0) {
    scan_nearest(snapshot, query, request, best);
  } else {
    for (const List* list : snapshot.lists) scan_list(*list, query, request, best);
  }
  return std::move(best.finish());
}

std::int64_t Index::search(const Request& request, std::int64_t* ids, float* scores) const {
  if (request.k == 0) return 0;
  const Query query(request.query, *this);
  const Epochs::Reader reader(epochs_);
  Request asked = request;
  if (asked.mode == Mode::kAuto && snapshot_.load(std::memory_order_seq_cst)->n_centroids() == 0) asked.mode = Mode::kExact;
  if (lookaside_ != nullptr && asked.recall && asked.probes == 0 && query.fits) return recall(query, asked, ids, scores);
  std::vector<Candidate> found = scan(query, asked, asked.k * static_cast<std::size_t>(asked.oversample));
  std::size_t n = 0;
  const bool rescored = rescore(query, found, ids, scores, request.k, n);
  return rescored ? static_cast<std::int64_t>(n) : ~static_cast<std::int64_t>(n);
}

std::size_t Index::candidates(const Request& request, std::int64_t* ids, float* scores) const {
  if (request.k == 0) return 0;
  const Query query(request.query, *this);
  const Epochs::Reader reader(epochs_);
  return write_candidates(query, scan(query, request, request.k), {request.k, ids, scores, 0});
}

void Index::candidates_each(const Request* requests, std::size_t n, Written* written) const {
  std::vector<std::unique_ptr<const Query>> queries;
  for (std::size_t q = 0; q < n; ++q) queries.push_back(std::make_unique<const Query>(requests[q].query, *this));
  const Epochs::Reader reader(epochs_);
  const std::uint64_t n_moves = n_moves_.load(std::memory_order_seq_cst);
  const bool moving = moving_.load(std::memory_order_seq_cst);
  std::vector<TopK> best;
  for (std::size_t q = 0; q < n; ++q) best.emplace_back(std::max<std::size_t>(1, written[q].k));
  if (!moving) {
    std::vector<Scanned> scanned;
    for (std::size_t q = 0; q < n; ++q) {
      if (written[q].k > 0) scanned.push_back({queries[q].get(), &best[q]});
    }
    const Snapshot& snapshot = *snapshot_.load(std::memory_order_seq_cst);
    for (const List* list : snapshot.lists) {
      const PageArray& pages = *list->pages.load(std::memory_order_seq_cst);
      scan_pages(pages.at.get(), pages.n.load(std::memory_order_seq_cst), scanned.data(), scanned.size(),
                 requests[0].filter);
    }
  }
  // Where rows are being moved, each query is asked for by itself, which sees to rows that were seen twice.
  const bool again = moving || n_moves_.load(std::memory_order_seq_cst) != n_moves;
  for (std::size_t q = 0; q < n; ++q) {
    if (written[q].k == 0) continue;
    const std::vector<Candidate> found =
        again ? scan(*queries[q], requests[q], written[q].k) : std::move(best[q].finish());
    written[q].n = write_candidates(*queries[q], found, written[q]);
  }
}

std::size_t Index::write_candidates(const Query& query, const std::vector<Candidate>& found,
                                    const Written& written) const {
  std::vector<Hit> hits;
  hits.reserve(found.size());
  for (const Candidate& c : found) hits.push_back({c.score, c.page->id[c.row]});
  const std::size_t n = order(hits, written.k);
  for (std::size_t i = 0; i < n; ++i) {
    written.ids[i] = hits[i].id;
    written.scores[i] = static_cast<float>(hits[i].score) * query.to_cosine_high;
  }
  return n;
}

bool Index::rescore(const Query& query, std::vector<Candidate>& found, std::int64_t* ids, float* scores, std::size_t k,
                    std::size_t& n) const {
  bool fine = query.fits && options_.fine;
  for (const Candidate& c : found) {
    fine = fine && ((c.page->fine.load(std::memory_order_seq_cst) >> c.row) & 1U) != 0;
  }
  std::vector<Hit> hits(found.size());
  for (std::size_t i = 0; i < found.size(); ++i) hits[i] = {found[i].score, found[i].page->id[found[i].row]};
  if (fine) {
    std::vector<const std::uint8_t*> high(found.size());
    std::vector<const std::int8_t*> low(found.size());
    std::vector<std::int64_t> sums(found.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      high[i] = found[i].page->high + found[i].row * stride_;
      low[i] = found[i].page->low + found[i].row * stride_;
    }
    kernels_.rescore_i16({query.wide, high.data(), low.data(), static_cast<std::int64_t>(found.size()), stride_,
                          sums.data()});
    for (std::size_t i = 0; i < found.size(); ++i) hits[i].score = sums[i];
  }
  n = order(hits, k);
  for (std::size_t i = 0; i < n; ++i) {
    ids[i] = hits[i].id;
    scores[i] = static_cast<float>(static_cast<double>(hits[i].score) *
                                   (fine ? query.to_cosine : double{query.to_cosine_high}));
  }
  return fine;
}

}  // namespace sm

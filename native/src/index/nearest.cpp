// Searches that scan the nearest lists alone.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "bits.h"
#include "index/index.h"
#include "query.h"

namespace sm {

namespace {

inline void fetch(const void* at) noexcept {
#if defined(__GNUC__)
  __builtin_prefetch(at);
#else
  (void)at;
#endif
}

void append_pages(const Snapshot& snapshot, const std::vector<Candidate>& near, std::vector<Page*>& pages) {
  for (const Candidate& c : near) fetch(snapshot.lists[static_cast<std::size_t>(c.row)]);
  for (const Candidate& c : near) {
    const List& list = *snapshot.lists[static_cast<std::size_t>(c.row)];
    const PageArray& array = *list.pages.load(std::memory_order_seq_cst);
    const std::size_t n = array.n.load(std::memory_order_seq_cst);
    pages.insert(pages.end(), array.at.get(), array.at.get() + n);
  }
}

bool nearer(const Candidate& a, const Candidate& b) noexcept { return a.score > b.score; }

}  // namespace

// The `n` lists with the nearest centroids, in no order: their numbers in `row`.
std::vector<Candidate> Index::nearest_lists(const Snapshot& snapshot, const Query& query, std::size_t n) const {
  alignas(64) std::int32_t scores[kPageRows];
  ScanU8Args args{nullptr, query.high, stride_, query.bias, 0, 0, nullptr, scores};
  TopK best(n);
  for (std::size_t p = 0; p < snapshot.centroids.size(); ++p) {
    args.rows = snapshot.centroids[p];
    args.wanted = first_rows(snapshot.n_centroids() - p * kPageRows);
    args.next = p + 1 < snapshot.centroids.size() ? snapshot.centroids[p + 1] : nullptr;
    args.threshold = best.threshold();
    for (std::uint64_t above = kernels_.scan_u8(args); above != 0; above &= above - 1) {
      const int row = lowest_set(above);
      best.push({scores[row], static_cast<std::int32_t>(1 + p * kPageRows) + row, nullptr});
    }
  }
  return std::move(best.finish());
}

// The lists whose centroids' cosines with the query are at most `reach` below the best one; of more than `n_most`, the
// nearest. Like the pruning of Chen et al., "SPANN: highly-efficient billion-scale approximate nearest neighbor search",
// NeurIPS 2021, section 3.2.2, with a difference of cosines in the place of a ratio of distances.
std::vector<Candidate> Index::lists_within(const Snapshot& snapshot, const Query& query, double reach,
                                           std::size_t n_most) const {
  constexpr std::int32_t kLowest = std::numeric_limits<std::int32_t>::min() / 2;
  alignas(64) std::int32_t scores[kPageRows];
  ScanU8Args args{nullptr, query.high, stride_, query.bias, 0, kLowest, nullptr, scores};
  const auto gap = static_cast<std::int32_t>(std::fmin(reach / double{query.to_cosine_high}, -1.0 * kLowest));
  std::int32_t best = kLowest;
  std::vector<Candidate> near;
  for (std::size_t p = 0; p < snapshot.centroids.size(); ++p) {
    args.rows = snapshot.centroids[p];
    args.wanted = first_rows(snapshot.n_centroids() - p * kPageRows);
    args.next = p + 1 < snapshot.centroids.size() ? snapshot.centroids[p + 1] : nullptr;
    for (std::uint64_t above = kernels_.scan_u8(args); above != 0; above &= above - 1) {
      const int row = lowest_set(above);
      best = std::max(best, scores[row]);
      near.push_back({scores[row], static_cast<std::int32_t>(1 + p * kPageRows) + row, nullptr});
    }
    args.threshold = best == kLowest ? kLowest : best - gap - 1;
  }
  const std::int32_t least = best - gap;
  near.erase(std::remove_if(near.begin(), near.end(), [least](const Candidate& c) { return c.score < least; }), near.end());
  if (near.size() > n_most) {
    std::nth_element(near.begin(), near.begin() + static_cast<std::ptrdiff_t>(n_most), near.end(), nearer);
    near.resize(n_most);
  }
  return near;
}

void Index::scan_nearest(const Snapshot& snapshot, const Query& query, const Request& request, TopK& best) const {
  const PageArray& tail = *snapshot.lists.front()->pages.load(std::memory_order_seq_cst);
  std::size_t n_passed =
      scan_pages(tail.at.get(), tail.n.load(std::memory_order_seq_cst), query, request.filter, best);
  const std::size_t asked =
      request.probes > 0 ? static_cast<std::size_t>(request.probes) : n_probes_.load(std::memory_order_relaxed);
  const std::size_t n_most = std::min(asked, snapshot.n_centroids());
  const double reach = reach_.load(std::memory_order_relaxed);
  const std::vector<Candidate> near = request.probes > 0 || reach < 0 ? nearest_lists(snapshot, query, n_most)
                                                                      : lists_within(snapshot, query, reach, n_most);
  std::vector<Page*> pages;
  append_pages(snapshot, near, pages);
  n_passed += scan_pages(pages.data(), pages.size(), query, request.filter, best);
  if (request.mode == Mode::kLists || near.size() == snapshot.n_centroids()) return;
  // As many rows that pass as there would be without a filter; so few or scattered ones are found, too.
  const std::size_t enough = std::max(best.k(), request.filter != nullptr ? pages.size() * kPageRows : 0);
  if (n_passed >= enough) return;
  std::vector<bool> done(snapshot.lists.size());
  for (const Candidate& c : near) done[static_cast<std::size_t>(c.row)] = true;
  std::vector<Candidate> all = nearest_lists(snapshot, query, snapshot.n_centroids());
  std::sort(all.begin(), all.end(), nearer);
  for (const Candidate& c : all) {
    if (n_passed >= enough) return;
    if (done[static_cast<std::size_t>(c.row)]) continue;
    pages.clear();
    append_pages(snapshot, {c}, pages);
    n_passed += scan_pages(pages.data(), pages.size(), query, request.filter, best);
  }
}

}  // namespace sm

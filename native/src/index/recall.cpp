// Searches that the lookaside answers, and those that it remembers.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "index/index.h"
#include "query.h"

namespace sm {

namespace {

// Neighbours that are kept: more of them prove more near repeats and cost a little more to find.
constexpr std::size_t kNeighbours = 512;
// Above so many candidates, a search takes long enough by itself.
constexpr std::size_t kMostWanted = 1024;

constexpr std::size_t kAhead = 8;

void prefetch([[maybe_unused]] const Candidate& c, [[maybe_unused]] std::int64_t stride) noexcept {
#if defined(__GNUC__)
  for (std::int64_t d = 0; d < stride; d += kRowAlign) {
    __builtin_prefetch(c.page->high + c.row * stride + d);
    if (c.page->low != nullptr) __builtin_prefetch(c.page->low + c.row * stride + d);
  }
#endif
}

// The score of the n-th best, with the better ones moved before it; `rows` has at least n.
std::int32_t nth_score(std::vector<Candidate>& rows, std::size_t n) {
  const auto better = [](const Candidate& a, const Candidate& b) noexcept { return a.score > b.score; };
  std::nth_element(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(n - 1), rows.end(), better);
  return rows[n - 1].score;
}

}  // namespace

std::int64_t Index::recall(const Query& query, const Request& request, std::int64_t* ids, float* scores) const {
  // The caller has announced itself, so rows that were there at an even version which has not changed stay what they are.
  const std::uint64_t version = version_.load(std::memory_order_seq_cst);
  const std::size_t n_wanted = request.k * static_cast<std::size_t>(request.oversample);
  const bool settled = version % 2 == 0 && n_wanted <= kMostWanted;
  std::int32_t square = 0;
  kernels_.dot_i8({query.high, query.high, 1, stride_, stride_, &square});
  const Asked asked{query.high, query.wide, query.bias, square, request.filter, version};
  if (settled) {
    const Recalled known = lookaside_->lookup(asked);
    const Neighbourhood* near = known.near.get();
    if (near != nullptr && known.same && near->k == request.k && near->n_wanted == n_wanted &&
        near->mode == static_cast<int>(request.mode) && near->scale == query.to_cosine) {
      std::copy(near->ids.begin(), near->ids.end(), ids);
      std::copy(near->scores.begin(), near->scores.end(), scores);
      n_repeats_.fetch_add(1, std::memory_order_relaxed);
      const auto n = static_cast<std::int64_t>(near->ids.size());
      return near->fine ? n : ~n;
    }
    std::int64_t n = 0;
    if (near != nullptr && answer_near(query, request, known, square, ids, scores, n)) {
      n_near_.fetch_add(1, std::memory_order_relaxed);
      return n;
    }
  }
  const std::size_t n_kept = settled && request.mode == Mode::kExact ? std::max(kNeighbours, 2 * n_wanted) : n_wanted;
  std::vector<Candidate> rows = scan(query, request, n_kept);
  auto end = rows.end();
  if (rows.size() > n_wanted) {
    // With all that tie at the cut: a scan for so few keeps any of them, and this shall find no less.
    const std::int32_t least = nth_score(rows, n_wanted);
    end = std::partition(rows.begin() + static_cast<std::ptrdiff_t>(n_wanted), rows.end(),
                         [least](const Candidate& c) noexcept { return c.score == least; });
  }
  std::vector<Candidate> found(rows.begin(), end);
  std::size_t n = 0;
  const bool fine = rescore(query, found, ids, scores, request.k, n);
  if (settled && !rows.empty()) {
    auto kept = std::make_shared<Neighbourhood>();
    const auto worse = [](const Candidate& a, const Candidate& b) noexcept { return a.score < b.score; };
    const auto [least, most] = std::minmax_element(rows.begin(), rows.end(), worse);
    kept->least = least->score;
    kept->most = most->score;
    kept->longest = longest_.load(std::memory_order_relaxed);
    kept->longest_low = longest_low_.load(std::memory_order_relaxed);
    kept->exhaustive = request.mode == Mode::kExact;
    kept->everything = kept->exhaustive && rows.size() < n_kept;
    kept->k = request.k;
    kept->n_wanted = n_wanted;
    kept->mode = static_cast<int>(request.mode);
    kept->scale = query.to_cosine;
    kept->fine = fine;
    kept->ids.assign(ids, ids + n);
    kept->scores.assign(scores, scores + n);
    kept->rows = std::move(rows);
    // After a write it would be dropped at the next lookup.
    if (version_.load(std::memory_order_seq_cst) == version) lookaside_->remember(asked, std::move(kept));
  }
  return fine ? static_cast<std::int64_t>(n) : ~static_cast<std::int64_t>(n);
}

// True, with the answer written, if nothing outside of what a remembered query found can belong to it.
bool Index::answer_near(const Query& query, const Request& request, const Recalled& known, std::int32_t square,
                        std::int64_t* ids, float* scores, std::int64_t& n) const {
  const Neighbourhood& near = *known.near;
  const std::size_t n_wanted = request.k * static_cast<std::size_t>(request.oversample);
  if (request.mode != Mode::kExact || !near.exhaustive) return false;
  if (!near.everything && near.rows.size() < n_wanted) return false;
  const Surroundings around{static_cast<double>(known.product), static_cast<double>(square),
                            static_cast<double>(known.square), static_cast<double>(near.longest)};
  const double outside = near.everything ? -std::numeric_limits<double>::infinity()
                                         : std::floor(most_outside(around, near.least));
  const double slack = std::fmax(0.0, request.slack);
  // The best score changes little from one query to the next: if not even that one is out of reach, do not read the rows.
  if (outside > near.most + slack / double{query.to_cosine_high}) return false;
  std::vector<Candidate> rows = score_again(query, near.rows);
  const std::int32_t least =
      rows.size() > n_wanted ? nth_score(rows, n_wanted) : std::numeric_limits<std::int32_t>::min();
  const bool all_candidates = near.everything || outside < static_cast<double>(least);
  if (all_candidates) {
    rows.erase(std::remove_if(rows.begin(), rows.end(), [least](const Candidate& c) { return c.score < least; }),
               rows.end());
  }
  std::size_t n_found = 0;
  const bool fine = rescore(query, rows, ids, scores, request.k, n_found);
  n = fine ? static_cast<std::int64_t>(n_found) : ~static_cast<std::int64_t>(n_found);
  if (all_candidates) return true;
  return fine && n_found == request.k && most_cosine_outside(query, known) <= double{scores[n_found - 1]} + slack;
}

// By both planes.
double Index::most_cosine_outside(const Query& query, const Recalled& known) const {
  constexpr double kRounding = 1e-6;  // of a float32 cosine, several times
  double square = 0;
  for (std::int64_t d = 0; d < stride_; ++d) {
    const auto value = static_cast<double>(query.wide[d]);
    square += value * value;
  }
  const Surroundings around{static_cast<double>(known.wide_product), square, static_cast<double>(known.square),
                            static_cast<double>(known.near->longest)};
  const double by_high = double{kLowSteps} * most_outside(around, known.near->least);
  const double by_low = std::sqrt(square) * std::sqrt(static_cast<double>(known.near->longest_low));
  return (by_high + by_low) * query.to_cosine + kRounding;
}

std::vector<Candidate> Index::score_again(const Query& query, const std::vector<Candidate>& rows) const {
  alignas(64) std::int32_t scores[kPageRows];
  std::vector<Candidate> scored(rows);
  ScanU8Args args{nullptr, query.high, stride_, query.bias, 0, std::numeric_limits<std::int32_t>::min(), nullptr, scores};
  for (std::size_t i = 0; i < scored.size(); ++i) {
    // The rows lie anywhere: while one is scored, those that follow are on their way.
    if (i + kAhead < scored.size()) prefetch(scored[i + kAhead], stride_);
    Candidate& row = scored[i];
    args.rows = row.page->high;
    args.wanted = std::uint64_t{1} << row.row;
    kernels_.scan_u8(args);
    row.score = scores[row.row];
  }
  return scored;
}

}  // namespace sm

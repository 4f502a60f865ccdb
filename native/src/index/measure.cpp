// Recall against the exact search, on a sample of the rows.
//
// A row of the index asks for its neighbours and is left out itself. It stands for a query of the same distribution that
// is not in the index: all that it has of its own is its part in the centroid of its list, one in hundreds. Adding noise
// instead would move queries away from where the rows lie, and by how much would be arbitrary. Queries that are unlike all
// rows can fare worse; `measure_recall` cannot know of these.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>

#include "bits.h"
#include "jobs.h"

namespace sm {

namespace {

constexpr std::size_t kSampled = 160;
constexpr std::size_t kNeighbours = 10;
constexpr std::size_t kTries = 64;  // for each sampled row

}  // namespace

Index::Clusters::Measure::Measure(Clusters& of) : clusters_(of), needed_(of.seen().lists.size() + 1) {
  const auto& pages = of.index.pages_;
  for (std::size_t tries = 0; sample_.size() < kSampled && tries < kTries * kSampled && !pages.empty(); ++tries) {
    const Page& page = *pages[of.random() % pages.size()];
    const int row = static_cast<int>(of.random() % kPageRows);
    if ((page.live.load(std::memory_order_relaxed) & bit(row)) != 0) sample_.push_back({page.id[row], {}});
  }
}

bool Index::Clusters::Measure::step(Deadline deadline) {
  Index& index = clusters_.index;
  std::vector<SignedRow> queries(sample_.size());
  std::size_t n = 0;
  for (Sampled& sampled : sample_) {  // what was removed meanwhile asks no more
    const Place place = index.places_.find(sampled.id);
    if (place.page == nullptr) continue;
    queries[n].set(place.page->high + place.row * index.stride_, index.stride_);
    if (&sample_[n] != &sampled) sample_[n] = std::move(sampled);
    ++n;
  }
  sample_.resize(n);
  queries.resize(n);
  while (page_ < index.pages_.size() && !is_over(deadline)) scan(*index.pages_[page_++], queries);
  for (SignedRow& query : queries) wipe(query.at, static_cast<std::size_t>(index.stride_));
  if (page_ < index.pages_.size()) return false;
  for (; ranked_ < sample_.size(); ++ranked_) {
    if (is_over(deadline)) return false;
    rank(sample_[ranked_]);
  }
  choose();
  return true;
}

void Index::Clusters::Measure::scan(const Page& page, const std::vector<SignedRow>& queries) {
  const Index& index = clusters_.index;
  alignas(64) std::int32_t scores[kPageRows];
  const std::uint64_t live = page.live.load(std::memory_order_relaxed);
  for (std::size_t q = 0; q < queries.size(); ++q) {
    std::vector<Near>& near = sample_[q].near;
    const std::int32_t threshold =
        near.size() < kNeighbours ? std::numeric_limits<std::int32_t>::min() : near.back().score;
    std::uint64_t above = index.kernels_.scan_u8(
        {page.high, queries[q].at, index.stride_, queries[q].bias, live, threshold, nullptr, scores});
    for (; above != 0; above &= above - 1) {
      const int r = lowest_set(above);
      const Near found{scores[r], page.id[r]};
      const auto same = [&](const Near& other) { return other.id == found.id; };
      if (found.id == sample_[q].id || std::find_if(near.begin(), near.end(), same) != near.end()) continue;
      const auto better = [](const Near& a, const Near& b) { return a.score > b.score; };
      near.insert(std::upper_bound(near.begin(), near.end(), found, better), found);
      if (near.size() > kNeighbours) near.pop_back();
    }
  }
}

// In the how many-th of the lists, by nearness to the sampled row, each of its neighbours lies.
void Index::Clusters::Measure::rank(const Sampled& sampled) {
  const Index& index = clusters_.index;
  const Snapshot& snapshot = clusters_.seen();
  const Place self = index.places_.find(sampled.id);
  if (self.page == nullptr) return;
  const SignedRow query(self.page->high + self.row * index.stride_, index.stride_);
  std::vector<std::int32_t> scores(snapshot.centroids.size() * kPageRows);
  alignas(64) std::int32_t page_scores[kPageRows];
  for (std::size_t p = 0; p < snapshot.centroids.size(); ++p) {
    clusters_.score(snapshot.centroids[p], ~std::uint64_t{0}, query, page_scores);
    std::copy(page_scores, page_scores + kPageRows, scores.begin() + static_cast<std::ptrdiff_t>(p * kPageRows));
  }
  scores.resize(snapshot.n_centroids());
  for (const Near& near : sampled.near) {
    const Place place = index.places_.find(near.id);
    if (place.page == nullptr) continue;
    std::size_t nth = 0;
    if (place.page->list->number > 0) {
      const std::int32_t own = scores[place.page->list->number - 1];
      nth = 1 + static_cast<std::size_t>(std::count_if(scores.begin(), scores.end(), [own](auto s) { return s > own; }));
    }
    if (nth < needed_.size()) ++needed_[nth];
  }
}

void Index::Clusters::Measure::choose() {
  std::size_t n_all = 0;
  for (const std::size_t n : needed_) n_all += n;
  // A standard error better than is asked for, since the sample flatters the number that is chosen by it.
  const double may_miss = (1.0 - clusters_.index.options_.least_recall) * static_cast<double>(n_all);
  std::size_t n_found = needed_[0];
  std::size_t n_probes = 0;
  do {
    ++n_probes;
    if (n_probes < needed_.size()) n_found += needed_[n_probes];
  } while (n_probes < needed_.size() && static_cast<double>(n_all - n_found) > may_miss - std::sqrt(may_miss));
  clusters_.index.n_probes_.store(n_probes, std::memory_order_relaxed);
  clusters_.recall = n_all > 0 ? static_cast<double>(n_found) / static_cast<double>(n_all) : 1.0;
  clusters_.n_rows_measured = clusters_.index.places_.size();
  clusters_.n_unmeasured = 0;
}

double Index::measure_recall(std::size_t n_sample, std::size_t k, int probes) const {
  std::mt19937_64 random(0x5EED ^ version());
  std::vector<float> row(static_cast<std::size_t>(options_.n_dims));
  std::vector<std::int64_t> ids[2] = {std::vector<std::int64_t>(k + 1), std::vector<std::int64_t>(k + 1)};
  std::vector<float> scores(k + 1);
  std::size_t n_wanted = 0;
  std::size_t n_found = 0;
  for (std::size_t n = 0; n < n_sample; ++n) {
    std::int64_t id = 0;
    bool is_row = false;
    for (std::size_t tries = 0; tries < kTries && !is_row; ++tries) is_row = random_row(random(), row.data(), id);
    if (!is_row) continue;
    std::size_t n_ids[2];
    for (int way = 0; way < 2; ++way) {
      Request request;
      request.query = row.data();
      request.k = k + 1;  // the row itself is among them
      request.mode = way == 0 ? Mode::kExact : Mode::kLists;
      request.probes = probes;
      request.recall = false;
      const std::int64_t found = search(request, ids[way].data(), scores.data());
      n_ids[way] = static_cast<std::size_t>(found >= 0 ? found : ~found);
      const auto end = ids[way].begin() + static_cast<std::ptrdiff_t>(n_ids[way]);
      n_ids[way] = std::min(k, static_cast<std::size_t>(std::remove(ids[way].begin(), end, id) - ids[way].begin()));
      std::sort(ids[way].begin(), ids[way].begin() + static_cast<std::ptrdiff_t>(n_ids[way]));
    }
    n_wanted += n_ids[0];
    for (std::size_t i = 0; i < n_ids[0]; ++i) {
      const auto end = ids[1].begin() + static_cast<std::ptrdiff_t>(n_ids[1]);
      n_found += std::binary_search(ids[1].begin(), end, ids[0][i]) ? 1 : 0;
    }
  }
  wipe(row.data(), row.size() * sizeof(row[0]));
  return n_wanted > 0 ? static_cast<double>(n_found) / static_cast<double>(n_wanted) : 1.0;
}

// A row as floats, as near to it as its planes are. False if the place that `number` picks is empty.
bool Index::random_row(std::uint64_t number, float* row, std::int64_t& id) const {
  const Epochs::Reader reader(epochs_);
  const Snapshot& snapshot = *snapshot_.load(std::memory_order_seq_cst);
  std::size_t n_pages = 0;
  for (const List* list : snapshot.lists) {
    n_pages += list->pages.load(std::memory_order_seq_cst)->n.load(std::memory_order_seq_cst);
  }
  if (n_pages == 0) return false;
  std::size_t at = number / kPageRows % n_pages;
  for (const List* list : snapshot.lists) {
    const PageArray& pages = *list->pages.load(std::memory_order_seq_cst);
    const std::size_t n = pages.n.load(std::memory_order_seq_cst);
    if (at >= n) {
      at -= n;
      continue;
    }
    const Page& page = *pages.at[at];
    const int r = static_cast<int>(number % kPageRows);
    if ((page.live.load(std::memory_order_seq_cst) & bit(r)) == 0) return false;
    const bool fine = page.low != nullptr && (page.fine.load(std::memory_order_seq_cst) & bit(r)) != 0;
    for (std::int64_t d = 0; d < options_.n_dims; ++d) {
      const auto high = static_cast<float>(page.high[r * stride_ + d]) - 128.0F;
      const float low = fine ? static_cast<float>(page.low[r * stride_ + d]) / static_cast<float>(kLowSteps) : 0.0F;
      row[d] = (high + low) / steps_;
    }
    id = page.id[r];
    return true;
  }
  return false;
}

}  // namespace sm

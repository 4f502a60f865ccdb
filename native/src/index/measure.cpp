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

constexpr std::size_t kSampled = 320;
constexpr std::size_t kNeighbours = 10;
constexpr std::size_t kTries = 64;  // for each sampled row

}  // namespace

Index::Clusters::Measure::Measure(Clusters& of) : clusters_(of) {
  const auto& pages = of.index.pages_;
  for (std::size_t tries = 0; sample_.size() < kSampled && tries < kTries * kSampled && !pages.empty(); ++tries) {
    const Page& page = *pages[of.random() % pages.size()];
    const int row = static_cast<int>(of.random() % kPageRows);
    if ((page.live.load(std::memory_order_relaxed) & bit(row)) != 0) sample_.push_back({page.id[row], {}});
  }
}

bool Index::Clusters::Measure::step(Deadline deadline) {
  const Index& index = clusters_.index;
  if (page_ < index.pages_.size() && !scan_pages(deadline)) return false;
  for (; at_ < 2 * sample_.size(); ++at_) {
    if (is_over(deadline)) return false;
    if (at_ == sample_.size()) choose();
    if (at_ < sample_.size()) {
      look_up(sample_[at_]);
    } else {
      count(sample_[at_ - sample_.size()]);
    }
  }
  publish();
  return true;
}

bool Index::Clusters::Measure::scan_pages(Deadline deadline) {
  const Index& index = clusters_.index;
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
  do {  // one page at least: where the preparation alone takes a whole step, there would be no end
    scan(*index.pages_[page_++], queries);
  } while (page_ < index.pages_.size() && !is_over(deadline));
  for (SignedRow& query : queries) wipe(query.at, static_cast<std::size_t>(index.stride_));
  return page_ >= index.pages_.size();
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

// How far below the best each list's centroid scores with a sampled row. Empty if the row is gone.
std::vector<std::int32_t> Index::Clusters::Measure::gaps_of(const Sampled& sampled) const {
  const Index& index = clusters_.index;
  const Snapshot& snapshot = clusters_.seen();
  const Place self = index.places_.find(sampled.id);
  if (self.page == nullptr || snapshot.n_centroids() == 0) return {};
  const SignedRow query(self.page->high + self.row * index.stride_, index.stride_);
  std::vector<std::int32_t> gaps;
  gaps.reserve(snapshot.centroids.size() * kPageRows);
  alignas(64) std::int32_t scores[kPageRows];
  for (const std::uint8_t* page : snapshot.centroids) {
    clusters_.score(page, ~std::uint64_t{0}, query, scores);
    gaps.insert(gaps.end(), scores, scores + kPageRows);
  }
  gaps.resize(snapshot.n_centroids());
  const std::int32_t best = *std::max_element(gaps.begin(), gaps.end());
  for (std::int32_t& gap : gaps) gap = best - gap;
  return gaps;
}

void Index::Clusters::Measure::look_up(const Sampled& sampled) {
  const std::vector<std::int32_t> gaps = gaps_of(sampled);
  if (gaps.empty()) return;
  for (const Near& near : sampled.near) {
    const Place place = clusters_.index.places_.find(near.id);
    if (place.page == nullptr) continue;
    const std::size_t number = place.page->list->number;
    needed_.push_back(number > 0 ? gaps[number - 1] : 0);  // the tail is always scanned
  }
}

// A standard error better than is asked for, since the sample flatters what is chosen by it; and the neighbours of one row
// are mostly missed together, so that there are as many independent answers as rows.
void Index::Clusters::Measure::choose() {
  if (needed_.empty()) return;
  std::sort(needed_.begin(), needed_.end());
  const auto n = static_cast<double>(needed_.size());
  const double may_miss = (1.0 - clusters_.index.options_.least_recall) * n;
  const double n_found = std::ceil(n - std::fmax(0.0, may_miss - std::sqrt(static_cast<double>(kNeighbours) * may_miss)));
  gap_ = needed_[static_cast<std::size_t>(std::fmax(n_found, 1.0)) - 1];
  const auto last = std::upper_bound(needed_.begin(), needed_.end(), gap_);
  recall_ = static_cast<double>(last - needed_.begin()) / n;
}

void Index::Clusters::Measure::count(const Sampled& sampled) {
  const std::vector<std::int32_t> gaps = gaps_of(sampled);
  const auto n = static_cast<std::size_t>(
      std::count_if(gaps.begin(), gaps.end(), [this](std::int32_t gap) { return gap <= gap_; }));
  most_ = std::max(most_, n);
  n_counted_ += n;
}

void Index::Clusters::Measure::publish() const {
  Index& index = clusters_.index;
  // A query unlike all of the sample does not scan more than the one that needed most.
  index.n_probes_.store(most_, std::memory_order_relaxed);
  const double steps = index.steps_;
  index.reach_.store((gap_ + 0.5) / (steps * steps), std::memory_order_relaxed);
  clusters_.recall = recall_;
  clusters_.mean_probes = sample_.empty() ? 1 : (n_counted_ + sample_.size() - 1) / sample_.size();
  clusters_.n_rows_measured = index.places_.size();
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

// The index against plain vectors: what it finds after any sequence of writes, and what is left of what was taken away.
#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>

#include "oracle.h"

namespace {

using sm::Attributes;
using sm::Filter;
using sm::test::Found;
using sm::test::Oracle;
using sm::test::Random;
using sm::test::Vector;
using sm::test::check;

constexpr std::size_t kAll = 1U << 16;  // more than any test holds: candidates are then not cut, and answers are exact
constexpr double kRounding = 1e-6;      // of a float32 cosine

struct Answer {
  std::vector<Found> found;
  bool fine;
};

Answer search(const sm::Index& index, const Vector& query, std::size_t k, const Filter* filter = nullptr,
              sm::Mode mode = sm::Mode::kExact, int n_threads = 1) {
  std::vector<std::int64_t> ids(k);
  std::vector<float> scores(k);
  sm::Request request;
  request.query = query.data();
  request.k = k;
  request.filter = filter;
  request.mode = mode;
  request.oversample = k < 100 ? 400 : 4;
  request.n_threads = n_threads;
  const std::int64_t n = index.search(request, ids.data(), scores.data());
  Answer answer{{}, n >= 0};
  for (std::size_t i = 0; i < static_cast<std::size_t>(n >= 0 ? n : ~n); ++i) answer.found.push_back({ids[i], scores[i]});
  return answer;
}

void compare(const char* what, const std::vector<Found>& found, const std::vector<Found>& expected) {
  check(found.size() == expected.size(), "%s: %zu rows instead of %zu", what, found.size(), expected.size());
  for (std::size_t i = 0; i < std::min(found.size(), expected.size()); ++i) {
    check(found[i].id == expected[i].id && std::fabs(found[i].score - expected[i].score) <= kRounding,
          "%s: place %zu holds %lld (%.8f) instead of %lld (%.8f)", what, i, static_cast<long long>(found[i].id),
          found[i].score, static_cast<long long>(expected[i].id), expected[i].score);
  }
}

bool any(const Attributes&) { return true; }

Attributes random_attributes(Random& random) {
  return {random.between(0, 200), random.between(0, 9), static_cast<std::uint8_t>(random.between(0, 3)),
          random.between(-1000, 1000)};
}

struct Both {
  sm::Index index;
  Oracle oracle;
  explicit Both(const sm::IndexOptions& options) : index(options) {}

  void add(const std::vector<std::int64_t>& ids, const std::vector<Vector>& rows, const std::vector<Attributes>& attributes) {
    std::vector<float> flat;
    for (const Vector& row : rows) flat.insert(flat.end(), row.begin(), row.end());
    index.add(ids.data(), flat.data(), attributes.data(), ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) oracle.add(ids[i], rows[i], attributes[i]);
  }
  void add(std::int64_t id, const Vector& row) { add({id}, {row}, {Attributes{}}); }

  void remove(const std::vector<std::int64_t>& ids) {
    std::size_t n_known = 0;
    for (const std::int64_t id : ids) n_known += oracle.remove(id) ? 1 : 0;
    const std::size_t n = index.remove(ids.data(), ids.size());
    check(n == n_known, "%zu rows removed instead of %zu", n, n_known);
  }
};

// Some ids come twice in one call, some are there already, and some of those keep their vector.
void add_some(Both& both, std::int64_t n_dims, int n_ids, Random& random, const std::vector<Vector>& known) {
  std::vector<std::int64_t> ids;
  std::vector<Vector> rows;
  std::vector<Attributes> attributes;
  for (int n = random.between(1, 90); n > 0; --n) {
    const int id = random.between(0, n_ids - 1);
    ids.push_back(id - 20);  // negative ids are ids, too
    rows.push_back(random.between(0, 3) == 0 ? known[static_cast<std::size_t>(id)] : random_unit(random, n_dims));
    attributes.push_back(random.between(0, 1) == 0 ? Attributes{} : random_attributes(random));
  }
  both.add(ids, rows, attributes);
}

std::vector<std::int32_t> random_ids(Random& random, int n, int most) {
  std::vector<std::int32_t> ids;
  for (int i = 0; i < n; ++i) ids.push_back(random.between(0, most));
  return ids;
}

void search_filtered(const Both& both, const Vector& query, std::size_t k, Random& random) {
  Filter filter;
  std::optional<std::vector<std::int32_t>> projects;
  std::optional<std::vector<std::int32_t>> sources;
  if (random.between(0, 1) == 0) projects = random_ids(random, random.between(0, 3) == 0 ? 1 : random.between(0, 80), 200);
  if (random.between(0, 1) == 0) sources = random_ids(random, random.between(0, 60), 70);
  if (projects) filter.projects = sm::RowSet(*projects);
  if (sources) filter.sources = sm::RowSet(*sources);
  if (random.between(0, 1) == 0) filter.least_trust = static_cast<std::uint8_t>(random.between(0, 4));
  if (random.between(0, 1) == 0) filter.since = random.between(-1000, 1000);
  if (random.between(0, 1) == 0) filter.until = random.between(-1000, 1000);
  const auto has = [](const std::optional<std::vector<std::int32_t>>& ids, std::int32_t n) {
    return !ids || std::find(ids->begin(), ids->end(), n) != ids->end();
  };
  const auto passes = [&](const Attributes& a) {
    return has(projects, a.project) && has(sources, a.source) && a.trust >= filter.least_trust &&
           a.time >= filter.since && a.time <= filter.until;
  };
  compare("filtered", search(both.index, query, k, &filter).found, both.oracle.search(query, k, true, passes));
}

// Several queries in one reading find what each of them finds by itself.
void ask_together(const sm::Index& index, std::int64_t n_dims, Random& random) {
  Filter filter;
  filter.since = random.between(-1000, 500);
  std::vector<Vector> queries;
  std::vector<sm::Request> requests;
  for (int n = random.between(0, 4); n >= 0; --n) queries.push_back(random_unit(random, n_dims));
  for (const Vector& query : queries) {
    requests.emplace_back();
    requests.back().query = query.data();
    requests.back().k = static_cast<std::size_t>(random.between(0, 50));
  }
  if (random.between(0, 1) == 0) {
    for (sm::Request& request : requests) request.filter = &filter;
  }
  std::vector<std::vector<std::int64_t>> ids;
  std::vector<std::vector<float>> scores;
  for (const sm::Request& request : requests) {
    ids.emplace_back(request.k);
    scores.emplace_back(request.k);
  }
  std::vector<sm::Written> written;
  for (std::size_t q = 0; q < requests.size(); ++q) {
    written.push_back({requests[q].k, ids[q].data(), scores[q].data(), 0});
  }
  index.candidates_each(requests.data(), requests.size(), written.data());
  for (std::size_t q = 0; q < requests.size(); ++q) {
    std::vector<std::int64_t> its_ids(requests[q].k);
    std::vector<float> its_scores(requests[q].k);
    const std::size_t n = index.candidates(requests[q], its_ids.data(), its_scores.data());
    check(written[q].n == n && ids[q] == its_ids && scores[q] == its_scores, "query %zu finds others in company", q);
  }
}

void any_sequence(const sm::Kernels& kernels, std::int64_t n_dims, bool signs, std::uint32_t seed) {
  constexpr int kIds = 300;
  Random random(seed);
  sm::IndexOptions options;
  options.n_dims = n_dims;
  options.signs = signs;
  options.kernels = &kernels;
  Both both(options);
  std::vector<Vector> known;
  for (int i = 0; i < kIds; ++i) known.push_back(random_unit(random, n_dims));
  compare("empty", search(both.index, known[0], 5).found, {});
  for (int step = 0; step < 60; ++step) {
    const int what = random.between(0, 9);
    if (what < 5) {
      add_some(both, n_dims, kIds, random, known);
    } else if (what < 9) {
      std::vector<std::int64_t> ids;
      for (int n = random.between(1, 60); n > 0; --n) ids.push_back(random.between(0, kIds + 20) - 20);
      both.remove(ids);
    } else if (random.between(0, 3) == 0) {
      both.index.clear();
      both.oracle.clear();
    }
    const auto k = static_cast<std::size_t>(random.between(1, 400));
    const Vector query = random_unit(random, n_dims);
    const Answer answer = search(both.index, query, k);
    check(answer.fine, "unit vectors were not rescored");
    compare(kernels.isa, answer.found, both.oracle.search(query, k, true, any));
    search_filtered(both, query, k, random);
    ask_together(both.index, n_dims, random);
    check(both.index.stats().n_rows == both.oracle.size(), "the number of rows is wrong");
  }
}

// Rows of the store's int8 form are found by their high plane, and completed by the same vectors as float32.
void two_forms(Random& random) {
  constexpr std::int64_t kDims = 100;
  constexpr std::size_t kRows = 150;
  sm::IndexOptions options;
  options.n_dims = kDims;
  Both both(options);
  std::vector<std::int64_t> ids;
  std::vector<Vector> rows;
  std::vector<std::int8_t> flat;
  for (std::size_t i = 0; i < kRows; ++i) {
    ids.push_back(static_cast<std::int64_t>(i));
    rows.push_back(random_unit(random, kDims));
    for (const std::int32_t x : sm::test::Fixed(rows.back()).high) flat.push_back(static_cast<std::int8_t>(x));
    both.oracle.add(ids.back(), rows.back(), {});
  }
  const std::vector<Attributes> attributes(kRows);
  both.index.add(ids.data(), flat.data(), attributes.data(), kRows);
  const Vector query = random_unit(random, kDims);
  const Answer coarse = search(both.index, query, 20);
  check(!coarse.fine && both.index.stats().n_fine == 0, "rows without a low plane count as fine");
  compare("int8", coarse.found, both.oracle.search(query, 20, false, any));
  both.add(ids, rows, attributes);
  const Answer fine = search(both.index, query, 20);
  check(fine.fine && both.index.stats().n_fine == kRows, "completed rows are not fine");
  check(both.index.stats().n_waiting == 0, "completing took rows away");
  compare("completed", fine.found, both.oracle.search(query, 20, true, any));
  Vector clipped(kDims, 0.0F);
  clipped[3] = 1.0F;
  both.add(1'000, clipped);
  check(!search(both.index, query, kRows + 1).fine, "a clipped row counts as fine");
}

void signs_find_what_is_near(Random& random) {
  constexpr std::int64_t kDims = 192;
  sm::IndexOptions options;
  options.n_dims = kDims;
  options.signs = true;
  Both both(options);
  for (std::int64_t id = 0; id < 3'000; ++id) both.add(id, random_unit(random, kDims));
  for (int i = 0; i < 20; ++i) {
    const Vector query = random_unit(random, kDims);
    both.add(5'000 + i, near(query, 0.5F, random));
    const Answer answer = search(both.index, query, 1, nullptr, sm::Mode::kSigns);
    compare("signs", answer.found, both.oracle.search(query, 1, true, any));
  }
}

void threads_agree(Random& random) {
  constexpr std::int64_t kDims = 8;
  constexpr std::size_t kRows = 40'000;
  sm::IndexOptions options;
  options.n_dims = kDims;
  sm::Index index(options);
  std::vector<std::int64_t> ids(kRows);
  std::vector<float> rows;
  for (std::size_t i = 0; i < kRows; ++i) {
    ids[i] = static_cast<std::int64_t>(i);
    const Vector row = random_unit(random, kDims);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  const std::vector<Attributes> attributes(kRows);
  index.add(ids.data(), rows.data(), attributes.data(), kRows);
  for (int i = 0; i < 5; ++i) {
    const Vector query = random_unit(random, kDims);
    compare("threads", search(index, query, kAll, nullptr, sm::Mode::kExact, 4).found, search(index, query, kAll).found);
  }
}

// Kernels that show the index from inside: what they are given to scan, at the moment when they scan it.
std::function<void(const sm::ScanU8Args&)> on_scan;
const std::uint8_t* seen_signs = nullptr;
const std::int8_t* seen_low = nullptr;

std::uint64_t scan_and_tell(const sm::ScanU8Args& args) noexcept {
  const std::uint64_t above = sm::sm_scan_u8_serial(args);
  const auto tell = std::exchange(on_scan, nullptr);  // once: what is told may search, too
  if (tell) tell(args);
  return above;
}
std::uint64_t hamming_and_tell(const sm::HammingB1Args& args) noexcept {
  seen_signs = args.rows;
  return sm::sm_hamming_b1_serial(args);
}
void rescore_and_tell(const sm::RescoreI16Args& args) noexcept {
  seen_low = args.n_rows > 0 ? args.low[0] : nullptr;
  sm::sm_rescore_i16_serial(args);
}

sm::IndexOptions told_options(std::int64_t n_dims) {
  static sm::Kernels kernels = *sm::find_kernels("serial");
  kernels.scan_u8 = scan_and_tell;
  kernels.hamming_b1 = hamming_and_tell;
  kernels.rescore_i16 = rescore_and_tell;
  sm::IndexOptions options;
  options.n_dims = n_dims;
  options.signs = true;
  options.kernels = &kernels;
  return options;
}

bool is_zero(const void* at, std::size_t n_bytes) {
  const auto* bytes = static_cast<const unsigned char*>(at);
  return std::all_of(bytes, bytes + n_bytes, [](unsigned char byte) { return byte == 0; });
}

// A row is zeroed in all three planes as soon as no search can see it, and not before.
void nothing_is_left(Random& random) {
  constexpr std::int64_t kDims = 64;
  Both both(told_options(kDims));
  const Vector row = random_unit(random, kDims);
  both.add(7, row);
  const std::uint8_t* high = nullptr;
  on_scan = [&](const sm::ScanU8Args& args) { high = args.rows; };
  search(both.index, row, 1, nullptr, sm::Mode::kSigns);
  check(high != nullptr && seen_signs != nullptr && seen_low != nullptr, "a plane was not read");
  check(!is_zero(high, kDims) && !is_zero(seen_low, kDims) && !is_zero(seen_signs, kDims / 8), "a plane holds nothing");

  on_scan = [&](const sm::ScanU8Args&) {
    both.remove({7});
    check(!both.index.reclaim(), "a row that a search may see was given back");
    check(!is_zero(high, kDims) && !is_zero(seen_low, kDims), "a row was zeroed while a search could see it");
    both.add(8, row);
    check(both.index.stats().n_waiting > 0, "nothing waits");
  };
  const Answer answer = search(both.index, row, 3);
  check(answer.found.size() == 1 && answer.found[0].id == 7, "a search lost the row that it saw");
  check(both.index.reclaim() && both.index.stats().n_waiting == 0, "something waits for nobody");
  check(is_zero(high, kDims) && is_zero(seen_low, kDims) && is_zero(seen_signs, kDims / 8), "a removed row is left");
  compare("after", search(both.index, row, 3).found, both.oracle.search(row, 3, true, any));
}

// Rows that replace each other while a search goes from page to page are found once.
void replaced_between_pages(Random& random) {
  constexpr std::int64_t kDims = 32;
  Both both(told_options(kDims));
  for (std::int64_t id = 0; id < 64; ++id) both.add(id, random_unit(random, kDims));
  for (std::int64_t id = 64; id < 70; ++id) both.add(id, random_unit(random, kDims));
  for (const std::size_t k : {std::size_t{10}, std::size_t{30}, std::size_t{200}}) {
    on_scan = [&](const sm::ScanU8Args&) {
      for (std::int64_t id = 0; id < 20; ++id) both.add(id, random_unit(random, kDims));
    };
    std::vector<std::int64_t> ids;
    for (const Found& found : search(both.index, random_unit(random, kDims), k).found) ids.push_back(found.id);
    const std::size_t n = ids.size();
    check(n == std::min<std::size_t>(k, 70), "k is %zu: %zu of 70 rows were found", k, n);
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    check(ids.size() == n, "k is %zu: %zu ids were found twice", k, n - ids.size());
    both.index.reclaim();
  }
}

void limits() {
  for (const std::int64_t n_dims : {std::int64_t{0}, std::int64_t{-1}, sm::kMaxStride + 1}) {
    sm::IndexOptions options;
    options.n_dims = n_dims;
    bool refused = false;
    try {
      const sm::Index index(options);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    check(refused, "%lld dimensions were accepted", static_cast<long long>(n_dims));
  }
  sm::IndexOptions options;
  options.n_dims = 4096;
  Both both(options);
  Random random(1);
  both.add(std::numeric_limits<std::int64_t>::max(), random_unit(random, 4096));
  both.add(std::numeric_limits<std::int64_t>::min(), random_unit(random, 4096));
  const Vector query = random_unit(random, 4096);
  compare("longest", search(both.index, query, 2).found, both.oracle.search(query, 2, true, any));
  check(search(both.index, query, 0).found.empty(), "k of nothing found something");
}

}  // namespace

int main() {
  std::uint32_t seed = 1;
  for (const sm::Kernels& kernels : sm::available_kernels()) {
    for (const std::int64_t n_dims : {1, 3, 64, 100, 384}) {
      any_sequence(kernels, n_dims, seed % 2 == 0, seed);
      ++seed;
    }
  }
  Random random(23);
  two_forms(random);
  signs_find_what_is_near(random);
  threads_agree(random);
  nothing_is_left(random);
  replaced_between_pages(random);
  limits();
  return sm::test::finish("index");
}

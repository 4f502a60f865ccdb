// The lists against plain vectors: nothing is lost, found twice or left behind, whatever is written between the steps of
// their upkeep and whoever searches meanwhile.
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <set>
#include <thread>

#include "oracle.h"

namespace {

using sm::Attributes;
using sm::Mode;
using sm::test::check;
using sm::test::Found;
using sm::test::Oracle;
using sm::test::Random;
using sm::test::Vector;

constexpr std::size_t kAll = 1U << 15;
constexpr int kAllLists = 1 << 20;
constexpr double kRounding = 1e-6;

std::vector<Found> search(const sm::Index& index, const Vector& query, std::size_t k, Mode mode, int probes = kAllLists,
                          const sm::Filter* filter = nullptr) {
  std::vector<std::int64_t> ids(k);
  std::vector<float> scores(k);
  sm::Request request;
  request.query = query.data();
  request.k = k;
  request.mode = mode;
  request.probes = probes;
  request.filter = filter;
  request.oversample = k < 100 ? 100 : 2;
  const std::int64_t n = index.search(request, ids.data(), scores.data());
  check(n >= 0, "unit vectors were not rescored");
  std::vector<Found> found;
  for (std::size_t i = 0; i < static_cast<std::size_t>(n >= 0 ? n : ~n); ++i) found.push_back({ids[i], scores[i]});
  return found;
}

void compare(const char* what, const std::vector<Found>& found, const std::vector<Found>& expected) {
  check(found.size() == expected.size(), "%s: %zu rows instead of %zu", what, found.size(), expected.size());
  for (std::size_t i = 0; i < std::min(found.size(), expected.size()); ++i) {
    check(found[i].id == expected[i].id && std::fabs(found[i].score - expected[i].score) <= kRounding,
          "%s: place %zu holds %lld (%.8f) instead of %lld (%.8f)", what, i, static_cast<long long>(found[i].id),
          found[i].score, static_cast<long long>(expected[i].id), expected[i].score);
  }
}

// Kernels that tell what is scanned, before it is.
std::function<void(const sm::ScanU8Args&)> on_scan;

std::uint64_t scan_and_tell(const sm::ScanU8Args& args) noexcept {
  if (on_scan) {
    const auto tell = std::move(on_scan);
    on_scan = nullptr;  // what is told may search, too
    tell(args);
    on_scan = tell;
  }
  return sm::sm_scan_u8_serial(args);
}

sm::IndexOptions small(std::int64_t n_dims, const sm::Kernels* kernels = nullptr) {
  sm::IndexOptions options;
  options.n_dims = n_dims;
  options.flat_limit = 256;
  options.kernels = kernels;
  return options;
}

const sm::Kernels* telling() {
  static const sm::Kernels kernels = [] {
    sm::Kernels made = *sm::find_kernels("serial");
    made.scan_u8 = scan_and_tell;
    return made;
  }();
  return &kernels;
}

class Clustered {
 public:
  Clustered(Random& random, std::int64_t n_dims, int n_centres) : random_(random) {
    for (int i = 0; i < n_centres; ++i) centres_.push_back(random_unit(random, n_dims));
  }
  Vector row(int centre) { return near(centres_[static_cast<std::size_t>(centre)], 0.7F, random_); }
  Vector row() { return row(random_.between(0, static_cast<int>(centres_.size()) - 1)); }

 private:
  Random& random_;
  std::vector<Vector> centres_;
};

void finish(sm::Index& index) {
  int tries = 0;
  while (index.maintain(1000) && ++tries < 200'000) continue;
  check(tries < 200'000, "the upkeep has no end");
  check(index.stats().n_waiting == 0, "something waits for nobody");
}

// Rows that a search scans, each as often as it is there.
std::size_t n_places(const sm::Index& index, const Vector& query) {
  std::size_t n = 0;
  on_scan = [&](const sm::ScanU8Args& args) {
    for (std::uint64_t rows = args.wanted; rows != 0; rows &= rows - 1) ++n;
  };
  search(index, query, 1, Mode::kExact);
  on_scan = nullptr;
  return n;
}

void any_sequence(std::int64_t n_dims, bool signs, std::uint32_t seed, int n_steps) {
  constexpr int kIds = 4'000;
  Random random(seed);
  Clustered clustered(random, n_dims, 12);
  sm::IndexOptions options = small(n_dims, telling());
  options.signs = signs;
  sm::Index index(options);
  Oracle oracle;
  int drawn_to = 0;  // few centres at a time, so that lists grow unevenly
  for (int step = 0; step < n_steps; ++step) {
    const int what = random.between(0, 19);
    if (what < 7) {
      drawn_to = random.between(0, 11);
      for (int n = random.between(1, 300); n > 0; --n) {
        const std::int64_t id = random.between(0, kIds);
        const Vector row = random.between(0, 3) == 0 ? clustered.row() : clustered.row(drawn_to);
        const Attributes attributes{random.between(0, 3), 0, 0, 0};
        index.add(&id, row.data(), &attributes, 1);
        oracle.add(id, row, attributes);
        if (random.between(0, 9) == 0) index.maintain(0);
      }
    } else if (what < 10) {
      const int first = random.between(0, kIds);
      for (std::int64_t id = first; id < first + random.between(1, 900); ++id) {
        const std::size_t n = index.remove(&id, 1);
        check((n == 1) == oracle.remove(id), "a row that is there was not removed, or the other way round");
        if (random.between(0, 9) == 0) index.maintain(0);
      }
    } else if (what < 18) {
      index.maintain(random.between(0, 3000));
    } else if (what == 18) {
      finish(index);
      check(n_places(index, clustered.row()) == oracle.size(), "a row has more places than one, or none");
    } else if (random.between(0, 5) == 0) {
      index.clear();
      oracle.clear();
    }
    const Vector query = clustered.row();
    const auto any = [](const Attributes&) { return true; };
    const auto k = static_cast<std::size_t>(random.between(1, 60));
    const std::vector<Found> expected = oracle.search(query, k, true, any);
    compare("exact", search(index, query, k, Mode::kExact), expected);
    compare("all lists", search(index, query, k, Mode::kLists), expected);
    check(index.stats().n_rows == oracle.size(), "the number of rows is wrong");
    sm::Filter filter;
    filter.projects = sm::RowSet({1});
    const auto first = [](const Attributes& a) { return a.project == 1; };
    compare("filtered", search(index, query, k, Mode::kAuto, kAllLists, &filter), oracle.search(query, k, true, first));
    check(search(index, query, k, Mode::kAuto, 1).size() == expected.size(), "too few rows although there are more");
  }
  finish(index);
  check(n_places(index, clustered.row()) == oracle.size(), "a row has more places than one, or none");
}

// Upkeep between any two pages of a search changes nothing of what it finds, and its copies push nothing out.
void upkeep_during_searches(Random& random) {
  constexpr std::int64_t kDims = 16;
  Clustered clustered(random, kDims, 8);
  sm::Index index(small(kDims, telling()));
  Oracle oracle;
  const auto any = [](const Attributes&) { return true; };
  std::size_t n_lists = 0;
  for (std::int64_t id = 0; id < 2'500; ++id) {
    const Vector row = clustered.row(static_cast<int>(id / 320));
    const Attributes attributes{};
    index.add(&id, row.data(), &attributes, 1);
    oracle.add(id, row, attributes);
    if (id % 13 != 0) continue;
    on_scan = [&](const sm::ScanU8Args&) { index.maintain(0); };
    const Vector query = clustered.row(static_cast<int>(id / 320));
    const std::size_t k = id % 2 == 0 ? 7 : kAll;
    compare("during upkeep", search(index, query, k, Mode::kExact), oracle.search(query, k, true, any));
    on_scan = [&](const sm::ScanU8Args&) { index.maintain(0); };
    std::vector<std::int64_t> ids(20);
    std::vector<float> scores(20);
    sm::Request request;
    request.query = query.data();
    request.k = 20;
    const std::size_t n = index.candidates(request, ids.data(), scores.data());
    check(n == std::min<std::size_t>(20, oracle.size()), "copies pushed candidates out");
    check(std::set<std::int64_t>(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n)).size() == n, "found twice");
    on_scan = nullptr;
    const auto sure = [&] {  // of rows that are equally near as the last one, either is right
      std::vector<std::int64_t> nearer;
      for (std::size_t i = 0; i < n && scores[i] > scores[n - 1]; ++i) nearer.push_back(ids[i]);
      return nearer;
    };
    const std::vector<std::int64_t> alone = sure();
    const std::vector<float> alone_scores(scores);
    on_scan = [&](const sm::ScanU8Args&) { index.maintain(0); };
    sm::Written written{request.k, ids.data(), scores.data(), 0};
    index.candidates_each(&request, 1, &written);
    check(written.n == n && scores == alone_scores && sure() == alone, "copies changed what one of several queries finds");
    on_scan = nullptr;
    index.maintain(100);
    n_lists = std::max(n_lists, index.stats().n_lists);
  }
  finish(index);
  check(n_lists > 4 && index.stats().n_splits > 0, "nothing was split");
}

// A row that is removed while it is being moved is zeroed in both places.
void nothing_is_left(Random& random) {
  constexpr std::int64_t kDims = 64;
  Clustered clustered(random, kDims, 6);
  sm::Index index(small(kDims, telling()));
  std::set<const std::uint8_t*> pages;
  std::vector<Vector> rows;
  const auto note = [&](const sm::ScanU8Args& args) { pages.insert(args.rows); };
  for (std::int64_t id = 0; id < 1'500; ++id) {
    rows.push_back(clustered.row(id < 700 ? -1 + random.between(1, 6) : 0));
    const Attributes attributes{};
    index.add(&id, rows.back().data(), &attributes, 1);
  }
  std::vector<std::vector<std::uint8_t>> removed;
  for (std::int64_t id = 0; id < 1'500; id += 3) {
    index.maintain(0);
    on_scan = note;
    if (id % 50 == 0) search(index, rows[0], 1, Mode::kExact);
    on_scan = nullptr;
    const sm::test::Fixed fixed(rows[static_cast<std::size_t>(id)]);
    removed.emplace_back();
    for (const std::int32_t x : fixed.high) removed.back().push_back(static_cast<std::uint8_t>(x + 128));
    index.remove(&id, 1);
  }
  finish(index);
  on_scan = note;
  search(index, rows[0], 1, Mode::kExact);
  on_scan = nullptr;
  std::set<std::vector<std::uint8_t>> left;  // the arenas keep what they were given back, so all of it can be read
  for (const std::uint8_t* page : pages) {
    for (int r = 0; r < sm::kPageRows; ++r) left.insert({page + r * kDims, page + (r + 1) * kDims});
  }
  check(left.size() > 900, "the pages were not seen");
  for (const auto& row : removed) check(left.count(row) == 0, "a removed row is left somewhere");
}

void memory_comes_back(Random& random) {
  constexpr std::int64_t kDims = 32;
  Clustered clustered(random, kDims, 10);
  sm::Index index(small(kDims));
  std::size_t held = 0;
  for (int round = 0; round < 6; ++round) {
    std::vector<std::int64_t> ids;
    for (std::int64_t id = 0; id < 4'000; ++id) {
      const Vector row = clustered.row(static_cast<int>(id / 400));
      const Attributes attributes{};
      index.add(&id, row.data(), &attributes, 1);
      ids.push_back(id);
      if (id % 50 == 0) index.maintain(500);
    }
    finish(index);
    check(index.stats().n_lists > 10, "there are few lists");
    check(index.stats().most <= 8 * 64, "a list of %zu rows was not split", index.stats().most);
    if (round == 1) held = index.stats().held_bytes;
    if (round > 1) check(index.stats().held_bytes <= 2 * held + (2U << 20), "memory grows: %zu", index.stats().held_bytes);
    index.remove(ids.data(), ids.size());
    finish(index);
    check(index.stats().n_lists == 0 && index.stats().n_rows == 0, "lists are left of nothing");
  }
}

void equal_rows(Random& random) {
  constexpr std::int64_t kDims = 16;
  sm::Index index(small(kDims));
  const Vector row = random_unit(random, kDims);
  for (std::int64_t id = 0; id < 2'000; ++id) {
    const Attributes attributes{};
    index.add(&id, row.data(), &attributes, 1);
    if (id % 100 == 0) index.maintain(1000);
  }
  finish(index);
  check(search(index, row, kAll, Mode::kExact).size() == 2'000, "equal rows are lost");
}

// Clusters arrive one after another, and the lists follow.
void drift(Random& random) {
  constexpr std::int64_t kDims = 48;
  Clustered clustered(random, kDims, 40);
  sm::Index index(small(kDims));
  std::int64_t id = 0;
  for (int centre = 0; centre < 40; ++centre) {
    for (int i = 0; i < 250; ++i, ++id) {
      const Vector row = clustered.row(centre);
      const Attributes attributes{};
      index.add(&id, row.data(), &attributes, 1);
      if (id % 10 == 0) index.maintain(300);
    }
    if (centre % 8 != 7) continue;
    finish(index);
    const double recall = index.measure_recall(200, 10, 0);
    check(recall > 0.9, "recall fell to %.3f after %d clusters", recall, centre + 1);
    check(index.stats().recall >= 0.98, "the sample's recall is %.3f", index.stats().recall);
    check(2 * index.stats().n_probes < index.stats().n_lists, "%zu of %zu lists are scanned", index.stats().n_probes,
          index.stats().n_lists);
  }
  check(index.stats().n_splits > 10, "nothing was split");
}

// As `finish`, while searches run: they can hold up every step.
void settle(sm::Index& index) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (index.maintain(300) && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

// Rows that stay are found by every search, once, while others come and go and lists are split and merged.
void readers_and_upkeep(Random& random) {
  constexpr std::int64_t kDims = 32;
  constexpr std::int64_t kPlanted = 300;
  Clustered clustered(random, kDims, 12);
  sm::Index index(small(kDims));
  std::vector<Vector> planted;
  const Attributes attributes{};
  for (std::int64_t id = 0; id < kPlanted; ++id) {
    planted.push_back(clustered.row());
    index.add(&id, planted.back().data(), &attributes, 1);
  }
  std::vector<Vector> others;
  for (int i = 0; i < 3'000; ++i) others.push_back(clustered.row(i / 250));
  std::atomic<bool> over{false};
  std::atomic<std::size_t> n_missed{0};
  std::atomic<std::size_t> n_twice{0};
  std::atomic<std::size_t> n_searches{0};
  const auto read = [&](std::uint32_t seed) {
    Random own(seed);
    while (!over.load()) {
      const std::int64_t id = own.between(0, kPlanted - 1);
      std::int64_t ids[12];
      float scores[12];
      sm::Request request;
      request.query = planted[static_cast<std::size_t>(id)].data();
      request.k = 12;
      request.oversample = 1;
      request.mode = own.between(0, 1) == 0 ? Mode::kExact : Mode::kLists;
      request.probes = kAllLists;
      const std::int64_t n = index.search(request, ids, scores);
      const auto end = ids + (n >= 0 ? n : ~n);
      if (std::find(ids, end, id) == end) ++n_missed;
      if (std::set<std::int64_t>(ids, end).size() != static_cast<std::size_t>(end - ids)) ++n_twice;
      ++n_searches;
    }
  };
  std::vector<std::thread> readers;
  for (std::uint32_t i = 0; i < 3; ++i) readers.emplace_back(read, 100 + i);
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < others.size(); ++i) {
      const auto id = static_cast<std::int64_t>(1'000 + i);
      index.add(&id, others[i].data(), &attributes, 1);
      if (i % 20 == 0) index.maintain(500);
    }
    settle(index);
    for (std::size_t i = 0; i < others.size(); ++i) {
      const auto id = static_cast<std::int64_t>(1'000 + i);
      index.remove(&id, 1);
      if (i % 20 == 0) index.maintain(500);
    }
    settle(index);
  }
  over = true;
  for (std::thread& reader : readers) reader.join();
  check(n_missed == 0, "%zu of %zu searches missed a row that was there all the time", n_missed.load(), n_searches.load());
  check(n_twice == 0, "%zu searches found a row twice", n_twice.load());
  check(n_searches > 100 && index.stats().n_splits + index.stats().n_merges > 0, "nothing was done: %zu searches",
        n_searches.load());
  finish(index);
}

}  // namespace

int main() {
  Random random(5);
  std::uint32_t seed = 1;
  for (const std::int64_t n_dims : {3, 24, 64}) {
    for (int i = 0; i < 3; ++i, ++seed) any_sequence(n_dims, seed % 2 == 0, seed, 60);
  }
  upkeep_during_searches(random);
  nothing_is_left(random);
  memory_comes_back(random);
  equal_rows(random);
  drift(random);
  readers_and_upkeep(random);
  return sm::test::finish("clusters");
}

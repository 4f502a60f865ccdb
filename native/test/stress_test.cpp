// Sixteen threads search while one writes: no answer may hold half a row, a row twice, or lack one that was there all along.
// stress_test [seconds], or the environment's SECONDME_STRESS_S; stress_test measure prints how long a search takes meanwhile.
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

#include "index/epochs.h"
#include "oracle.h"

namespace {

using sm::test::Fixed;
using sm::test::Random;
using sm::test::Vector;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kDims = 100;
constexpr std::size_t kReaders = 16;
constexpr std::size_t kIds = 1000;
constexpr std::size_t kStable = 500;  // ids below this are added once and stay
constexpr std::size_t kClose = 64;    // so many of the others are among the nearest of some query
constexpr std::size_t kVersions = 3;  // vectors that the others take in turn
constexpr std::size_t kPlanted = 8;   // query q is near stable row q,
constexpr std::size_t kQueries = 12;  // and those above are nearly query q - kPlanted
constexpr std::size_t kAll = 4 * kIds;
constexpr double kRounding = 1e-6;  // of a float32 cosine

void wrong(const char* what) {
  static std::atomic<int> n{0};
  if (n.fetch_add(1) < 10) std::fprintf(stderr, "%s\n", what);
}

// What there may be in the index, and every score that it may give.
struct World {
  std::vector<Vector> rows[kVersions];  // [version][id]
  std::vector<Vector> queries;
  std::vector<double> fine[kQueries];   // [query][id * kVersions + version]
  std::vector<double> coarse[kQueries];

  World() {
    Random random(5);
    for (auto& version : rows) {
      for (std::size_t id = 0; id < kIds; ++id) version.push_back(random_unit(random, kDims));
    }
    for (std::size_t q = 0; q < kPlanted; ++q) queries.push_back(near(rows[0][q], 0.3F, random));
    for (std::size_t q = kPlanted; q < kQueries; ++q) queries.push_back(near(queries[q - kPlanted], 0.001F, random));
    for (std::size_t id = kStable; id < kStable + kClose; ++id) {
      for (auto& version : rows) version[id] = near(queries[id % kPlanted], 0.6F, random);
    }
    // One version of the others lies close together, so that lists are split when many take it, and merged later.
    const Vector middle = random_unit(random, kDims);
    for (std::size_t id = kStable + kClose; id < kIds; ++id) rows[1][id] = near(middle, 1.0F, random);
    const std::vector<Fixed> asked(queries.begin(), queries.end());
    for (std::size_t id = 0; id < kIds; ++id) {
      for (const auto& version : rows) {
        const Fixed row(version[id]);
        for (std::size_t q = 0; q < kQueries; ++q) {
          fine[q].push_back(cosine(row, asked[q]));
          coarse[q].push_back(cosine(row, asked[q], false));
        }
      }
    }
  }
};

// A stable row's project is kVersions, another's is its version.
sm::Attributes attributes_of(std::size_t id, std::size_t version) {
  sm::Attributes attributes;
  attributes.project = static_cast<std::int32_t>(id < kStable ? kVersions : version);
  attributes.time = static_cast<std::int64_t>(id);
  return attributes;
}

// What the writer says of an id: a count of changes, and what is there. Only half of the readers look, because looking
// would order their memory accesses with the writer's and hide a race from the thread sanitizer.
struct Diary {
  static constexpr std::uint64_t kAbsent = 0;
  static constexpr std::uint64_t kChanging = 7;
  std::atomic<std::uint64_t> entries[kIds];

  void note(std::size_t id, std::uint64_t what) {
    const std::uint64_t old = entries[id].load(std::memory_order_relaxed);
    entries[id].store((old / 8 + 1) * 8 + what, std::memory_order_seq_cst);
  }
  std::vector<std::uint64_t> read() const {
    std::vector<std::uint64_t> now(kIds);
    for (std::size_t id = 0; id < kIds; ++id) now[id] = entries[id].load(std::memory_order_seq_cst);
    return now;
  }
};

struct Phase {
  const char* name;
  bool clearing;             // even the stable rows come and go
  std::size_t n_remembered;  // queries in the lookaside; the writer then leaves time for repeats
  std::size_t flat_limit;    // rows from which on they are moved between lists; 0: never
  double share;              // of all the time
};
constexpr Phase kPhases[] = {{"adding and removing", false, 0, 0, 0.2},
                             {"moving between lists", false, 0, 100, 0.4},
                             {"clearing", true, 0, 100, 0.2},
                             {"remembering", false, 6, 0, 0.2}};

struct Shared {
  explicit Shared(const Phase& running) : phase(running) {}

  const Phase& phase;
  World world;
  Diary diary{};
  std::unique_ptr<sm::Index> index;
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> n_searches{0};
  std::atomic<std::uint64_t> n_writes{0};
  std::atomic<std::uint64_t> n_wrong{0};

  void fail(const char* what) {
    n_wrong.fetch_add(1);
    wrong(what);
  }
};

class Reader {
 public:
  Reader(Shared& shared, std::size_t number)
      : shared_(shared), random_(static_cast<std::uint32_t>(100 + number)), reads_diary_(number % 2 == 0) {}

  void run() {
    while (!shared_.done.load(std::memory_order_relaxed)) {
      query_ = static_cast<std::size_t>(random_.between(0, kQueries - 1));
      // Only answers of few results are remembered.
      const bool few = shared_.phase.n_remembered > 0 && random_.between(0, 7) > 0;
      switch (few ? 1 : random_.between(0, 4)) {
        case 0: everything(); break;
        case 1: nearest(sm::Mode::kExact); break;
        case 2: nearest(sm::Mode::kSigns); break;
        case 3: filtered(); break;
        default: coarse(); break;
      }
      shared_.n_searches.fetch_add(1, std::memory_order_relaxed);
    }
  }

 private:
  sm::Request request(std::size_t k) const {
    sm::Request request;
    request.query = shared_.world.queries[query_].data();
    request.k = k;
    return request;
  }

  void search(const sm::Request& request) {
    ids_.assign(request.k, 0);
    scores_.assign(request.k, 0);
    const std::int64_t n = shared_.index->search(request, ids_.data(), scores_.data());
    if (n < 0) shared_.fail("a whole row was taken for a clipped one");
    n_ = static_cast<std::size_t>(std::max<std::int64_t>(n, 0));
    look_at_each(shared_.world.fine[query_], kRounding);
  }

  // Fills in version_: which vector of each id was found, or none.
  void look_at_each(const std::vector<double>& expected, double rounding) {
    version_.assign(kIds, kNone);
    for (std::size_t i = 0; i < n_; ++i) {
      if (i > 0 && scores_[i] > scores_[i - 1]) shared_.fail("an answer is out of order");
      const auto id = static_cast<std::size_t>(ids_[i]);
      if (ids_[i] < 0 || id >= kIds) {
        shared_.fail("an id that never was");
        continue;
      }
      if (version_[id] != kNone) shared_.fail("an id was found twice");
      for (std::size_t v = 0; v < (id < kStable ? 1 : kVersions); ++v) {
        if (std::fabs(scores_[i] - expected[id * kVersions + v]) <= rounding) version_[id] = v;
      }
      if (version_[id] == kNone) shared_.fail("a score that no vector of this id has");
    }
  }

  void stable_rows_were_found() {
    if (shared_.phase.clearing) return;
    for (std::size_t id = 0; id < kStable; ++id) {
      if (version_[id] == kNone) return shared_.fail("a row that was there all the time is missing");
    }
  }

  void everything() {
    const auto before = what_is_there();
    search(request(kAll));
    stable_rows_were_found();
    compare_with_diary(before);
  }

  void nearest(sm::Mode mode) {
    sm::Request wanted = request(mode == sm::Mode::kSigns ? 1 : 10);
    wanted.mode = mode;
    const auto before = what_is_there();
    search(wanted);
    const bool found = n_ == wanted.k && ids_[0] == static_cast<std::int64_t>(query_ % kPlanted);
    if (!found && !shared_.phase.clearing) shared_.fail("the nearest row is missing");
    if (mode == sm::Mode::kExact) compare_with_diary(before);
  }

  std::vector<std::uint64_t> what_is_there() const {
    return reads_diary_ ? shared_.diary.read() : std::vector<std::uint64_t>();
  }

  // Ids that nobody touched during the search: what scores above the last result must be in it, what is gone must not.
  void compare_with_diary(const std::vector<std::uint64_t>& before) {
    if (!reads_diary_) return;
    const auto after = shared_.diary.read();
    const double least = n_ < scores_.size() ? -2.0 : double{scores_[n_ - 1]} + kRounding;
    for (std::size_t id = 0; id < kIds; ++id) {
      const std::uint64_t what = before[id] % 8;
      if (before[id] != after[id] || what == Diary::kChanging) continue;
      const std::size_t known = what == Diary::kAbsent ? kNone : static_cast<std::size_t>(what - 1);
      if (version_[id] == known) continue;
      if (known == kNone) {
        shared_.fail("a row was found after it was removed");
      } else if (version_[id] != kNone) {
        shared_.fail("a row was found as it used to be");
      } else if (shared_.world.fine[query_][id * kVersions + known] > least) {
        shared_.fail("a row that nobody touched is missing");
      }
    }
  }

  void filtered() {
    const auto project = static_cast<std::size_t>(random_.between(0, kVersions));
    sm::Filter filter;
    std::vector<std::int32_t> projects{static_cast<std::int32_t>(project)};
    if (random_.between(0, 1) == 0) projects.push_back(projects.front());  // looked up, not compared
    filter.projects = sm::RowSet(projects);
    sm::Request wanted = request(kAll);
    wanted.filter = &filter;
    search(wanted);
    if (project == kVersions) stable_rows_were_found();
    for (std::size_t id = 0; id < kIds; ++id) {
      if (version_[id] != kNone && attributes_of(id, version_[id]).project != static_cast<std::int32_t>(project)) {
        shared_.fail("a row was found that the filter keeps out");
      }
    }
  }

  void coarse() {
    ids_.assign(kAll, 0);
    scores_.assign(kAll, 0);
    const sm::Request wanted = request(kAll);
    if (random_.between(0, 1) == 0) {
      n_ = shared_.index->candidates(wanted, ids_.data(), scores_.data());
    } else {
      sm::Written written{kAll, ids_.data(), scores_.data(), 0};
      shared_.index->candidates_each(&wanted, 1, &written);
      n_ = written.n;
    }
    look_at_each(shared_.world.coarse[query_], kRounding);
    stable_rows_were_found();
  }

  static constexpr std::size_t kNone = ~std::size_t{0};
  Shared& shared_;
  Random random_;
  const bool reads_diary_;
  std::size_t query_ = 0;
  std::size_t n_ = 0;
  std::vector<std::int64_t> ids_;
  std::vector<float> scores_;
  std::vector<std::size_t> version_;
};

class Writer {
 public:
  explicit Writer(Shared& shared) : shared_(shared) {}

  void add_all() {
    for (std::size_t id = 0; id < kIds; ++id) add({id});
  }

  void run(Clock::time_point until) {
    const int last = static_cast<int>(shared_.phase.n_remembered > 0 ? kStable + kClose : kIds) - 1;
    for (std::uint64_t n = 0; Clock::now() < until; ++n) {
      std::vector<std::size_t> ids;
      for (int i = random_.between(1, 8); i > 0; --i) ids.push_back(static_cast<std::size_t>(random_.between(kStable, last)));
      std::sort(ids.begin(), ids.end());
      ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
      favourite_ = n / 300 % kVersions;
      random_.between(0, 3) == 0 ? remove(ids) : add(ids);
      if (n % 16 == 0) shared_.index->reclaim();
      if (shared_.phase.flat_limit > 0 && n % 8 == 0) shared_.index->maintain(4000);
      if (shared_.phase.clearing && n % 64 == 0) clear();
      if (shared_.phase.n_remembered > 0) wait_for_searches(until);
      shared_.n_writes.fetch_add(1, std::memory_order_relaxed);
    }
  }

 private:
  void wait_for_searches(Clock::time_point until) const {
    const std::uint64_t enough = shared_.n_searches.load(std::memory_order_relaxed) + 60;
    while (shared_.n_searches.load(std::memory_order_relaxed) < enough && Clock::now() < until) std::this_thread::yield();
  }

  void note(const std::vector<std::size_t>& ids, std::uint64_t what) {
    for (const std::size_t id : ids) shared_.diary.note(id, what);
  }

  void add(const std::vector<std::size_t>& ids) {
    const bool any = random_.between(0, 7) == 0;
    const std::size_t version = any ? static_cast<std::size_t>(random_.between(0, kVersions - 1)) : favourite_;
    std::vector<std::int64_t> keys;
    std::vector<float> rows;
    std::vector<sm::Attributes> attributes;
    for (const std::size_t id : ids) {
      const std::size_t v = id < kStable ? 0 : version;
      const Vector& row = shared_.world.rows[v][id];
      keys.push_back(static_cast<std::int64_t>(id));
      rows.insert(rows.end(), row.begin(), row.end());
      attributes.push_back(attributes_of(id, v));
    }
    note(ids, Diary::kChanging);
    shared_.index->add(keys.data(), rows.data(), attributes.data(), keys.size());
    for (const std::size_t id : ids) shared_.diary.note(id, 1 + (id < kStable ? 0 : version));
  }

  void remove(const std::vector<std::size_t>& ids) {
    std::vector<std::int64_t> keys;
    for (const std::size_t id : ids) keys.push_back(static_cast<std::int64_t>(id));
    note(ids, Diary::kChanging);
    shared_.index->remove(keys.data(), keys.size());
    note(ids, Diary::kAbsent);
  }

  void clear() {
    std::vector<std::size_t> all;
    for (std::size_t id = 0; id < kIds; ++id) all.push_back(id);
    note(all, Diary::kChanging);
    shared_.index->clear();
    note(all, Diary::kAbsent);
    for (std::size_t id = 0; id < kIds; id += 3) add({id});
  }

  Shared& shared_;
  Random random_{17};
  std::size_t favourite_ = 0;  // the version that most rows take for a while
};

void stress(const Phase& phase, double seconds) {
  Shared shared(phase);
  sm::IndexOptions options;
  options.n_dims = kDims;
  options.signs = true;
  options.kernels = sm::chosen_kernels();
  options.n_remembered = phase.n_remembered;
  options.flat_limit = phase.flat_limit;
  shared.index = std::make_unique<sm::Index>(options);
  Writer writer(shared);
  writer.add_all();
  while (shared.index->maintain(10'000)) continue;
  sm::test::check((shared.index->stats().n_lists > 0) == (phase.flat_limit > 0), "lists where there should be none, or none");
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kReaders; ++i) threads.emplace_back([&shared, i] { Reader(shared, i).run(); });
  writer.run(Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds)));
  shared.done = true;
  for (std::thread& thread : threads) thread.join();
  const sm::IndexStats stats = shared.index->stats();
  std::printf("%s, %s: %llu searches beside %llu writes; %llu answers from memory, %zu lists, %zu splits, %zu merges\n",
              options.kernels->isa, phase.name, static_cast<unsigned long long>(shared.n_searches.load()),
              static_cast<unsigned long long>(shared.n_writes.load()),
              static_cast<unsigned long long>(stats.n_repeats + stats.n_near), stats.n_lists, stats.n_splits, stats.n_merges);
  sm::test::check(shared.n_searches > 0 && shared.n_writes > 0, "nothing was done");
  sm::test::check((stats.n_repeats > 0) == (phase.n_remembered > 0), "%llu repeats were answered from memory",
                  static_cast<unsigned long long>(stats.n_repeats));
  sm::test::check(shared.n_wrong == 0, "%llu wrong answers", static_cast<unsigned long long>(shared.n_wrong.load()));
  sm::test::check(shared.index->reclaim(), "something still waits for readers that have left");
}

void print_row(const char* name, double value, const char* unit, std::size_t n) {
  std::printf("{\"bench\": \"vectors\", \"case\": \"%s\", \"value\": %.4g, \"unit\": \"%s\", \"n\": %zu}\n", name, value, unit, n);
}

void print_quantiles(const char* what, std::vector<double>& times, const char* unit) {
  std::sort(times.begin(), times.end());
  char name[96];
  std::snprintf(name, sizeof(name), "concurrent/%s_p50", what);
  print_row(name, times[times.size() / 2], unit, times.size());
  std::snprintf(name, sizeof(name), "concurrent/%s_p99", what);
  print_row(name, times[times.size() * 99 / 100], unit, times.size());
}

double elapsed_ns(Clock::time_point since) {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - since).count());
}

// `n_readers` threads search 1,000 rows of 384 dimensions, k = 10, while one thread adds and removes others.
void measure_searches(std::size_t n_readers, double seconds, const char* name) {
  constexpr std::int64_t kLong = 384;
  constexpr std::size_t kMost = 200'000;
  Random random(3);
  sm::IndexOptions options;
  options.n_dims = kLong;
  options.kernels = sm::chosen_kernels();
  sm::Index index(options);
  const std::vector<sm::Attributes> attributes(1);
  std::vector<Vector> rows;
  for (std::int64_t id = 0; id < 1000; ++id) {
    rows.push_back(random_unit(random, kLong));
    index.add(&id, rows.back().data(), attributes.data(), 1);
  }
  std::atomic<bool> done{false};
  std::vector<std::vector<double>> times(n_readers);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < n_readers; ++t) {
    times[t].reserve(kMost);
    threads.emplace_back([&, t] {
      std::int64_t ids[10];
      float scores[10];
      sm::Request request;
      request.k = 10;
      for (std::size_t i = t; !done.load(std::memory_order_relaxed) && times[t].size() < kMost; ++i) {
        request.query = rows[i % rows.size()].data();
        const auto start = Clock::now();
        index.search(request, ids, scores);
        times[t].push_back(elapsed_ns(start) / 1e3);
      }
    });
  }
  const auto start = Clock::now();
  for (std::int64_t id = 2000; elapsed_ns(start) < seconds * 1e9; ++id) {
    index.add(&id, rows[static_cast<std::size_t>(id % 1000)].data(), attributes.data(), 1);
    index.remove(&id, 1);
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  std::vector<double> all;
  for (const auto& part : times) all.insert(all.end(), part.begin(), part.end());
  print_quantiles(name, all, "us");
}

// Batches, because a clock costs as much as what is measured; so the 99th percentile is that of means of 16.
void measure_epochs() {
  constexpr int kBatch = 16;
  sm::Epochs epochs;
  std::vector<double> times;
  for (int i = 0; i < 100'000; ++i) {
    const auto start = Clock::now();
    for (int n = 0; n < kBatch; ++n) const sm::Epochs::Reader reader(epochs);
    times.push_back(elapsed_ns(start) / kBatch);
  }
  print_quantiles("epoch", times, "ns");
}

}  // namespace

int main(int argc, char** argv) {
  const char* wanted = argc > 1 ? argv[1] : std::getenv("SECONDME_STRESS_S");
  if (wanted != nullptr && std::strcmp(wanted, "measure") == 0) {
    measure_searches(1, 1.0, "search_1_reader");
    measure_searches(kReaders, 2.0, "search_16_readers");
    measure_epochs();
    return EXIT_SUCCESS;
  }
  const double seconds = wanted != nullptr ? std::atof(wanted) : 5.0;
  for (const Phase& phase : kPhases) stress(phase, seconds * phase.share);
  return sm::test::finish("stress");
}

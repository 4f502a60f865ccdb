// The lookaside: its bound against rows made to break it, its answers against plain searches, what it keeps and what it
// leaves behind, and readers and a writer at once.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <thread>
#include <vector>

#include "index/lookaside.h"
#include "oracle.h"

namespace {

using sm::Attributes;
using sm::Filter;
using sm::Lookaside;
using sm::Neighbourhood;
using sm::test::Random;
using sm::test::Vector;
using sm::test::check;
using sm::test::near;
using sm::test::random_unit;

using Ints = std::vector<std::int64_t>;

std::int64_t dot(const Ints& a, const Ints& b) {
  std::int64_t sum = 0;
  for (std::size_t d = 0; d < a.size(); ++d) sum += a[d] * b[d];
  return sum;
}

Ints scaled(const Ints& a, double by_a, const Ints& b, double by_b) {
  Ints sum(a.size());
  for (std::size_t d = 0; d < a.size(); ++d) {
    const double x = by_a * static_cast<double>(a[d]) + by_b * static_cast<double>(b[d]);
    sum[d] = std::clamp<std::int64_t>(std::lround(x), -127, 127);
  }
  return sum;
}

// Rows of all lengths in the plane of both queries and elsewhere: those are where the bound is tight.
void no_row_outside_scores_more(Random& random) {
  long long n_tight = 0;
  for (int round = 0; round < 150; ++round) {
    const auto n_dims = static_cast<std::size_t>(random.between(1, 12));
    const int size = round % 3 == 0 ? 127 : random.between(1, 127);
    const auto any = [&] {
      Ints x(n_dims);
      for (auto& value : x) value = random.between(-size, size);
      return x;
    };
    const Ints q0 = any();
    const Ints q = random.between(0, 1) == 0 ? any() : scaled(q0, 1.0, any(), 0.1);
    std::vector<Ints> rows;
    std::int64_t longest = 0;
    for (int i = 0; i < 300; ++i) {
      const double a = random.normal();
      const double b = random.normal();
      rows.push_back(i % 3 == 0 ? any() : scaled(q0, a, q, b));
      longest = std::max(longest, dot(rows.back(), rows.back()));
    }
    // Queries of both planes are longer by as much, and their products no longer fit 53 bits.
    const double scale = round % 2 == 0 ? 1.0 : 1e9;
    const sm::Surroundings around{scale * static_cast<double>(dot(q, q0)), scale * scale * static_cast<double>(dot(q, q)),
                                  static_cast<double>(dot(q0, q0)), static_cast<double>(longest)};
    for (int i = 0; i < 40; ++i) {
      const std::int64_t least = dot(q0, rows[static_cast<std::size_t>(random.between(0, 299))]);
      const auto most = static_cast<std::int64_t>(
          std::floor(std::fmax(-1e9, sm::most_outside(around, static_cast<double>(least)) / scale)));
      for (const Ints& x : rows) {
        if (dot(q0, x) > least) continue;
        check(dot(q, x) <= most, "a row outside scores %lld, above %lld", static_cast<long long>(dot(q, x)),
              static_cast<long long>(most));
        if (dot(q, x) + 3 >= most) ++n_tight;
      }
    }
  }
  check(n_tight > 1000, "the bound was reached %lld times only", n_tight);
}

void the_bound_at_its_ends() {
  constexpr double kMost = 4096 * 127 * 127;
  const auto most = [](const sm::Surroundings& around, double least) { return std::floor(sm::most_outside(around, least)); };
  check(most({kMost, kMost, kMost, kMost}, kMost) == kMost, "the longest vectors");
  check(most({kMost, kMost, kMost, kMost}, 100) == 100, "the same query: what it left outside");
  check(most({kMost, kMost, kMost, kMost}, -100) == -100, "the same, below zero");
  check(most({0, 0, 0, 0}, 0) == 0, "no length at all");
  check(most({50, 100, 100, 100}, -101) < -1000, "no row can score so little, so there is none outside");
  check(most({50, 100, 100, 100}, 100) == 100, "all rows may be outside");
}

struct Answer {
  bool fine = true;
  std::vector<std::int64_t> ids;
  std::vector<float> scores;
};

Answer search(const sm::Index& index, const Vector& query, std::size_t k, const Filter* filter, bool recall,
              double slack = 0, int oversample = 4) {
  Answer answer{true, std::vector<std::int64_t>(k), std::vector<float>(k)};
  sm::Request request;
  request.query = query.data();
  request.k = k;
  request.filter = filter;
  request.recall = recall;
  request.slack = slack;
  request.oversample = oversample;
  const std::int64_t n = index.search(request, answer.ids.data(), answer.scores.data());
  answer.fine = n >= 0;
  answer.ids.resize(static_cast<std::size_t>(n >= 0 ? n : ~n));
  answer.scores.resize(answer.ids.size());
  return answer;
}

// The best of all rows by both planes.
std::vector<double> best_possible(const std::vector<Vector>& rows, const Vector& query, std::size_t k) {
  const sm::test::Fixed q(query);
  std::vector<double> scores;
  for (const Vector& row : rows) scores.push_back(sm::test::cosine(sm::test::Fixed(row), q));
  std::sort(scores.rbegin(), scores.rend());
  scores.resize(std::min(k, scores.size()));
  return scores;
}

// Both ways of searching. They may differ where a scan misses a row of which only the low plane makes one of the best: an
// answer from memory is then the best of all. With few dimensions many rows score alike, and which of them a scan takes
// for candidates is chance.
void compare(const sm::Index& index, const std::vector<Vector>& rows, const Vector& query, std::size_t k) {
  const std::uint64_t n_before = index.stats().n_near;
  const Answer found = search(index, query, k, nullptr, true);
  const bool is_near = index.stats().n_near > n_before;
  const Answer plain = search(index, query, k, nullptr, false);
  if (!check(found.ids.size() == plain.ids.size() && found.fine == plain.fine, "%zu results instead of %zu",
             found.ids.size(), plain.ids.size())) {
    return;
  }
  if (found.ids == plain.ids && found.scores == plain.scores) return;
  const std::vector<double> best = best_possible(rows, query, k);
  const bool by_chance = !is_near || query.size() < 8;
  for (std::size_t i = 0; i < best.size(); ++i) {
    const double score = double{found.scores[i]};
    check(score >= (by_chance ? double{plain.scores[i]} - 0.02 : best[i] - 1e-6) && score <= best[i] + 1e-6,
          "place %zu scores %.8f, a scan %.8f, and %.8f is possible", i, score, double{plain.scores[i]}, best[i]);
  }
}

// Near repeats of every size, of random and of clustered rows; writes in between.
void answers_are_those_of_a_scan(const sm::Kernels& kernels, std::int64_t n_dims, bool clustered, Random& random) {
  sm::IndexOptions options;
  options.n_dims = n_dims;
  options.lock = false;
  options.n_remembered = 50;
  options.kernels = &kernels;
  sm::Index index(options);
  std::vector<Vector> rows;
  std::vector<std::int64_t> ids;
  const auto add = [&](const Vector& row) {
    const Attributes none;
    ids.push_back(static_cast<std::int64_t>(ids.size()));
    rows.push_back(row);
    index.add(&ids.back(), row.data(), &none, 1);
  };
  std::vector<Vector> centres;
  for (int i = 0; i < 20; ++i) centres.push_back(random_unit(random, n_dims));
  const auto any = [&]() -> Vector {
    return clustered ? near(centres[static_cast<std::size_t>(random.between(0, 19))], 0.5F, random)
                     : random_unit(random, n_dims);
  };
  for (int i = 0; i < 1600; ++i) add(any());
  const auto before = index.stats();
  for (int round = 0; round < 24; ++round) {
    const Vector asked = any();
    const auto k = static_cast<std::size_t>(random.between(1, 12));
    compare(index, rows, asked, k);
    for (const float noise : {0.0F, 1e-3F, 1e-2F, 0.05F, 0.2F, 0.5F, 1.0F}) {
      const Vector again = noise == 0.0F ? asked : near(asked, noise, random);
      const auto k_again = noise == 0.0F ? k : static_cast<std::size_t>(random.between(1, 12));
      compare(index, rows, again, k_again);
    }
    if (round % 4 == 3) {
      // The very row that an old answer would miss: the query itself.
      add(asked);
      const Answer found = search(index, asked, 5, nullptr, true);
      check(n_dims == 3 || found.ids[0] == ids.back(), "a new row is missed");
      const std::int64_t gone = ids.back();
      check(index.remove(&gone, 1) == 1, "the new row is not there");
      rows.pop_back();
      ids.pop_back();
      const Answer rest = search(index, asked, 5, nullptr, true);
      check(std::find(rest.ids.begin(), rest.ids.end(), gone) == rest.ids.end(), "a removed row is found");
    }
  }
  const auto after = index.stats();
  check(after.n_repeats > before.n_repeats, "no repeat was answered from memory");
  check(after.n_near > before.n_near, "nothing near was answered from memory");
}

// Rows that differ in the low plane alone all score alike in the scan; the best of them may be outside.
void the_low_plane_counts(Random& random) {
  constexpr std::int64_t kDims = 64;
  sm::IndexOptions options;
  options.n_dims = kDims;
  options.lock = false;
  options.n_remembered = 10;
  sm::Index index(options);
  const float step = 1.0F / sm::high_steps(kDims);
  Vector centre = random_unit(random, kDims);
  for (float& value : centre) value = step * std::nearbyint(value / step);
  std::vector<Vector> rows;
  for (std::int64_t i = 0; i < 700; ++i) {
    Vector row = centre;
    for (float& value : row) value += 0.45F * step * static_cast<float>(random.between(-1, 1));
    const Attributes none;
    index.add(&i, row.data(), &none, 1);
    rows.push_back(row);
  }
  for (int i = 0; i < 20; ++i) {
    const Vector asked = near(centre, 0.2F, random);
    search(index, asked, 5, nullptr, true);
    const Vector again = near(asked, 1e-3F, random);
    const std::uint64_t n_before = index.stats().n_near;
    const Answer found = search(index, again, 5, nullptr, true);
    if (index.stats().n_near == n_before) continue;
    const std::vector<double> best = best_possible(rows, again, 5);
    for (std::size_t n = 0; n < best.size(); ++n) check(double{found.scores[n]} >= best[n] - 1e-6, "a better row is outside");
  }
}

// The same query, for other numbers of results of as many candidates.
void another_k_is_another_question(Random& random) {
  constexpr std::int64_t kDims = 32;
  sm::IndexOptions options;
  options.n_dims = kDims;
  options.lock = false;
  options.n_remembered = 10;
  sm::Index index(options);
  for (std::int64_t i = 0; i < 1000; ++i) {
    const Attributes none;
    index.add(&i, random_unit(random, kDims).data(), &none, 1);
  }
  const Vector asked = random_unit(random, kDims);
  for (const auto& [k, oversample] : {std::pair<std::size_t, int>{8, 4}, {4, 8}, {16, 2}, {32, 1}, {8, 4}}) {
    const Answer found = search(index, asked, k, nullptr, true, 0, oversample);
    const Answer plain = search(index, asked, k, nullptr, false, 0, oversample);
    check(found.ids == plain.ids && found.scores == plain.scores, "%zu of %zu results", found.ids.size(), k);
  }
  check(search(index, asked, 0, nullptr, true).ids.empty(), "results that nobody wants");
}

void slack_answers_more_and_misses_little(Random& random) {
  constexpr std::int64_t kDims = 64;
  sm::IndexOptions options;
  options.n_dims = kDims;
  options.lock = false;
  options.n_remembered = 100;
  sm::Index index(options);
  std::vector<Vector> rows;
  for (std::int64_t i = 0; i < 2000; ++i) {
    rows.push_back(random_unit(random, kDims));
    const Attributes none;
    index.add(&i, rows.back().data(), &none, 1);
  }
  const auto n_near = [&](double slack) {
    Random same(5);
    const std::uint64_t before = index.stats().n_near;
    for (int i = 0; i < 40; ++i) {
      index.remove(nullptr, 0);  // a write without effect, so that every round starts with nothing remembered
      const Vector asked = random_unit(same, kDims);
      search(index, asked, 5, nullptr, true, slack);
      const Vector again = near(asked, 0.4F, same);
      const std::uint64_t so_far = index.stats().n_near;
      const Answer found = search(index, again, 5, nullptr, true, slack);
      if (index.stats().n_near == so_far) continue;
      const sm::test::Fixed q(again);
      std::vector<double> worst;
      for (const std::int64_t id : found.ids) worst.push_back(sm::test::cosine(sm::test::Fixed(rows[static_cast<std::size_t>(id)]), q));
      std::sort(worst.begin(), worst.end());
      for (std::size_t id = 0; id < rows.size(); ++id) {
        if (std::find(found.ids.begin(), found.ids.end(), static_cast<std::int64_t>(id)) != found.ids.end()) continue;
        check(sm::test::cosine(sm::test::Fixed(rows[id]), q) <= worst.front() + slack + 1e-6, "missed by more than the slack");
      }
    }
    return index.stats().n_near - before;
  };
  const auto exact = n_near(0);
  const auto loose = n_near(0.3);
  check(loose > exact && loose >= 30, "with slack %lld are near, without %lld", static_cast<long long>(loose),
        static_cast<long long>(exact));
}

void filters_are_never_mixed(Random& random) {
  constexpr std::int64_t kDims = 32;
  sm::IndexOptions options;
  options.n_dims = kDims;
  options.lock = false;
  options.n_remembered = 1000;
  sm::Index index(options);
  for (std::int64_t i = 0; i < 1500; ++i) {
    Attributes attributes;
    attributes.project = static_cast<std::int32_t>(i % 4);
    attributes.trust = static_cast<std::uint8_t>(i % 3);
    attributes.time = i;
    index.add(&i, random_unit(random, kDims).data(), &attributes, 1);
  }
  std::vector<Filter> filters(6);
  for (std::size_t p = 0; p < 2; ++p) {
    filters[p].projects = sm::RowSet({static_cast<std::int32_t>(p)});
  }
  filters[2].projects = sm::RowSet({2, 3});
  filters[3].sources = sm::RowSet({0});
  filters[4].least_trust = 2;
  filters[5].since = 1000;
  const Vector asked = random_unit(random, kDims);
  for (int round = 0; round < 3; ++round) {
    for (std::size_t f = 0; f <= filters.size(); ++f) {
      const Filter* filter = f < filters.size() ? &filters[f] : nullptr;
      const Vector query = round == 2 ? near(asked, 1e-3F, random) : asked;
      const Answer found = search(index, query, 5, filter, true);
      const Answer plain = search(index, query, 5, filter, false);
      check(found.ids == plain.ids && found.scores == plain.scores, "filter %zu got another's rows", f);
    }
  }
  check(index.stats().n_repeats == 7, "%llu repeats instead of 7", static_cast<unsigned long long>(index.stats().n_repeats));
  // Filters that never come back do not grow without end, and go on being right.
  for (std::int64_t since = 0; since < 600; ++since) {
    Filter recent;
    recent.since = since;
    const Answer found = search(index, asked, 3, &recent, true);
    check(!found.ids.empty() && *std::min_element(found.ids.begin(), found.ids.end()) >= since, "too old");
  }
  check(index.stats().n_remembered <= 512, "too many are remembered");
}

// A query as the index makes it, without an index.
struct Made {
  alignas(64) std::int8_t high[64] = {};
  alignas(64) std::int16_t wide[64] = {};
  sm::Asked asked;

  Made(int seed, std::uint64_t version) {
    Random random(static_cast<std::uint32_t>(seed));
    for (int d = 0; d < 64; ++d) {
      high[d] = static_cast<std::int8_t>(random.between(-127, 127));
      wide[d] = static_cast<std::int16_t>(sm::kLowSteps * high[d]);
      asked.bias += 128 * high[d];
      asked.square += high[d] * high[d];
    }
    asked.high = high;
    asked.wide = wide;
    asked.version = version;
  }
};

std::shared_ptr<const Neighbourhood> found_by(int n) {
  auto found = std::make_shared<Neighbourhood>();
  found->longest = n;
  return found;
}

// The number that was remembered with the same query, or -1.
int recalled(Lookaside& lookaside, const Made& made) {
  const sm::Recalled known = lookaside.lookup(made.asked);
  return known.near != nullptr && known.same ? known.near->longest : -1;
}

void the_least_recently_used_goes_first(const sm::Kernels& kernels) {
  Lookaside lookaside(64, 3, kernels, false);
  const Made a(1, 2), b(2, 2), c(3, 2), d(4, 2);
  lookaside.remember(a.asked, found_by(1));
  lookaside.remember(b.asked, found_by(2));
  lookaside.remember(c.asked, found_by(3));
  check(recalled(lookaside, a) == 1, "the first is gone");
  lookaside.remember(d.asked, found_by(4));
  check(lookaside.size() == 3 && recalled(lookaside, b) == -1, "not the least recently used one was replaced");
  check(recalled(lookaside, a) == 1 && recalled(lookaside, c) == 3 && recalled(lookaside, d) == 4, "one is lost");
  lookaside.remember(c.asked, found_by(5));
  check(lookaside.size() == 3 && recalled(lookaside, c) == 5, "the same query is there twice");
  Lookaside many(64, 1024, kernels, false);
  for (int n = 0; n < 3000; ++n) many.remember(Made(n, 2).asked, found_by(n));
  check(many.size() == 1024, "%zu are kept", many.size());
  for (int n = 0; n < 3000; n += 7) check((recalled(many, Made(n, 2)) == n) == (n >= 3000 - 1024), "query %d", n);
}

void nothing_outlives_its_version(const sm::Kernels& kernels) {
  Lookaside lookaside(64, 100, kernels, false);
  const Made old(1, 2), now(1, 4);
  lookaside.remember(old.asked, found_by(1));
  check(lookaside.n_bytes_in_use() > 64, "nothing is held");
  check(recalled(lookaside, now) == -1 && lookaside.size() == 0, "an old answer was given");
  check(lookaside.n_bytes_in_use() == 0, "an old query was not zeroed");
  lookaside.remember(now.asked, found_by(2));
  lookaside.remember(old.asked, found_by(3));
  check(recalled(lookaside, old) == -1 && recalled(lookaside, now) == 2, "a late one took the place of a newer one");
  const Made other(2, 4);
  lookaside.remember(other.asked, found_by(4));
  lookaside.clear(6);
  check(lookaside.size() == 0 && lookaside.n_bytes_in_use() == 0, "something is left after all was cleared");
  lookaside.remember(now.asked, found_by(5));
  check(lookaside.size() == 0, "an old answer came back after all was cleared");
  Lookaside small(64, 2, kernels, false);
  for (int n = 0; n < 50; ++n) small.remember(Made(n, 2).asked, found_by(n));
  std::size_t n_bytes = 0;
  for (const int n : {48, 49}) {
    const Made made(n, 2);
    for (int d = 0; d < 64; ++d) {
      n_bytes += (made.high[d] != -128 ? 1U : 0U) + ((made.wide[d] & 0xff) != 0 ? 1U : 0U) + ((made.wide[d] & 0xff00) != 0 ? 1U : 0U);
    }
  }
  check(small.n_bytes_in_use() == n_bytes, "%zu bytes are held for queries of %zu", small.n_bytes_in_use(), n_bytes);
}

// Searches repeat few queries while rows come and go; each result must be a row of its time with its own score.
void readers_and_a_writer(Random& random) {
  constexpr std::int64_t kDims = 40;
  constexpr int kRounds = 600;
  sm::IndexOptions options;
  options.n_dims = kDims;
  options.lock = false;
  options.n_remembered = 16;
  sm::Index index(options);
  std::vector<Vector> rows;
  std::vector<Vector> queries;
  for (int i = 0; i < 400 + kRounds; ++i) rows.push_back(random_unit(random, kDims));
  for (int i = 0; i < 6; ++i) queries.push_back(random_unit(random, kDims));
  const Attributes none;
  for (std::int64_t i = 0; i < 400; ++i) index.add(&i, rows[static_cast<std::size_t>(i)].data(), &none, 1);
  std::atomic<std::int64_t> first{0};  // all below are gone
  std::atomic<bool> done{false};
  std::atomic<long long> n_wrong{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&, t] {
      for (std::size_t i = static_cast<std::size_t>(t); !done.load(); ++i) {
        const Vector& query = queries[i % queries.size()];
        const std::int64_t floor = first.load();
        const Answer found = search(index, query, 5, nullptr, true);
        for (std::size_t n = 0; n < found.ids.size(); ++n) {
          const Vector& row = rows[static_cast<std::size_t>(found.ids[n])];
          double cosine = 0;
          for (std::size_t d = 0; d < row.size(); ++d) cosine += double{row[d]} * double{query[d]};
          if (found.ids[n] < floor || std::fabs(cosine - double{found.scores[n]}) > 1e-3) ++n_wrong;
        }
      }
    });
  }
  for (std::int64_t i = 0; i < kRounds; ++i) {
    const std::int64_t next = 400 + i;
    index.add(&next, rows[static_cast<std::size_t>(next)].data(), &none, 1);
    index.remove(&i, 1);
    first.store(i + 1);
    std::this_thread::yield();
  }
  done.store(true);
  for (std::thread& reader : readers) reader.join();
  check(n_wrong.load() == 0, "%lld results were wrong", n_wrong.load());
  const Vector query = queries[0];
  for (int i = 0; i < 5; ++i) search(index, query, 5, nullptr, true);
  check(index.stats().n_repeats > 0, "nothing was answered from memory");
  index.clear();
  check(index.stats().n_remembered == 0 && search(index, query, 5, nullptr, true).ids.empty(), "rows are left");
}

}  // namespace

int main() {
  Random random(17);
  no_row_outside_scores_more(random);
  the_bound_at_its_ends();
  for (const sm::Kernels& kernels : sm::available_kernels()) {
    for (const std::int64_t n_dims : {3, 24, 100}) {
      for (const bool clustered : {false, true}) answers_are_those_of_a_scan(kernels, n_dims, clustered, random);
    }
    the_least_recently_used_goes_first(kernels);
    nothing_outlives_its_version(kernels);
  }
  the_low_plane_counts(random);
  another_k_is_another_question(random);
  slack_answers_more_and_misses_little(random);
  filters_are_never_mixed(random);
  readers_and_a_writer(random);
  return sm::test::finish("lookaside");
}

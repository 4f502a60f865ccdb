// Speed of every kernel this machine runs, without Python: `native_bench [rows [dims]]` prints one JSON object a line.
//
// Each value is the least of many short repeats, one thread. Scans stand beside the read bandwidth measured in the same
// run, over the same memory.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "dispatch.h"
#include "index/arena.h"
#include "kv/levels.h"
#include "kv/rows.h"
#include "kv/tables.h"

namespace {

using sm::kPageRows;

constexpr std::int32_t kNever = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kCandidates = 40;
constexpr std::uint64_t kAll = ~std::uint64_t{0};

volatile std::uint64_t g_sink = 0;  // what keeps the compiler from leaving work out

void print(const std::string& name, double value, const char* unit, std::int64_t n) {
  std::printf("{\"bench\": \"native\", \"case\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", \"n\": %lld}\n",
              name.c_str(), value, unit, static_cast<long long>(n));
  std::fflush(stdout);
}

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

template <typename Work>
double seconds(Work work) {
  const Clock::time_point start = Clock::now();
  work();
  return since(start);
}

// The shortest of the calls that fit into `budget_s`, at least three, in seconds.
template <typename Work>
double least(double budget_s, Work work) {
  const Clock::time_point start = Clock::now();
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 3 || since(start) < budget_s; ++i) best = std::min(best, seconds(work));
  return best;
}

// Pages of random rows, in memory as the index holds it.
class Rows {
 public:
  Rows(std::int64_t n_rows, std::int64_t row_bytes)
      : n_rows(n_rows), row_bytes(row_bytes), arena_(static_cast<std::size_t>(kPageRows * row_bytes), false) {
    std::mt19937_64 random(7);
    for (std::int64_t r = 0; r < n_rows; r += kPageRows) {
      pages.push_back(arena_.take());
      for (std::int64_t i = 0; i < kPageRows * row_bytes; i += 8) {
        const std::uint64_t bits = random();
        std::memcpy(pages.back() + i, &bits, sizeof(bits));
      }
    }
  }

  std::int64_t n_bytes() const { return static_cast<std::int64_t>(pages.size()) * kPageRows * row_bytes; }
  const std::uint8_t* next(std::size_t page) const { return page + 1 < pages.size() ? pages[page + 1] : nullptr; }
  const std::uint8_t* row(std::int64_t r) const {
    return pages[static_cast<std::size_t>(r / kPageRows)] + r % kPageRows * row_bytes;
  }

  std::int64_t n_rows;
  std::int64_t row_bytes;
  std::vector<std::uint8_t*> pages;

 private:
  sm::Arena arena_;
};

struct alignas(64) Query {
  explicit Query(std::int64_t n_dims) : n_dims(n_dims) {
    std::mt19937 random(5);
    std::uniform_int_distribution<int> any(-127, 127);
    for (std::int64_t d = 0; d < n_dims; ++d) {
      high[d] = static_cast<std::int8_t>(any(random));
      both[d] = static_cast<std::int16_t>(254 * high[d] + any(random));
      sum += high[d];
    }
  }
  std::int64_t n_dims;
  std::int32_t sum = 0;
  alignas(64) std::int8_t high[sm::kMaxStride] = {};
  alignas(64) std::int16_t both[sm::kMaxStride] = {};
};

// Asked for some kilobytes ahead, because the hardware's own prefetching stops at the borders of pages.
#if defined(__SSE2__)
std::uint64_t read_page(const std::uint8_t* page, std::int64_t n_bytes) {
  const auto load = [&](std::int64_t i) { return _mm_load_si128(reinterpret_cast<const __m128i*>(page + i)); };
  __m128i even = _mm_setzero_si128();
  __m128i odd = even;
  for (std::int64_t i = 0; i < n_bytes; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(page + i + 8192), _MM_HINT_T0);
    even = _mm_xor_si128(even, _mm_xor_si128(load(i), load(i + 16)));
    odd = _mm_xor_si128(odd, _mm_xor_si128(load(i + 32), load(i + 48)));
  }
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_xor_si128(even, odd)));
}
#else
std::uint64_t read_page(const std::uint8_t* page, std::int64_t n_bytes) {
  std::uint64_t sum = 0;
  for (std::int64_t i = 0; i < n_bytes / 8; ++i) {
#if defined(__GNUC__)
    if (i % 8 == 0) __builtin_prefetch(page + 8 * i + 8192);
#endif
    sum ^= reinterpret_cast<const std::uint64_t*>(page)[i];
  }
  return sum;
}
#endif

// Seconds of a loop that does nothing but read.
double read_all(const Rows& rows) {
  return seconds([&] {
    for (const std::uint8_t* page : rows.pages) g_sink = g_sink + read_page(page, kPageRows * rows.row_bytes);
  });
}

double scan(const sm::Kernels& kernels, const Rows& rows, const Query& query,
            const std::vector<std::uint64_t>& wanted) {
  alignas(64) std::int32_t scores[kPageRows];
  return seconds([&] {
    for (std::size_t p = 0; p < rows.pages.size(); ++p) {
      g_sink = g_sink + kernels.scan_u8({rows.pages[p], query.high, rows.row_bytes, 128 * query.sum, wanted[p], kNever,
                                         rows.next(p), scores});
    }
  });
}

double count(const sm::Kernels& kernels, const Rows& rows, double budget_s) {
  std::int32_t distances[kPageRows];
  return least(budget_s, [&] {
    for (const std::uint8_t* page : rows.pages) {
      g_sink = g_sink + kernels.hamming_b1({page, rows.pages[0], rows.row_bytes, kAll, 0, distances});
    }
  });
}

void dots(const sm::Kernels& kernels, std::int64_t n_dims) {
  constexpr std::int64_t kHot = 32;  // rows that stay in the first cache at every length
  constexpr int kTimes = 200;
  const Rows rows(kPageRows, n_dims);
  const Query query(n_dims);
  const auto* first = reinterpret_cast<const std::int8_t*>(rows.pages[0]);
  std::int32_t out[kHot];
  const std::string name = "/" + std::to_string(n_dims) + "/" + kernels.isa;
  const auto time = [&](std::int64_t n_rows) {
    return least(0.02, [&] {
      for (int i = 0; i < kTimes; ++i) {
        kernels.dot_i8({query.high, first, n_rows, n_dims, n_dims, out});
        g_sink = g_sink + static_cast<std::uint64_t>(out[0]);
      }
    }) / static_cast<double>(kTimes * n_rows) * 1e9;
  };
  print("dot_one" + name, time(1), "ns", 1);
  print("dot" + name, time(kHot), "ns", kHot);
  alignas(64) std::int32_t scores[kPageRows];
  const double page = least(0.02, [&] {
    for (int i = 0; i < kTimes; ++i) {
      g_sink = g_sink + kernels.scan_u8({rows.pages[0], query.high, n_dims, 128 * query.sum, kAll, kNever, nullptr,
                                         scores});
    }
  });
  print("dot_page" + name, page / (kTimes * kPageRows) * 1e9, "ns", kPageRows);
}

// Candidates scattered over all rows, other ones every time, so that memory and not a cache answers.
void rescores(const sm::Kernels& kernels, const Rows& rows, const Query& query, const std::vector<float>& floats) {
  static std::mt19937_64 random(3);  // goes on from kernel to kernel: none finds in a cache what the last one read
  const std::int64_t n_floats = static_cast<std::int64_t>(floats.size()) / query.n_dims;
  const auto any = [&](std::int64_t n) { return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n)); };
  std::array<const std::uint8_t*, kCandidates> high{};
  std::array<const std::int8_t*, kCandidates> low{};
  std::array<const float*, kCandidates> row{};
  std::array<std::int64_t, kCandidates> planes{};
  std::array<float, kCandidates> products{};
  double i16_s = std::numeric_limits<double>::infinity();
  double f32_s = i16_s;
  for (int repeat = 0; repeat < 200; ++repeat) {
    for (std::size_t i = 0; i < kCandidates; ++i) {
      high[i] = rows.row(any(rows.n_rows));
      low[i] = reinterpret_cast<const std::int8_t*>(rows.row(any(rows.n_rows)));
      row[i] = floats.data() + any(n_floats) * query.n_dims;
    }
    i16_s = std::min(i16_s, seconds([&] {
      kernels.rescore_i16({query.both, high.data(), low.data(), kCandidates, rows.row_bytes, planes.data()});
    }));
    f32_s = std::min(f32_s, seconds([&] {
      kernels.rescore_f32({floats.data(), row.data(), kCandidates, query.n_dims, products.data()});
    }));
  }
  const std::string name = "/" + std::to_string(kCandidates) + "x" + std::to_string(query.n_dims) + "/" + kernels.isa;
  print("rescore_i16" + name, i16_s * 1e6, "us", kCandidates);
  print("rescore_f32" + name, f32_s * 1e6, "us", kCandidates);
}

// A question of some tokens against the turns that the indexes left, of seventeen tokens each.
void lates(const sm::Kernels& kernels, std::int64_t n_query) {
  constexpr std::int64_t kTurns = 300, kTokens = 17;
  std::mt19937 random(17);
  std::uniform_int_distribution<int> any(-127, 127);
  std::vector<std::int8_t> rows(static_cast<std::size_t>((kTurns * kTokens + n_query) * sm::kTokenDims));
  for (std::int8_t& x : rows) x = static_cast<std::int8_t>(any(random));
  std::vector<const std::int8_t*> texts;
  for (std::int64_t t = 0; t < kTurns; ++t) texts.push_back(rows.data() + t * kTokens * sm::kTokenDims);
  const std::vector<std::int64_t> n_rows(kTurns, kTokens);
  std::vector<std::int32_t> best(static_cast<std::size_t>(kTurns * n_query));
  const std::int8_t* query = rows.data() + kTurns * kTokens * sm::kTokenDims;
  const double elapsed = least(0.05, [&] {
    kernels.maxsim_i8({query, n_query, texts.data(), n_rows.data(), kTurns, best.data()});
    g_sink = g_sink + static_cast<std::uint64_t>(best[0]);
  });
  print("maxsim/" + std::to_string(n_query) + "x300x17/" + kernels.isa, elapsed * 1e3, "ms", kTurns);
}

// One word per page with every row wanted at the given chance.
std::vector<std::uint64_t> chance(std::size_t n_pages, double share) {
  std::mt19937 random(9);
  std::bernoulli_distribution is_wanted(share);
  std::vector<std::uint64_t> words(n_pages);
  for (std::uint64_t& word : words) {
    for (int r = 0; r < kPageRows; ++r) word |= std::uint64_t{is_wanted(random)} << r;
  }
  return words;
}

// Reading, scanning and scanning parts take turns, so that what else the machine does falls on all alike.
void scans(const sm::Kernels& kernels, const Rows& rows, const Query& query, double budget_s) {
  constexpr std::array<int, 5> kShares{100, 1, 10, 50, 90};
  std::vector<std::vector<std::uint64_t>> wanted;
  for (const int percent : kShares) wanted.push_back(chance(rows.pages.size(), percent / 100.0));
  double reading = std::numeric_limits<double>::infinity();
  std::array<double, kShares.size()> best;
  best.fill(reading);
  const Clock::time_point start = Clock::now();
  for (int round = 0; round < 3 || since(start) < budget_s; ++round) {
    reading = std::min(reading, read_all(rows));
    for (std::size_t i = 0; i < kShares.size(); ++i) best[i] = std::min(best[i], scan(kernels, rows, query, wanted[i]));
  }
  const std::string name =
      std::to_string(rows.n_rows) + "x" + std::to_string(query.n_dims) + "/" + std::string(kernels.isa);
  const auto gigabytes = static_cast<double>(rows.n_bytes()) / 1e9;
  print("scan/" + name, best[0] * 1e3, "ms", rows.n_rows);
  print("scan_row/" + name, best[0] / static_cast<double>(rows.n_rows) * 1e9, "ns", rows.n_rows);
  print("scan_rate/" + name, gigabytes / best[0], "GB/s", rows.n_rows);
  print("read_rate/" + name, gigabytes / reading, "GB/s", rows.n_rows);
  print("bandwidth_share/" + name, reading / best[0], "ratio", rows.n_rows);
  for (std::size_t i = 1; i < kShares.size(); ++i) {
    print("filtered/" + std::to_string(kShares[i]) + "%/" + name, best[i] / best[0], "ratio", rows.n_rows);
  }
}

// A layer's keys of three heads of 64 as a q8_0 cache holds them; every third channel follows its past.
void levels(const sm::Kernels& kernels) {
  constexpr std::size_t kTokens = 2048, kChannels = 192;
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  std::vector<std::int8_t> q(kTokens * kChannels), out(q.size());
  for (std::size_t c = 0; c < kChannels; ++c) {
    const float memory = c % 3 == 0 ? 0.9F : 0.0F, centre = 20 * normal(random), spread = c % 3 == 0 ? 14.0F : 30.0F;
    float x = 0;
    for (std::size_t t = 0; t < kTokens; ++t) {
      x = memory * x + normal(random);
      q[t * kChannels + c] = static_cast<std::int8_t>(std::clamp(std::lround(x * spread + centre), -127L, 127L));
    }
  }
  const auto n = static_cast<double>(q.size());
  const std::string name = "/2048x192/" + std::string(kernels.isa);
  const auto coded = sm::kv::encode_q8(q.data(), kTokens, kChannels);
  const double elapsed = least(0.05, [&] {
    sm::kv::decode_q8(coded.data(), coded.size(), kTokens, kChannels, kernels.rans_run, out.data());
  });
  print("kv_decode_q8" + name, elapsed / n * 1e9, "ns", static_cast<std::int64_t>(n));
  print("kv_decode_q8_rate" + name, 2 * n / elapsed / 1e6, "MB/s", static_cast<std::int64_t>(n));
  if (std::strcmp(kernels.isa, "serial") != 0) return;  // no instruction set serves the encoder
  const double encoding = least(0.05, [&] { sm::kv::encode_q8(q.data(), kTokens, kChannels); });
  print("kv_encode_q8" + name, encoding / n * 1e9, "ns", static_cast<std::int64_t>(n));
}

// A head's rows of 64 coefficients, half of them always 0, decoded, dequantized and transformed; three classes.
void heads(const sm::Kernels& kernels, std::size_t n_rows) {
  constexpr std::size_t kDims = 64, kClasses = 3;
  std::mt19937 random(13);
  std::normal_distribution<float> normal;
  std::vector<std::int16_t> z(n_rows * kDims);
  std::vector<std::uint8_t> classes(n_rows), table_of(kClasses * kDims);
  for (std::size_t d = 0; d < kClasses * kDims; ++d) {
    table_of[d] = static_cast<std::uint8_t>(d % kDims < kDims / 2 ? 1 + sm::kv::kScales - d % kDims : 0);
  }
  for (std::size_t r = 0; r < n_rows; ++r) classes[r] = static_cast<std::uint8_t>(r % kClasses);
  for (std::size_t i = 0; i < z.size(); ++i) {
    const float spread = 32 * std::exp2(-static_cast<float>(i % kDims) / 8);
    if (i % kDims < kDims / 2) z[i] = static_cast<std::int16_t>(std::lround(normal(random) * spread));
  }
  const sm::kv::Layout layout{classes.data(), n_rows, table_of.data(), kClasses, kDims};
  const std::vector<float> steps(kClasses, 0.1F), centroids(kDims, 1.0F), matrix(kDims * kDims, 0.125F), mean(kDims);
  std::vector<float> out(n_rows * kDims);
  const auto coded = sm::kv::encode_rows(z.data(), layout);
  const double elapsed = least(0.05, [&] {
    sm::kv::decode_head(coded.data(), coded.size(), layout,
                        {steps.data(), centroids.data(), 1, matrix.data(), mean.data(), kDims},
                        {kernels.rans_run, kernels.lookup_f32, kernels.synthesis_f32}, out.data());
  });
  const auto n = static_cast<double>(z.size());
  const std::string name = "/" + std::to_string(n_rows) + "x64/" + std::string(kernels.isa);
  print("kv_decode_head" + name, elapsed / n * 1e9, "ns", static_cast<std::int64_t>(n));
  print("kv_decode_head_rate" + name, 2 * n / elapsed / 1e6, "MB/s", static_cast<std::int64_t>(n));
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t n_rows = argc > 1 ? std::atoll(argv[1]) : 1'000'000;
  const std::int64_t n_dims = argc > 2 ? std::atoll(argv[2]) : 384;
  if (n_rows < 1 || n_dims < 1 || n_dims > sm::kMaxStride) {
    std::fprintf(stderr, "usage: native_bench [rows [dims]], at least one row, 1 to 4096 dims\n");
    return EXIT_FAILURE;
  }
  const std::int64_t stride = (n_dims + sm::kRowAlign - 1) / sm::kRowAlign * sm::kRowAlign;
  const Query query(n_dims);
  for (const std::int64_t hot : {384, 768}) {
    for (const sm::Kernels& kernels : sm::available_kernels()) dots(kernels, hot);
  }
  for (const sm::Kernels& kernels : sm::available_kernels()) {
    for (const std::int64_t n_query : {8, 16}) lates(kernels, n_query);
    levels(kernels);
    for (const std::size_t n_rows : {250, 2000}) heads(kernels, n_rows);
  }
  {
    const Rows list(1024, stride);
    for (const sm::Kernels& kernels : sm::available_kernels()) scans(kernels, list, query, 0.05);
    const Rows rows(n_rows, stride);
    for (const sm::Kernels& kernels : sm::available_kernels()) scans(kernels, rows, query, 2);
    std::vector<float> floats(static_cast<std::size_t>(std::min<std::int64_t>(n_rows, 200'000) * n_dims), 0.5F);
    for (const sm::Kernels& kernels : sm::available_kernels()) rescores(kernels, rows, query, floats);
  }
  const std::int64_t sign_bytes = (n_dims + 63) / 64 * 8;
  const Rows signs(n_rows, sign_bytes);
  for (const sm::Kernels& kernels : sm::available_kernels()) {
    const double elapsed = count(kernels, signs, 0.1);
    const std::string name = std::to_string(n_rows) + "x" + std::to_string(n_dims) + "/" + kernels.isa;
    print("hamming/" + name, elapsed * 1e3, "ms", n_rows);
    print("hamming_row/" + name, elapsed / static_cast<double>(n_rows) * 1e9, "ns", n_rows);
  }
  return EXIT_SUCCESS;
}

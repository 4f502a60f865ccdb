// What only native code can time: single dots, a pass over memory, and a search without Python around it. Used by
// `secondme bench vectors` alone.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "bind.h"
#include "cpu.h"
#include "dispatch.h"
#include "index/index.h"

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace nb = nanobind;

namespace sm {

namespace {

using Bytes = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Vector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Times = nb::ndarray<double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Clock = std::chrono::steady_clock;

constexpr int kHotRows = 16;  // with the query they fit every first-level cache at 768 dimensions
volatile std::uint64_t sink;  // keeps the work from being left out

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

const Kernels& kernels_of(const char* isa) {
  const Kernels* kernels = find_kernels(isa);
  if (kernels == nullptr) throw nb::value_error("no kernels of that name on this machine");
  return *kernels;
}

// One pass as fast as one core reads, by asking ahead: the hardware's own prefetching reaches only half of it. From caches
// reading in order is fastest, from memory a block in four places at once.
constexpr std::size_t kBlock = 24576;

template <std::size_t kPlaces, std::size_t kAhead>
std::uint64_t read_all(const std::uint8_t* at, std::size_t n) noexcept {
  std::uint64_t words[2] = {};
#if defined(__SSE2__)
  __m128i a = _mm_setzero_si128(), b = a, c = a, d = a;
#elif defined(__ARM_NEON)
  uint8x16_t a = vdupq_n_u8(0), b = a, c = a, d = a;
#endif
  for (std::size_t block = 0; block < n; block += kBlock) {
    for (std::size_t i = 0; i < kBlock / kPlaces; i += 64) {
      for (std::size_t place = 0; place < kPlaces; ++place) {
        const std::uint8_t* line = at + block + place * (kBlock / kPlaces) + i;
#if defined(__SSE2__)
        const auto* quarter = reinterpret_cast<const __m128i*>(line);
        _mm_prefetch(reinterpret_cast<const char*>(line + kAhead), _MM_HINT_T0);  // past the end is harmless
        a = _mm_xor_si128(a, _mm_loadu_si128(quarter));
        b = _mm_xor_si128(b, _mm_loadu_si128(quarter + 1));
        c = _mm_xor_si128(c, _mm_loadu_si128(quarter + 2));
        d = _mm_xor_si128(d, _mm_loadu_si128(quarter + 3));
#elif defined(__ARM_NEON)
        __builtin_prefetch(line + kAhead);
        a = veorq_u8(a, vld1q_u8(line));
        b = veorq_u8(b, vld1q_u8(line + 16));
        c = veorq_u8(c, vld1q_u8(line + 32));
        d = veorq_u8(d, vld1q_u8(line + 48));
#else
        std::uint64_t eighths[8];
        std::memcpy(eighths, line, sizeof(eighths));
        for (const std::uint64_t eighth : eighths) words[0] ^= eighth;
#endif
      }
    }
  }
#if defined(__SSE2__)
  const __m128i sum = _mm_xor_si128(_mm_xor_si128(a, b), _mm_xor_si128(c, d));
  std::memcpy(words, &sum, sizeof(sum));
#elif defined(__ARM_NEON)
  const uint8x16_t sum = veorq_u8(veorq_u8(a, b), veorq_u8(c, d));
  std::memcpy(words, &sum, sizeof(sum));
#endif
  return words[0] ^ words[1];
}

#if defined(__x86_64__) && defined(__GNUC__)
// With whole lines at a time fewer loads wait for the same line. The attribute stands for a file with flags of its own.
__attribute__((target("avx512f"))) std::uint64_t read_lines(const std::uint8_t* at, std::size_t n) noexcept {
  constexpr std::size_t kAhead = 8192;
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  for (std::size_t i = 0; i < n; i += 256) {
    for (std::size_t line = 0; line < 256; line += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(at + i + line + kAhead), _MM_HINT_T0);
    }
    a = _mm512_xor_si512(a, _mm512_loadu_si512(at + i));
    b = _mm512_xor_si512(b, _mm512_loadu_si512(at + i + 64));
    c = _mm512_xor_si512(c, _mm512_loadu_si512(at + i + 128));
    d = _mm512_xor_si512(d, _mm512_loadu_si512(at + i + 192));
  }
  std::uint64_t words[8];
  _mm512_storeu_si512(words, _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d)));
  return words[0] ^ words[1] ^ words[2] ^ words[3] ^ words[4] ^ words[5] ^ words[6] ^ words[7];
}
#endif

// The ways to read: 0 in order, 1 in four places, 2 in order by whole lines, where the machine can.
std::uint64_t read_by(int way, const std::uint8_t* at, std::size_t n) noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
  if (way == 2 && detect_cpu().avx512vnni) return read_lines(at, n);
#endif
  return way == 1 ? read_all<4, kBlock>(at, n) : read_all<1, 4096>(at, n);
}

double read_seconds(Bytes buffer, int way) {
  if (buffer.size() % kBlock != 0) throw nb::value_error("the size of the buffer must be a multiple of 24,576");
  nb::gil_scoped_release released;
  const auto start = Clock::now();
  sink = read_by(way, buffer.data(), buffer.size());
  return since(start);
}

// Seconds of one int8 dot product of rows that are in the first-level cache.
double dot_seconds(std::int64_t n_dims, int n_rounds, const char* isa) {
  const Kernels& kernels = kernels_of(isa);
  if (n_dims < 1 || n_dims > kMaxStride || n_rounds < 1) throw nb::value_error("n_dims is 1 to 4096, n_rounds 1 or more");
  const auto n = static_cast<std::size_t>(n_dims);
  std::vector<std::int8_t> room(n * (kHotRows + 1) + kRowAlign);
  // At a line's beginning, so that rows of a multiple of 64 elements do not straddle lines.
  std::int8_t* numbers = room.data() + (kRowAlign - reinterpret_cast<std::uintptr_t>(room.data()) % kRowAlign) % kRowAlign;
  for (std::size_t i = 0; i < n * (kHotRows + 1); ++i) numbers[i] = static_cast<std::int8_t>(i * 37 % 251 - 125);
  std::int32_t out[kHotRows];
  const DotI8Args args{numbers, numbers + n, kHotRows, n_dims, n_dims, out};
  nb::gil_scoped_release released;
  const auto start = Clock::now();
  for (int round = 0; round < n_rounds; ++round) {
    kernels.dot_i8(args);
    sink = static_cast<std::uint64_t>(out[round % kHotRows]);
  }
  return since(start) / n_rounds / kHotRows;
}

// The same in the form that the index scans: a page of biased rows, and a threshold that lets none through. At 768
// dimensions a page is 48 KB, the whole first-level cache of most machines.
double scan_seconds(std::int64_t n_dims, int n_rounds, const char* isa) {
  const Kernels& kernels = kernels_of(isa);
  if (n_dims < 1 || n_dims > kMaxStride || n_rounds < 1) throw nb::value_error("n_dims is 1 to 4096, n_rounds 1 or more");
  const std::int64_t stride = (n_dims + kRowAlign - 1) / kRowAlign * kRowAlign;
  std::vector<std::uint8_t> room(static_cast<std::size_t>((kPageRows + 2) * stride));
  std::uint8_t* rows = room.data() + (kRowAlign - reinterpret_cast<std::uintptr_t>(room.data()) % kRowAlign) % kRowAlign;
  for (std::int64_t i = 0; i < kPageRows * stride; ++i) rows[i] = static_cast<std::uint8_t>(i * 37 % 251);
  auto* query = reinterpret_cast<std::int8_t*>(rows + kPageRows * stride);
  std::int32_t scores[kPageRows];
  ScanU8Args args{};
  args.rows = rows;
  args.query = query;
  args.stride = stride;
  args.wanted = ~std::uint64_t{0};
  args.threshold = 1 << 30;
  args.scores = scores;
  for (std::int64_t i = 0; i < n_dims; ++i) query[i] = static_cast<std::int8_t>(i * 53 % 251 - 125);
  for (std::int64_t i = 0; i < n_dims; ++i) args.bias += 128 * query[i];
  nb::gil_scoped_release released;
  const auto start = Clock::now();
  for (int round = 0; round < n_rounds; ++round) sink = kernels.scan_u8(args);
  return since(start) / n_rounds / kPageRows;
}

// Seconds of one whole search, as the Python call makes it, without the call.
double search_seconds(const Index& index, Vector query, std::size_t k, int n_rounds) {
  if (static_cast<std::int64_t>(query.shape(0)) != index.options().n_dims || n_rounds < 1) {
    throw nb::value_error("shapes do not fit: query [d]");
  }
  std::vector<std::int64_t> ids(k);
  std::vector<float> scores(k);
  Request request;
  request.query = query.data();
  request.k = k;
  nb::gil_scoped_release released;
  const auto start = Clock::now();
  for (int round = 0; round < n_rounds; ++round) {
    sink = static_cast<std::uint64_t>(index.search(request, ids.data(), scores.data()));
  }
  return since(start) / n_rounds;
}

// Fill out [n_threads][n] with the seconds of each search of as many threads at once, over queries [m][d].
void reader_seconds(const Index& index, Matrix queries, std::size_t k, Times out) {
  if (static_cast<std::int64_t>(queries.shape(1)) != index.options().n_dims || queries.shape(0) == 0) {
    throw nb::value_error("shapes do not fit: queries [m, d], out [threads, n]");
  }
  const std::size_t n_threads = out.shape(0), n = out.shape(1), n_queries = queries.shape(0), n_dims = queries.shape(1);
  double* const seconds = out.data();
  nb::gil_scoped_release released;
  std::atomic<std::size_t> n_here{0};
  const auto read = [&](std::size_t thread) {
    std::vector<std::int64_t> ids(k);
    std::vector<float> scores(k);
    Request request;
    request.k = k;
    for (++n_here; n_here.load() < n_threads;) std::this_thread::yield();  // none is done before the last begins
    for (std::size_t i = 0; i < n; ++i) {
      request.query = queries.data() + (thread + i) % n_queries * n_dims;
      const auto start = Clock::now();
      index.search(request, ids.data(), scores.data());
      seconds[thread * n + i] = since(start);
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < n_threads; ++thread) threads.emplace_back(read, thread);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

void bind_timing(nb::module_& m) {
  m.def("read_seconds", &read_seconds, nb::arg("buffer").noconvert(), nb::arg("way"),
        "Seconds of one pass over a buffer: 0 in order, 1 in four places, 2 by whole lines where the machine can.");
  m.def("dot_seconds", &dot_seconds, nb::arg("n_dims"), nb::arg("n_rounds"), nb::arg("isa"),
        "Seconds of one int8 dot product over cached rows.");
  m.def("scan_seconds", &scan_seconds, nb::arg("n_dims"), nb::arg("n_rounds"), nb::arg("isa"),
        "Seconds that the scan takes for one cached row.");
  m.def("search_seconds", &search_seconds, nb::arg("index"), nb::arg("query").noconvert(), nb::arg("k"),
        nb::arg("n_rounds"), "Seconds of one search of a VectorIndex without the Python call around it.");
  m.def("reader_seconds", &reader_seconds, nb::arg("index"), nb::arg("queries").noconvert(), nb::arg("k"),
        nb::arg("out").noconvert(), "Write the seconds of every search of many threads at once to out [threads, n].");
}

}  // namespace sm

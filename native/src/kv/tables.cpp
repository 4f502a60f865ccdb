#include "kv/tables.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

namespace sm::kv {

namespace {

constexpr int kNodeBits = 8;
constexpr std::size_t kNodes = std::size_t{64} << kNodeBits;
constexpr std::array<int, kShapes> kFirstOctave{-2, -3, -4, -5};
constexpr int kPerStep = 50;        // in whose parts the edges of a coefficient's bins are given
constexpr int kFirstEdge = 31;      // 0.62 steps: a half and the dead zone of 0.12
constexpr std::int64_t kEighths[8] = {65536, 71468, 77936, 84990, 92682, 101070, 110218, 120194};

// floor(sqrt(x)), whatever the square root of doubles rounds to.
std::int64_t root(std::int64_t x) noexcept {
  auto r = static_cast<std::int64_t>(std::sqrt(static_cast<double>(x)));
  while (r * r > x) --r;
  while ((r + 1) * (r + 1) <= x) ++r;
  return r;
}

std::int64_t exponent(int shape, std::int64_t t) noexcept {
  if (shape == 0) return (t * t) >> 16;
  if (shape == 1) return (t * root(t << 16)) >> 16;
  return shape == 2 ? t : root(t * root(t << 16));
}

using Mass = std::vector<std::int64_t>;

Mass integrate(int shape) {
  std::array<std::int64_t, 16> halvings{};
  std::int64_t x = std::int64_t{1} << 30;
  for (std::int64_t& halving : halvings) halving = x = root(x << 31);
  Mass mass(kNodes + 1);
  for (std::size_t i = 0; i < kNodes; ++i) {
    const std::int64_t u = exponent(shape, static_cast<std::int64_t>(i) * 256 + 128);
    std::int64_t density = std::int64_t{1} << 30;
    for (std::size_t bit = 0; bit < halvings.size(); ++bit) {
      if ((u >> (15 - bit)) & 1) density = (density * halvings[bit]) >> 31;
    }
    mass[i + 1] = mass[i] + (density >> std::min<std::int64_t>(u >> 16, 62));
  }
  return mass;
}

const Mass& mass_of(int shape) {
  static const std::array<Mass, kShapes> all{integrate(0), integrate(1), integrate(2), integrate(3)};
  return all[static_cast<std::size_t>(shape)];
}

std::int64_t scale_of(int octave, int eighth) noexcept {
  octave += eighth / 8;
  const std::int64_t value = kEighths[eighth % 8];
  return octave >= 0 ? value << octave : value >> -octave;
}

// Mass from 0 to x / per_step.
std::int64_t below(int shape, std::int64_t a, std::int64_t x, std::int64_t per_step) {
  const Mass& nodes = mass_of(shape);
  const auto t = static_cast<std::uint64_t>((x << 32) / (per_step * a));
  const std::uint64_t node = t >> (16 - kNodeBits);
  if (node >= kNodes) return nodes[kNodes];
  return nodes[node] + (((nodes[node + 1] - nodes[node]) * static_cast<std::int64_t>(t & 255)) >> 8);
}

std::int64_t rounded(std::int64_t mass, std::int64_t total) noexcept {
  return ((mass << kProbBits) + total / 2) / total;
}

std::unique_ptr<Coefficients> make_coefficients(int number) {
  auto made = std::make_unique<Coefficients>();
  const int shape = (number - 1) / kScales, scale = (number - 1) % kScales;
  const std::int64_t a = scale_of(kFirstOctave[static_cast<std::size_t>(shape)], scale);
  const std::int64_t half = mass_of(shape)[kNodes], total = 2 * half;
  std::int64_t left = kTotal;
  std::int64_t low = below(shape, a, kFirstEdge, kPerStep);
  made->slots.fill(0);
  for (std::size_t k = 1; k <= kMostCoefficient; ++k) {
    const std::int64_t high = below(shape, a, static_cast<std::int64_t>(k) * kPerStep + kFirstEdge, kPerStep);
    const std::int64_t n = rounded(high - low, total);
    made->slots[kMostCoefficient + k] = made->slots[kMostCoefficient - k] = static_cast<std::uint16_t>(n);
    if (n > 0) made->reach = static_cast<int>(k);
    left -= 2 * n;
    low = high;
  }
  const std::int64_t escape = std::max<std::int64_t>(1, rounded(2 * (half - low), total));
  made->slots[kCoefficientEscape] = static_cast<std::uint16_t>(escape);
  made->slots[kMostCoefficient] = static_cast<std::uint16_t>(left - escape);
  made->order = std::max(0, kFirstOctave[static_cast<std::size_t>(shape)] + scale / 8);
  fill(made->decode, made->slots);
  return made;
}

// Slots below the edge that is k - 255.5 levels above the centre.
using Edges = std::array<std::uint16_t, 512>;

std::unique_ptr<Edges> make_edges(int number) {
  auto made = std::make_unique<Edges>();
  const int shape = number / kLevelScales;
  const std::int64_t a = scale_of(-1, number % kLevelScales);
  const std::int64_t half = mass_of(shape)[kNodes];
  for (std::size_t k = 0; k < 256; ++k) {
    const std::int64_t mass = below(shape, a, 2 * static_cast<std::int64_t>(k) + 1, 2);
    (*made)[256 + k] = static_cast<std::uint16_t>(((half + mass) * (kTotal - 1) + half) / (2 * half));
    (*made)[255 - k] = static_cast<std::uint16_t>(((half - mass) * (kTotal - 1) + half) / (2 * half));
  }
  return made;
}

// One of a fixed number of things, made when it is first asked for and kept for the life of the process.
template <typename T, std::size_t kCount>
class Kept {
 public:
  template <typename Make>
  const T& get(int number, Make make) {
    std::atomic<const T*>& place = places_[static_cast<std::size_t>(number)];
    const T* here = place.load(std::memory_order_acquire);
    if (here != nullptr) return *here;
    std::unique_ptr<const T> made = make(number);
    if (place.compare_exchange_strong(here, made.get(), std::memory_order_acq_rel)) return *made.release();
    return *here;  // another thread was faster
  }

 private:
  std::array<std::atomic<const T*>, kCount> places_{};
};

Kept<Coefficients, kTables> kept_coefficients;
Kept<Edges, 256> kept_edges;
Kept<DecodeTable, 256> kept_decoders;

}  // namespace

const Coefficients& coefficients(int number) { return kept_coefficients.get(number, make_coefficients); }

Slots level_slots(int number, int centre, bool clipped) {
  const Edges& edges = kept_edges.get(number, make_edges);
  const std::uint16_t* const above = edges.data() + (128 - centre);  // of the edge above level `symbol - 128`
  Slots found;
  for (std::size_t symbol = 1; symbol < found.size(); ++symbol) {
    found[symbol] = static_cast<std::uint16_t>(above[symbol] - above[symbol - 1]);
  }
  int sum = above[255] - above[0];
  if (clipped) {
    found[1] = static_cast<std::uint16_t>(found[1] + above[0]);
    found[255] = static_cast<std::uint16_t>(found[255] + kTotal - 1 - above[255]);
    sum = kTotal - 1;
  }
  found[kLevelEscape] = static_cast<std::uint16_t>(static_cast<int>(kTotal) - sum);
  return found;
}

const DecodeTable& residual_decoder(int number) {
  return kept_decoders.get(number, [](int wanted) {
    auto made = std::make_unique<DecodeTable>();
    fill(*made, level_slots(wanted, 0, false));
    return made;
  });
}

void fill(DecodeTable& table, const Slots& slots) noexcept {
  constexpr std::uint64_t kOne = std::uint64_t{1} << 20, kTwo = 2 * (kOne | kOne << 32);
  std::uint32_t* at = table.entries.data();
  for (std::uint32_t symbol = 0; symbol < slots.size(); ++symbol) {
    const std::uint32_t n = slots[symbol];
    const std::uint64_t entry = symbol | n << 8;
    std::uint64_t pair = entry | (entry | kOne) << 32;
    for (std::uint32_t i = 0; i < n; i += 8) {  // the next symbol overwrites what is too much, or it is spare
      for (std::uint32_t j = 0; j < 8; j += 2, pair += kTwo) std::memcpy(at + i + j, &pair, sizeof(pair));
    }
    at += n;
  }
}

const std::array<std::int64_t, kTotal + 1>& log_costs() {
  static const std::array<std::int64_t, kTotal + 1> costs = [] {
    std::array<std::int64_t, kTotal + 1> found{};
    found[0] = 24 * kLogUnit;
    for (std::uint64_t f = 1; f <= kTotal; ++f) {
      int whole = 0;
      while (f >> (whole + 1)) ++whole;
      std::uint64_t x = f << (30 - whole);
      std::int64_t log = 0;
      for (int i = 0; i < 16; ++i) {
        x = (x * x) >> 30;
        log = log << 1 | static_cast<std::int64_t>(x >> 31);
        x >>= x >> 31;
      }
      found[f] = (kProbBits - whole) * kLogUnit - log;
    }
    return found;
  }();
  return costs;
}

int eighths(std::uint64_t value) noexcept {
  int whole = 0;
  while (value >> (whole + 1)) ++whole;
  const auto mantissa = static_cast<std::int64_t>((value << 16) >> whole);
  int found = 8 * whole - 1;
  for (const std::int64_t step : kEighths) found += mantissa >= step;
  return found;
}

}  // namespace sm::kv

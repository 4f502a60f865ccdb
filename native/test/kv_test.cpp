// The cartridge coder: every kernel against the serial one, streams that come back, and ten thousand that are damaged.
// All memory ends where its elements do, so that the address sanitizer sees what is read or written beyond.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "check.h"
#include "kv/cells.h"
#include "kv/levels.h"
#include "kv/rows.h"
#include "kv/stream.h"

namespace {

using sm::Kernels;
using sm::test::Block;
using sm::test::check;
using sm::test::Random;
using Bytes = std::vector<std::uint8_t>;

struct Exact : Block<std::uint8_t> {
  explicit Exact(const Bytes& from) : Block(from.size()) { std::copy(from.begin(), from.end(), begin()); }
};

std::vector<std::int8_t> some_levels(Random& random, std::size_t n, std::size_t channels) {
  std::vector<std::int8_t> q(n * channels);
  for (std::size_t c = 0; c < channels; ++c) {
    const float wide = std::exp2(static_cast<float>(random.between(-2, 7))), centre = 20 * random.normal();
    const float memory = random.between(0, 2) == 0 ? 0.9F : 0.0F;
    float x = 0;
    for (std::size_t r = 0; r < n; ++r) {
      x = memory * x + random.normal();
      q[r * channels + c] = static_cast<std::int8_t>(std::clamp(std::lround(x * wide + centre), -128L, 127L));
    }
  }
  return q;
}

struct Coefficients {
  Coefficients(Random& random, std::size_t n, std::size_t n_components)
      : z(n * n_components), table_of(3 * n_components), classes(n) {
    for (auto& table : table_of) table = static_cast<std::uint8_t>(random.between(0, sm::kv::kTables - 1));
    for (auto& class_ : classes) class_ = static_cast<std::uint8_t>(random.between(0, 2));
    for (std::size_t i = 0; i < z.size(); ++i) {
      if (table_of[classes[i / n_components] * n_components + i % n_components] == 0) continue;
      z[i] = static_cast<std::int16_t>(std::lround(random.normal() * 3));
      if (random.between(0, 200) == 0) z[i] = static_cast<std::int16_t>(random.between(-32767, 32767));
    }
  }
  sm::kv::Layout layout() const { return {classes.data(), classes.size(), table_of.data(), 3, table_of.size() / 3}; }
  std::vector<std::int16_t> z;
  std::vector<std::uint8_t> table_of;
  std::vector<std::uint8_t> classes;
};

// True where the stream was read; false where it was called damaged.
template <typename Read>
bool reads(Read read) {
  try {
    read();
    return true;
  } catch (const sm::kv::Damaged&) {
    return false;
  }
}

void levels_come_back(const Kernels& kernels, Random& random) {
  constexpr std::array<std::array<std::size_t, 2>, 6> kSizes{{{0, 3}, {1, 1}, {7, 33}, {200, 32}, {400, 70}, {700, 100}}};
  for (const auto& [n, channels] : kSizes) {
    const auto q = some_levels(random, n, channels);
    const Exact coded(sm::kv::encode_q8(q.data(), n, channels));
    Block<std::int8_t> found(n * channels);
    const bool levels_read =
        reads([&] { sm::kv::decode_q8(coded.data(), coded.size(), n, channels, kernels.rans_run, found.data()); });
    check(levels_read && std::equal(q.begin(), q.end(), found.begin()), "%s: %zu x %zu levels", kernels.isa, n, channels);
    std::vector<std::uint16_t> words(n * channels);
    for (auto& word : words) {
      const bool near = random.between(0, 9) != 0;
      word = static_cast<std::uint16_t>(near ? random.between(12000, 12900) : random.between(0, 65535));
    }
    const Exact scales(sm::kv::encode_scales(words.data(), n, channels));
    Block<std::uint16_t> back(n * channels);
    const bool scales_read =
        reads([&] { sm::kv::decode_scales(scales.data(), scales.size(), n, channels, kernels.rans_run, back.data()); });
    check(scales_read && std::equal(words.begin(), words.end(), back.begin()), "%s: %zu x %zu scales", kernels.isa, n,
          channels);
  }
}

void coefficients_come_back(const Kernels& kernels, Random& random) {
  for (const std::size_t n : {0, 1, 5, 63, 300, 1500}) {
    const std::size_t width = 70, n_dims = 37;
    const Coefficients some(random, n, width);
    const Exact coded(sm::kv::encode_rows(some.z.data(), some.layout()));
    Block<std::int16_t> found(n * width);
    const bool rows_read =
        reads([&] { sm::kv::decode_rows(coded.data(), coded.size(), some.layout(), kernels.rans_run, found.data()); });
    check(rows_read && std::equal(some.z.begin(), some.z.end(), found.begin()), "%s: %zu rows", kernels.isa, n);
    Block<float> steps(3), centroids(2 * width), matrix(width * n_dims), mean(n_dims);
    Block<float> rows(n * n_dims), expected(n * n_dims);
    for (Block<float>* block : {&steps, &centroids, &matrix, &mean}) {
      for (float& x : *block) x = random.normal();
    }
    const sm::kv::Dequantizer dequantizer{steps.data(), centroids.data(), 2, matrix.data(), mean.data(), n_dims};
    check(reads([&] {
            sm::kv::decode_head(coded.data(), coded.size(), some.layout(), dequantizer,
                                {kernels.rans_run, kernels.lookup_f32, kernels.synthesis_f32}, rows.data());
            sm::kv::decode_head(coded.data(), coded.size(), some.layout(), dequantizer,
                                {sm::sm_rans_run_serial, sm::sm_lookup_f32_serial, sm::sm_synthesis_f32_serial},
                                expected.data());
          }), "%s: %zu rows are not read", kernels.isa, n);
    for (std::size_t r = 0; r < n; ++r) {
      float most = 1;  // what sums of this size may differ by
      for (std::size_t c = 0; c < width; ++c) {
        most = std::max(most, std::fabs(static_cast<float>(some.z[r * width + c])));
      }
      for (std::size_t d = 0; d < n_dims; ++d) {
        const std::size_t i = r * n_dims + d;
        if (!check(std::fabs(rows[i] - expected[i]) <= 2e-4F * most, "%s: row %zu differs", kernels.isa, r)) return;
      }
    }
  }
}

void symbols_are_looked_up(const Kernels& kernels, Random& random) {
  Block<float> values(sm::kMostSymbols);
  for (float& x : values) x = random.normal();
  for (std::size_t n = 0; n < 140; ++n) {
    Block<std::uint8_t> symbols(n);
    random.fill(symbols, 0, static_cast<int>(sm::kMostSymbols) - 1);
    Block<float> found(n), expected(n);
    kernels.lookup_f32(values.data(), symbols.data(), n, found.data());
    sm::sm_lookup_f32_serial(values.data(), symbols.data(), n, expected.data());
    check(std::equal(found.begin(), found.end(), expected.begin()), "%s: %zu symbols", kernels.isa, n);
  }
}

// Rows that are added to, their factors side by side or a stride apart.
void rows_are_added_to(const Kernels& kernels, Random& random) {
  for (int i = 0; i < 60; ++i) {
    const auto n = static_cast<std::size_t>(random.between(0, 60));
    const auto dims = static_cast<std::size_t>(random.between(1, 90));
    const auto told = static_cast<std::size_t>(random.between(1, 70));
    Block<float> rows(n * told), mean(told), matrix(told * dims), found(n * dims), expected(n * dims);
    for (Block<float>* block : {&rows, &mean, &matrix, &found}) {
      for (float& x : *block) x = random.normal();
    }
    std::copy(found.begin(), found.end(), expected.begin());
    const sm::kv::Told from{rows.data(), n, mean.data(), matrix.data(), told, dims};
    sm::kv::add_told(from, kernels.synthesis_f32, found.data());
    sm::kv::add_told(from, sm::sm_synthesis_f32_serial, expected.data());
    float most = 0;
    for (std::size_t k = 0; k < found.size(); ++k) most = std::max(most, std::fabs(found[k] - expected[k]));
    check(most <= 2e-4F, "%s: %zu rows of %zu told by %zu differ", kernels.isa, n, dims, told);
  }
}

Bytes damaged(const Bytes& coded, Random& random) {
  Bytes wrong = coded;
  const auto any = [&] { return static_cast<std::size_t>(random.between(0, static_cast<int>(wrong.size()) - 1)); };
  switch (random.between(0, 4)) {
    case 0: wrong.resize(any()); break;
    case 1: wrong.insert(wrong.begin() + static_cast<std::ptrdiff_t>(any()), std::uint8_t{7}); break;
    case 2: wrong.erase(wrong.begin() + static_cast<std::ptrdiff_t>(any())); break;
    case 3:
      for (int i = random.between(1, 40); i > 0; --i) wrong[any()] = static_cast<std::uint8_t>(random.bits());
      break;
    default: wrong[any()] ^= static_cast<std::uint8_t>(1U << random.between(0, 7)); break;
  }
  return wrong;
}

// Whatever the bytes are, nothing is read or written elsewhere; most of what changed is found.
void damage_is_survived(const Kernels& kernels, Random& random, int n_times) {
  constexpr std::size_t kRows = 150, kWidth = 33;
  const auto q = some_levels(random, kRows, kWidth);
  const Bytes levels = sm::kv::encode_q8(q.data(), kRows, kWidth);
  std::vector<std::uint16_t> words(kRows * kWidth);
  for (auto& word : words) word = static_cast<std::uint16_t>(9000 + random.between(0, 2000));
  const Bytes scales = sm::kv::encode_scales(words.data(), kRows, kWidth);
  const Coefficients some(random, 700, kWidth);
  const Bytes rows = sm::kv::encode_rows(some.z.data(), some.layout());
  int n_found = 0;
  for (int i = 0; i < n_times; ++i) {
    const Exact a(damaged(levels, random)), b(damaged(scales, random)), c(damaged(rows, random));
    Block<std::int8_t> out(kRows * kWidth);
    Block<std::uint16_t> bits(kRows * kWidth);
    Block<std::int16_t> z(700 * kWidth);
    n_found += !reads([&] { sm::kv::decode_q8(a.data(), a.size(), kRows, kWidth, kernels.rans_run, out.data()); });
    n_found += !reads([&] { sm::kv::decode_scales(b.data(), b.size(), kRows, kWidth, kernels.rans_run, bits.data()); });
    n_found += !reads([&] { sm::kv::decode_rows(c.data(), c.size(), some.layout(), kernels.rans_run, z.data()); });
  }
  check(n_found > n_times * 3 / 2, "%s: only %d of %d damaged streams are refused", kernels.isa, n_found, 3 * n_times);
}

// Random states and words: a run may fail, but touches only what is its own.
void any_bytes_run(const Kernels& kernels, Random& random) {
  sm::kv::DecodeTable table;
  sm::kv::fill(table, sm::kv::level_slots(50, 3, true));
  for (int i = 0; i < 2000; ++i) {
    const int lanes = 4 << random.between(0, 3);
    const auto n = static_cast<std::size_t>(random.between(0, 300));
    Block<std::uint32_t> states(static_cast<std::size_t>(lanes)), same(static_cast<std::size_t>(lanes));
    for (std::size_t k = 0; k < states.size(); ++k) {
      states[k] = same[k] = static_cast<std::uint32_t>(random.bits()) >> random.between(0, 31);
    }
    Block<std::uint8_t> words(static_cast<std::size_t>(random.between(0, 400))), out(n), expected(n);
    random.fill(words, 0, 255);
    const auto run = [&](sm::RansRun kernel, Block<std::uint32_t>& from, Block<std::uint8_t>& to) {
      return kernel({from.data(), lanes, table.entries.data(), words.data(), words.end(), to.data(), n});
    };
    const auto* end = run(kernels.rans_run, states, out);
    const auto* expected_end = run(sm::sm_rans_run_serial, same, expected);
    const bool equal = std::equal(out.begin(), out.end(), expected.begin()) &&
                       std::equal(states.begin(), states.end(), same.begin());
    check(end == expected_end && (end == nullptr || equal), "%s: a run of %zu by %d coders", kernels.isa, n, lanes);
  }
}

void float16_is_equal(const Kernels& kernels, Random& random) {
  Block<std::uint16_t> halves(1 << 16), narrow(1 << 16), expected_narrow(1 << 16);
  Block<float> wide(1 << 16), expected(1 << 16);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  kernels.widen_f16(halves.data(), wide.data(), halves.size());
  sm::sm_widen_f16_serial(halves.data(), expected.data(), halves.size());
  check(std::memcmp(wide.data(), expected.data(), sizeof(float) << 16) == 0, "%s: widened float16 differ", kernels.isa);
  for (int round = 0; round < 8; ++round) {
    for (float& x : wide) {
      const auto bits = static_cast<std::uint32_t>(random.bits());
      std::memcpy(&x, &bits, sizeof(x));
      if (round > 3) x = random.normal() * std::exp2(static_cast<float>(random.between(-28, 18)));
    }
    const auto n = static_cast<std::size_t>(random.between(65500, 65536));
    kernels.narrow_f32(wide.data(), narrow.data(), n);
    sm::sm_narrow_f32_serial(wide.data(), expected_narrow.data(), n);
    const bool equal = std::equal(narrow.data(), narrow.data() + n, expected_narrow.data());
    check(equal, "%s: narrowed float32 differ", kernels.isa);
  }
}

void rows_become_columns(Random& random) {
  for (int i = 0; i < 200; ++i) {
    const auto n = static_cast<std::size_t>(random.between(0, 100));
    const auto dims = static_cast<std::size_t>(random.between(1, 70));
    Block<std::uint16_t> rows(n * dims), found(n * dims);
    random.fill(rows, 0, 65535);
    sm::kv::columns16(rows.data(), n, dims, found.data());
    bool equal = true;
    for (std::size_t k = 0; k < n * dims; ++k) equal = equal && found[k % dims * n + k / dims] == rows[k];
    check(equal, "%zu rows of %zu elements", n, dims);
  }
}

}  // namespace

int main() {
  Random columns(12);
  rows_become_columns(columns);
  for (const Kernels& kernels : sm::available_kernels()) {
    Random random(11);
    levels_come_back(kernels, random);
    coefficients_come_back(kernels, random);
    symbols_are_looked_up(kernels, random);
    rows_are_added_to(kernels, random);
    any_bytes_run(kernels, random);
    float16_is_equal(kernels, random);
    damage_is_survived(kernels, random, 3400);  // three streams each time
  }
  return sm::test::finish("kv");
}

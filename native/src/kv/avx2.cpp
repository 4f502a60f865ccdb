// AVX2 with FMA and F16C: eight coders in a register; words are spread to the coders that take one by a table of 256.
#include <immintrin.h>

#include <array>

#include "lane.h"

namespace sm {

namespace {

using Spread = std::array<std::array<std::uint32_t, 8>, 256>;

// Where each of eight coders finds its word, for every choice of coders that take one.
constexpr Spread make_spread() {
  Spread found{};
  for (std::size_t mask = 0; mask < 256; ++mask) {
    std::uint32_t next = 0;
    for (std::size_t lane = 0; lane < 8; ++lane) {
      found[mask][lane] = next;
      if (mask >> lane & 1) ++next;
    }
  }
  return found;
}

alignas(64) constexpr Spread kSpread = make_spread();

// One step of those of eight coders that are `some`; their table entries stay in `entries`.
inline __m256i step8(__m256i states, __m256i some, const std::uint32_t* table, const std::uint8_t*& words,
                     __m256i& entries) noexcept {
  const __m256i slots = _mm256_and_si256(states, _mm256_set1_epi32(kv::kTotal - 1));
  entries = _mm256_i32gather_epi32(reinterpret_cast<const int*>(table), slots, 4);
  const __m256i n = _mm256_and_si256(_mm256_srli_epi32(entries, 8), _mm256_set1_epi32(0xFFF));
  const __m256i stepped = _mm256_add_epi32(_mm256_mullo_epi32(n, _mm256_srli_epi32(states, kv::kProbBits)),
                                           _mm256_srli_epi32(entries, 20));
  const __m256i low =
      _mm256_and_si256(some, _mm256_cmpeq_epi32(_mm256_srli_epi32(stepped, 16), _mm256_setzero_si256()));
  const auto mask = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(low)));
  const __m256i taken = _mm256_permutevar8x32_epi32(
      _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(words))),
      _mm256_load_si256(reinterpret_cast<const __m256i*>(kSpread[mask].data())));
  words += 2 * _mm_popcnt_u32(mask);
  states = _mm256_blendv_epi8(states, stepped, some);
  return _mm256_blendv_epi8(states, _mm256_or_si256(_mm256_slli_epi32(stepped, 16), taken), low);
}

// The lowest bytes of eight entries.
inline void put8(__m256i entries, std::uint8_t* out) noexcept {
  const __m256i first = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                         0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i bytes = _mm256_shuffle_epi8(entries, first);
  const __m128i both = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(out), both);
}

template <std::size_t kRegisters>
const std::uint8_t* run8(const RansRunArgs& args) noexcept {
  constexpr std::size_t kLanes = 8 * kRegisters;
  const std::uint8_t* words = args.words;
  __m256i states[kRegisters];
  auto* const at = reinterpret_cast<__m256i*>(args.states);
  for (std::size_t k = 0; k < kRegisters; ++k) states[k] = _mm256_loadu_si256(at + k);
  std::size_t i = 0;
  for (; i + kLanes <= args.n && args.end - words >= static_cast<std::ptrdiff_t>(2 * kLanes); i += kLanes) {
    for (std::size_t k = 0; k < kRegisters; ++k) {
      __m256i entries;
      states[k] = step8(states[k], _mm256_set1_epi32(-1), args.table, words, entries);
      put8(entries, args.out + i + 8 * k);
    }
  }
  if (args.end - words >= static_cast<std::ptrdiff_t>(2 * kLanes)) {
    for (std::size_t k = 0; k < kRegisters && i < args.n; ++k) {
      const std::size_t n = args.n - i < 8 ? args.n - i : 8;
      const __m256i some = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),  //
                                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
      __m256i entries;
      states[k] = step8(states[k], some, args.table, words, entries);
      alignas(8) std::uint8_t symbols[8];
      put8(entries, symbols);
      std::memcpy(args.out + i, symbols, n);
      i += n;
    }
  }
  for (std::size_t k = 0; k < kRegisters; ++k) _mm256_storeu_si256(at + k, states[k]);
  return rest(args, words, i, args.n);
}

// kRows rows at once, sixteen dimensions of each in registers.
template <std::size_t kRows>
void rows16(const SynthesisArgs& args, std::size_t r, std::size_t d) noexcept {
  __m256 sums[kRows][2];
  const bool adds = args.mean == nullptr;
#pragma GCC unroll 6
  for (std::size_t i = 0; i < kRows; ++i) {
    sums[i][0] = adds ? _mm256_setzero_ps() : _mm256_loadu_ps(args.mean + d);
    sums[i][1] = adds ? _mm256_setzero_ps() : _mm256_loadu_ps(args.mean + d + 8);
  }
  const std::size_t step = args.y_step;
  for (std::size_t c = 0; c < args.n_components; ++c) {
    const __m256 first = _mm256_loadu_ps(args.matrix[c] + d), second = _mm256_loadu_ps(args.matrix[c] + d + 8);
    const float* const y = args.y + c * args.y_stride + r * step;
#pragma GCC unroll 6
    for (std::size_t i = 0; i < kRows; ++i) {
      const __m256 factor = _mm256_broadcast_ss(y + i * step);
      sums[i][0] = _mm256_fmadd_ps(factor, first, sums[i][0]);
      sums[i][1] = _mm256_fmadd_ps(factor, second, sums[i][1]);
    }
  }
#pragma GCC unroll 6
  for (std::size_t i = 0; i < kRows; ++i) {
    float* const out = args.out[r + i] + d;
    if (adds) {
      sums[i][0] = _mm256_add_ps(_mm256_loadu_ps(out), sums[i][0]);
      sums[i][1] = _mm256_add_ps(_mm256_loadu_ps(out + 8), sums[i][1]);
    }
    _mm256_storeu_ps(out, sums[i][0]);
    _mm256_storeu_ps(out + 8, sums[i][1]);
  }
}

void column(const SynthesisArgs& args, std::size_t r, std::size_t d) noexcept {
  float sum = args.mean != nullptr ? args.mean[d] : args.out[r][d];
  for (std::size_t c = 0; c < args.n_components; ++c) {
    sum += args.y[c * args.y_stride + r * args.y_step] * args.matrix[c][d];
  }
  args.out[r][d] = sum;
}

}  // namespace

const std::uint8_t* sm_rans_run_avx2(const RansRunArgs& args) noexcept {
  switch (args.n_lanes) {
    case 32: return run8<4>(args);
    case 16: return run8<2>(args);
    default: return run_by_words(args);  // one register waits for itself longer than words do
  }
}

void sm_lookup_f32_avx2(const float* values, const std::uint8_t* symbols, std::size_t n, float* out) noexcept {
  const __m256 quarters[4] = {_mm256_loadu_ps(values), _mm256_loadu_ps(values + 8), _mm256_loadu_ps(values + 16),
                              _mm256_loadu_ps(values + 24)};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256i which = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(symbols + i)));
    const __m256 by8 = _mm256_castsi256_ps(_mm256_slli_epi32(which, 28));   // a blend looks at the sign
    const __m256 by16 = _mm256_castsi256_ps(_mm256_slli_epi32(which, 27));
    const __m256 low = _mm256_blendv_ps(_mm256_permutevar8x32_ps(quarters[0], which),
                                        _mm256_permutevar8x32_ps(quarters[1], which), by8);
    const __m256 high = _mm256_blendv_ps(_mm256_permutevar8x32_ps(quarters[2], which),
                                         _mm256_permutevar8x32_ps(quarters[3], which), by8);
    _mm256_storeu_ps(out + i, _mm256_blendv_ps(low, high, by16));
  }
  for (; i < n; ++i) out[i] = values[symbols[i]];
}

void sm_synthesis_f32_avx2(const SynthesisArgs& args) noexcept {
  const std::size_t whole = args.n_dims / 16 * 16;
  std::size_t r = 0;
  for (; r + 6 <= args.n_rows; r += 6) {
    for (std::size_t d = 0; d < whole; d += 16) rows16<6>(args, r, d);
  }
  for (; r < args.n_rows; ++r) {
    for (std::size_t d = 0; d < whole; d += 16) rows16<1>(args, r, d);
  }
  for (std::size_t d = whole; d < args.n_dims; ++d) {
    for (r = 0; r < args.n_rows; ++r) column(args, r, d);
  }
}

void sm_widen_f16_avx2(const std::uint16_t* from, float* to, std::size_t n) noexcept {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
  }
  for (; i < n; ++i) to[i] = _cvtsh_ss(from[i]);
}

void sm_narrow_f32_avx2(const float* from, std::uint16_t* to, std::size_t n) noexcept {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT;
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), kNearest));
  }
  for (; i < n; ++i) to[i] = _cvtss_sh(from[i], kNearest);
}

}  // namespace sm

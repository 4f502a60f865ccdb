// AVX-512: sixteen coders in a register, eight in half of one; words are spread by the instruction made for it.
#include <immintrin.h>

#include "lane.h"

namespace sm {

namespace {

// One step of `some` of sixteen coders, whose table entries stay in `entries`; the others are left as they are.
inline __m512i step16(__m512i states, __mmask16 some, const std::uint32_t* table, const std::uint8_t*& words,
                      __m512i& entries) noexcept {
  const __m512i slots = _mm512_and_si512(states, _mm512_set1_epi32(kv::kTotal - 1));
  entries = _mm512_i32gather_epi32(slots, table, 4);
  const __m512i n = _mm512_and_si512(_mm512_srli_epi32(entries, 8), _mm512_set1_epi32(0xFFF));
  // States and slots are below 2^20 and 2^12, so that 16-bit halves would not do; this multiplication is of 32 bits.
  const __m512i stepped = _mm512_add_epi32(_mm512_mullo_epi32(n, _mm512_srli_epi32(states, kv::kProbBits)),
                                           _mm512_srli_epi32(entries, 20));
  const __mmask16 low = _mm512_mask_cmplt_epu32_mask(some, stepped, _mm512_set1_epi32(0x10000));
  const __m512i next = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)));
  const __m512i taken = _mm512_maskz_expand_epi32(low, next);
  words += 2 * _mm_popcnt_u32(low);
  states = _mm512_mask_mov_epi32(states, some, stepped);
  return _mm512_mask_or_epi32(states, low, _mm512_slli_epi32(stepped, 16), taken);
}

template <std::size_t kRegisters>
const std::uint8_t* run16(const RansRunArgs& args) noexcept {
  constexpr std::size_t kLanes = 16 * kRegisters;
  const std::uint8_t* words = args.words;
  __m512i states[kRegisters];
  for (std::size_t k = 0; k < kRegisters; ++k) states[k] = _mm512_loadu_si512(args.states + 16 * k);
  std::size_t i = 0;
  for (; i + kLanes <= args.n && args.end - words >= static_cast<std::ptrdiff_t>(2 * kLanes); i += kLanes) {
    for (std::size_t k = 0; k < kRegisters; ++k) {
      __m512i entries;
      states[k] = step16(states[k], 0xFFFF, args.table, words, entries);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(args.out + i + 16 * k), _mm512_cvtepi32_epi8(entries));
    }
  }
  if (args.end - words >= static_cast<std::ptrdiff_t>(2 * kLanes)) {
    for (std::size_t k = 0; k < kRegisters && i < args.n; ++k) {
      const std::size_t n = args.n - i < 16 ? args.n - i : 16;
      const auto some = static_cast<__mmask16>((1U << n) - 1U);
      __m512i entries;
      states[k] = step16(states[k], some, args.table, words, entries);
      _mm512_mask_cvtepi32_storeu_epi8(args.out + i, some, entries);
      i += n;
    }
  }
  for (std::size_t k = 0; k < kRegisters; ++k) _mm512_storeu_si512(args.states + 16 * k, states[k]);
  return rest(args, words, i, args.n);
}

// kRows rows at once, 16 * kWide dimensions (or the last few, by mask) of each in registers; loops over these must be
// unrolled for that, which GCC does not do for twelve.
template <std::size_t kRows, std::size_t kWide>
void rows16(const SynthesisArgs& args, std::size_t r, std::size_t d, __mmask16 mask) noexcept {
  __m512 sums[kRows][kWide];
#pragma GCC unroll 2
  for (std::size_t k = 0; k < kWide; ++k) {
    const bool adds = args.mean == nullptr;
    const __m512 first = adds ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(mask, args.mean + d + 16 * k);
#pragma GCC unroll 12
    for (std::size_t i = 0; i < kRows; ++i) sums[i][k] = first;
  }
  const std::size_t step = args.y_step;
  for (std::size_t c = 0; c < args.n_components; ++c) {
    __m512 row[kWide];
#pragma GCC unroll 2
    for (std::size_t k = 0; k < kWide; ++k) row[k] = _mm512_maskz_loadu_ps(mask, args.matrix[c] + d + 16 * k);
    const float* const y = args.y + c * args.y_stride + r * step;
#pragma GCC unroll 12
    for (std::size_t i = 0; i < kRows; ++i) {
      const __m512 factor = _mm512_set1_ps(y[i * step]);
#pragma GCC unroll 2
      for (std::size_t k = 0; k < kWide; ++k) sums[i][k] = _mm512_fmadd_ps(factor, row[k], sums[i][k]);
    }
  }
#pragma GCC unroll 12
  for (std::size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (std::size_t k = 0; k < kWide; ++k) {
      float* const out = args.out[r + i] + d + 16 * k;
      if (args.mean == nullptr) sums[i][k] = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), sums[i][k]);
      _mm512_mask_storeu_ps(out, mask, sums[i][k]);
    }
  }
}

}  // namespace

const std::uint8_t* sm_rans_run_avx512(const RansRunArgs& args) noexcept {
  switch (args.n_lanes) {
    case 32: return run16<2>(args);
    case 16: return run16<1>(args);
    default: return run_by_words(args);
  }
}

void sm_lookup_f32_avx512(const float* values, const std::uint8_t* symbols, std::size_t n, float* out) noexcept {
  const __m512 low = _mm512_loadu_ps(values), high = _mm512_loadu_ps(values + 16);
  for (std::size_t i = 0; i < n; i += 16) {
    const auto some = static_cast<__mmask16>(n - i >= 16 ? 0xFFFFU : (1U << (n - i)) - 1U);
    const __m512i which = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(some, symbols + i));
    _mm512_mask_storeu_ps(out + i, some, _mm512_permutex2var_ps(low, which, high));
  }
}

void sm_synthesis_f32_avx512(const SynthesisArgs& args) noexcept {
  std::size_t d = 0;
  for (; d + 32 <= args.n_dims; d += 32) {
    std::size_t r = 0;
    for (; r + 12 <= args.n_rows; r += 12) rows16<12, 2>(args, r, d, 0xFFFF);
    for (; r < args.n_rows; ++r) rows16<1, 2>(args, r, d, 0xFFFF);
  }
  for (; d < args.n_dims; d += 16) {
    const std::size_t left = args.n_dims - d;
    const auto mask = static_cast<__mmask16>(left >= 16 ? 0xFFFFU : (1U << left) - 1U);
    std::size_t r = 0;
    for (; r + 12 <= args.n_rows; r += 12) rows16<12, 1>(args, r, d, mask);
    for (; r < args.n_rows; ++r) rows16<1, 1>(args, r, d, mask);
  }
}

}  // namespace sm

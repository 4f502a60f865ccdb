// What the kernels of the scan family with 256-bit registers share. Internal linkage for the same reason as in paths.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "scan/scan.h"

namespace sm {
namespace {

inline __m256i load(const void* at) noexcept { return _mm256_load_si256(static_cast<const __m256i*>(at)); }

inline void store(std::int32_t* at, __m128i v) noexcept { _mm_storeu_si128(reinterpret_cast<__m128i*>(at), v); }

// The sum of each register's eight elements, side by side.
inline __m128i reduce(const __m256i (&v)[4]) noexcept {
  const __m256i sums = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
  return _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

inline std::uint64_t above_ymm(const std::int32_t* scores, std::int32_t threshold) noexcept {
  const __m256i least = _mm256_set1_epi32(threshold);
  std::uint64_t word = 0;
  for (int r = 0; r < kPageRows; r += 8) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scores + r));
    const int bits = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(v, least)));
    word |= std::uint64_t{static_cast<unsigned>(bits)} << r;
  }
  return word;
}

}  // namespace
}  // namespace sm

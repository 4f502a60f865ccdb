// What the kernels of the scan family with 256-bit registers share. Internal linkage for the same reason as in paths.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "scan/scan.h"

namespace sm {
namespace {

inline __m256i load(const void* at) noexcept { return _mm256_load_si256(static_cast<const __m256i*>(at)); }

// The sum of each register's eight elements, side by side.
inline __m128i reduce(const __m256i (&v)[4]) noexcept {
  const __m256i sums = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
  return _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

// Writes four scores and returns a bit for each above the threshold.
inline unsigned report(__m128i scores, std::int32_t threshold, std::int32_t* out) noexcept {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), scores);
  const __m128i above = _mm_cmpgt_epi32(scores, _mm_set1_epi32(threshold));
  return static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(above)));
}

}  // namespace
}  // namespace sm

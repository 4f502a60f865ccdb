// What the kernels of the dot family with 256-bit registers share. Internal linkage for the same reason as in rows.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace sm {
namespace {

inline __m256i load(const std::int8_t* at) noexcept { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }

// The sum of each register's eight elements, side by side.
inline __m128i reduce(const __m256i (&v)[4]) noexcept {
  const __m256i sums = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
  return _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

inline std::int32_t reduce(__m256i v) noexcept {
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1));
  return _mm_cvtsi128_si32(sum);
}

// All bits in the last n of 32 bytes, for a last block that begins in what was already multiplied.
inline __m256i last(std::int64_t n) noexcept {
  alignas(32) static constexpr std::int8_t kBytes[64] = {
      0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
      0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
      -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
  return load(kBytes + n);
}

// Rows too short for a block.
inline std::int32_t dot_short(const std::int8_t* query, const std::int8_t* row, std::int64_t n_dims) noexcept {
  std::int32_t sum = 0;
  for (std::int64_t d = 0; d < n_dims; ++d) sum += std::int32_t{query[d]} * std::int32_t{row[d]};
  return sum;
}

}  // namespace
}  // namespace sm

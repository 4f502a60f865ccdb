// AVX2: both sides are widened to int16, so that madd is exact for -128 * -128, which maddubs is not.
#include <immintrin.h>

#include "dot/dot.h"

namespace sm {

namespace {

inline __m256i widen(const std::int8_t* at) noexcept {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}

inline std::int32_t sum_lanes(__m256i v) noexcept {
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1));
  return _mm_cvtsi128_si32(sum);
}

std::int32_t dot(const std::int8_t* query, const std::int8_t* row, std::int64_t n_dims) noexcept {
  __m256i even = _mm256_setzero_si256();
  __m256i odd = _mm256_setzero_si256();  // two accumulators hide the latency of the additions
  std::int64_t d = 0;
  for (; d + 32 <= n_dims; d += 32) {
    even = _mm256_add_epi32(even, _mm256_madd_epi16(widen(query + d), widen(row + d)));
    odd = _mm256_add_epi32(odd, _mm256_madd_epi16(widen(query + d + 16), widen(row + d + 16)));
  }
  std::int32_t sum = sum_lanes(_mm256_add_epi32(even, odd));
  for (; d < n_dims; ++d) sum += std::int32_t{query[d]} * std::int32_t{row[d]};
  return sum;
}

}  // namespace

void sm_dot_i8_avx2(const DotI8Args& args) noexcept {
  for (std::int64_t r = 0; r < args.n_rows; ++r) {
    args.out[r] = dot(args.query, args.rows + r * args.row_stride, args.n_dims);
  }
}

}  // namespace sm

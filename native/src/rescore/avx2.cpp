// AVX2, with FMA for float32.
#include "rescore/rescore.h"

#include "rescore/fetch.h"

namespace sm {

namespace {

inline float sum_f32(__m256 v) noexcept {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

float dot_f32(const float* query, const float* row, std::int64_t n_dims) noexcept {
  __m256 sum[4];  // four hide the latency of fma
  for (__m256& s : sum) s = _mm256_setzero_ps();
  std::int64_t d = 0;
  for (; d + 32 <= n_dims; d += 32) {
    for (int i = 0; i < 4; ++i) {
      sum[i] = _mm256_fmadd_ps(_mm256_loadu_ps(query + d + 8 * i), _mm256_loadu_ps(row + d + 8 * i), sum[i]);
    }
  }
  for (; d + 8 <= n_dims; d += 8) {
    sum[0] = _mm256_fmadd_ps(_mm256_loadu_ps(query + d), _mm256_loadu_ps(row + d), sum[0]);
  }
  float total = sum_f32(_mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3])));
  for (; d < n_dims; ++d) total += query[d] * row[d];
  return total;
}

inline std::int64_t sum_i32(__m256i v) noexcept {
  const __m256i sum = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(v)),
                                       _mm256_cvtepi32_epi64(_mm256_extracti128_si256(v, 1)));
  const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  return _mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1);
}

inline __m128i load16(const void* at) noexcept { return _mm_load_si128(static_cast<const __m128i*>(at)); }

// The planes apart: a lane of a plane adds up 4,096 / 16 pairs, 256 * 2 * 32,385 * 127 = 2,105,802,240 < 2^31.
std::int64_t dot_i16(const std::int16_t* query, const std::uint8_t* high, const std::int8_t* low,
                     std::int64_t stride) noexcept {
  __m256i high_sum = _mm256_setzero_si256();
  __m256i low_sum = _mm256_setzero_si256();
  for (std::int64_t d = 0; d < stride; d += 16) {
    const __m256i q = _mm256_load_si256(reinterpret_cast<const __m256i*>(query + d));
    const __m256i h = _mm256_cvtepi8_epi16(_mm_xor_si128(load16(high + d), _mm_set1_epi8(-128)));
    const __m256i l = _mm256_cvtepi8_epi16(load16(low + d));
    high_sum = _mm256_add_epi32(high_sum, _mm256_madd_epi16(h, q));
    low_sum = _mm256_add_epi32(low_sum, _mm256_madd_epi16(l, q));
  }
  return kLowSteps * sum_i32(high_sum) + sum_i32(low_sum);
}

}  // namespace

void sm_rescore_f32_avx2(const RescoreF32Args& args) noexcept {
  for_rows(
      args.n_rows, [&](std::int64_t r) noexcept { fetch(args.rows[r], args.n_dims * 4); },
      [&](std::int64_t r) noexcept { args.out[r] = dot_f32(args.query, args.rows[r], args.n_dims); });
}

void sm_rescore_i16_avx2(const RescoreI16Args& args) noexcept {
  for_rows(
      args.n_rows,
      [&](std::int64_t r) noexcept {
        fetch(args.high[r], args.stride);
        fetch(args.low[r], args.stride);
      },
      [&](std::int64_t r) noexcept { args.out[r] = dot_i16(args.query, args.high[r], args.low[r], args.stride); });
}

}  // namespace sm

// AVX512 for float32; VNNI for the planes: with the query in bytes, too, four dpbusd score 64 elements.
#include "rescore/rescore.h"

#include "rescore/fetch.h"

namespace sm {

namespace {

float dot_f32(const float* query, const float* row, std::int64_t n_dims) noexcept {
  __m512 sum[4];  // four hide the latency of fma
  for (__m512& s : sum) s = _mm512_setzero_ps();
  std::int64_t d = 0;
  for (; d + 64 <= n_dims; d += 64) {
    for (int i = 0; i < 4; ++i) {
      sum[i] = _mm512_fmadd_ps(_mm512_loadu_ps(query + d + 16 * i), _mm512_loadu_ps(row + d + 16 * i), sum[i]);
    }
  }
  for (int i = 0; d < n_dims; d += 16, ++i) {
    const auto mask = static_cast<__mmask16>(n_dims - d >= 16 ? 0xFFFFU : (1U << (n_dims - d)) - 1U);
    sum[i] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, query + d), _mm512_maskz_loadu_ps(mask, row + d), sum[i]);
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
}

// query = 256 * upper + lower, both in [-128, 127] because the query is within +-32,385. The sums of products of the rows'
// bytes, read as u8, and the query's bytes fit int32 as in the scan.
class Planes {
 public:
  explicit Planes(const RescoreI16Args& args) noexcept : stride_(args.stride) {
    __m512i upper_sum = _mm512_setzero_si512();
    __m512i lower_sum = _mm512_setzero_si512();
    for (std::int64_t d = 0; d < stride_; d += 32) {
      const __m512i q = _mm512_load_si512(args.query + d);
      const __m512i upper = _mm512_srai_epi16(_mm512_add_epi16(q, _mm512_set1_epi16(128)), 8);
      const __m512i lower = _mm512_sub_epi16(q, _mm512_slli_epi16(upper, 8));
      upper_sum = _mm512_add_epi32(upper_sum, _mm512_madd_epi16(upper, _mm512_set1_epi16(128)));
      lower_sum = _mm512_add_epi32(lower_sum, _mm512_madd_epi16(lower, _mm512_set1_epi16(128)));
      _mm256_store_si256(reinterpret_cast<__m256i*>(upper_ + d), _mm512_cvtepi16_epi8(upper));
      _mm256_store_si256(reinterpret_cast<__m256i*>(lower_ + d), _mm512_cvtepi16_epi8(lower));
    }
    bias_ = 256 * std::int64_t{_mm512_reduce_add_epi32(upper_sum)} + _mm512_reduce_add_epi32(lower_sum);
  }

  std::int64_t dot(const std::uint8_t* high, const std::int8_t* low) const noexcept {
    __m512i high_upper = _mm512_setzero_si512();
    __m512i high_lower = high_upper;
    __m512i low_upper = high_upper;
    __m512i low_lower = high_upper;
    for (std::int64_t d = 0; d < stride_; d += 64) {
      const __m512i upper = _mm512_load_si512(upper_ + d);
      const __m512i lower = _mm512_load_si512(lower_ + d);
      const __m512i h = _mm512_load_si512(high + d);
      const __m512i l = _mm512_xor_si512(_mm512_load_si512(low + d), _mm512_set1_epi8(-128));
      high_upper = _mm512_dpbusd_epi32(high_upper, h, upper);
      high_lower = _mm512_dpbusd_epi32(high_lower, h, lower);
      low_upper = _mm512_dpbusd_epi32(low_upper, l, upper);
      low_lower = _mm512_dpbusd_epi32(low_lower, l, lower);
    }
    alignas(16) std::int32_t sums[4];
    _mm_store_si128(reinterpret_cast<__m128i*>(sums), reduce(high_upper, high_lower, low_upper, low_lower));
    const std::int64_t of_high = 256 * std::int64_t{sums[0]} + sums[1] - bias_;
    const std::int64_t of_low = 256 * std::int64_t{sums[2]} + sums[3] - bias_;
    return kLowSteps * of_high + of_low;
  }

 private:
  // The sum of each register's 16 elements, side by side.
  static __m128i reduce(__m512i a, __m512i b, __m512i c, __m512i d) noexcept {
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i quarters = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i halves = _mm256_add_epi32(_mm512_castsi512_si256(quarters), _mm512_extracti64x4_epi64(quarters, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  }

  alignas(64) std::int8_t upper_[kMaxStride];
  alignas(64) std::int8_t lower_[kMaxStride];
  std::int64_t stride_;
  std::int64_t bias_;  // 128 * sum of the query
};

}  // namespace

void sm_rescore_f32_avx512(const RescoreF32Args& args) noexcept {
  for_rows(
      args.n_rows, [&](std::int64_t r) noexcept { fetch(args.rows[r], args.n_dims * 4); },
      [&](std::int64_t r) noexcept { args.out[r] = dot_f32(args.query, args.rows[r], args.n_dims); });
}

void sm_rescore_i16_avx512vnni(const RescoreI16Args& args) noexcept {
  const Planes planes(args);
  for_rows(
      args.n_rows,
      [&](std::int64_t r) noexcept {
        fetch(args.high[r], args.stride);
        fetch(args.low[r], args.stride);
      },
      [&](std::int64_t r) noexcept { args.out[r] = planes.dot(args.high[r], args.low[r]); });
}

}  // namespace sm

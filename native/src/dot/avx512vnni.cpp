// AVX512-VNNI: dpbusd wants one unsigned side, so rows are read as x ^ 0x80 = x + 128, and
// 128 * sum of the query is taken off. Sums of long rows wrap on the way and are exact in the end, because dpbusd does
// not saturate.
#include <immintrin.h>

#include "dot/rows.h"

namespace sm {

namespace {

class Avx512Vnni {
 public:
  static constexpr int kBlock = 8;

  explicit Avx512Vnni(const DotI8Args& args) noexcept
      : query_(args.query), n_dims_(args.n_dims), row_stride_(args.row_stride),
        tail_((__mmask64{1} << (args.n_dims % 64)) - 1), bias_(_mm512_setzero_si512()) {
    for (std::int64_t d = 0; d < n_dims_; d += 64) {
      bias_ = _mm512_dpbusd_epi32(bias_, _mm512_set1_epi8(-128), load(query_ + d, mask(d)));
    }
    bias_sum_ = _mm_set1_epi32(_mm512_reduce_add_epi32(bias_));
  }

  template <int kRows>
  void sums(const std::int8_t* row, std::int32_t* out) const noexcept {
    constexpr int kChains = kRows == 1 ? 4 : 1;  // a single row needs them to hide the latency of dpbusd
    __m512i sum[kRows * kChains];
    for (__m512i& s : sum) s = _mm512_setzero_si512();
    std::int64_t d = 0;
    for (; d + 64 * kChains <= n_dims_; d += 64 * kChains) {
      for (int c = 0; c < kChains; ++c) add<kRows>(sum + c * kRows, row, d + 64 * c, ~__mmask64{0});
    }
    for (; d + 64 <= n_dims_; d += 64) add<kRows>(sum, row, d, ~__mmask64{0});
    if (d < n_dims_) add<kRows>(sum, row, d, tail_);
    for (int i = kRows; i < kRows * kChains; ++i) sum[i % kRows] = _mm512_add_epi32(sum[i % kRows], sum[i]);
    if constexpr (kRows == 1) {
      *out = _mm512_reduce_add_epi32(_mm512_sub_epi32(sum[0], bias_));
    } else if constexpr (kRows == 4) {
      const __m512i quarters = four(sum);
      store(out, _mm256_add_epi32(_mm512_castsi512_si256(quarters), _mm512_extracti64x4_epi64(quarters, 1)));
    } else {
      const __m512i low = four(sum);
      const __m512i high = four(sum + 4);
      const __m512i halves =
          _mm512_add_epi32(_mm512_shuffle_i64x2(low, high, 0x88), _mm512_shuffle_i64x2(low, high, 0xDD));
      // two lanes for the first four rows, two for the last
      store(out, _mm512_castsi512_si256(halves));
      store(out + 4, _mm512_extracti64x4_epi64(halves, 1));
    }
  }

 private:
  static __m512i load(const std::int8_t* at, __mmask64 mask) noexcept { return _mm512_maskz_loadu_epi8(mask, at); }

  __mmask64 mask(std::int64_t d) const noexcept { return d + 64 <= n_dims_ ? ~__mmask64{0} : tail_; }

  template <int kRows>
  void add(__m512i* sum, const std::int8_t* row, std::int64_t d, __mmask64 mask) const noexcept {
    const __m512i q = load(query_ + d, mask);
    for (int r = 0; r < kRows; ++r) {
      const __m512i x = _mm512_xor_si512(load(row + r * row_stride_ + d, mask), _mm512_set1_epi8(-128));
      sum[r] = _mm512_dpbusd_epi32(sum[r], x, q);
    }
  }

  // Four registers' sums, side by side, in each of the four lanes; what is left is to add the lanes.
  static __m512i four(const __m512i* v) noexcept {
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  }

  // Four sums, of which the lanes hold a half each.
  void store(std::int32_t* out, __m256i halves) const noexcept {
    const __m128i sums = _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_sub_epi32(sums, bias_sum_));
  }

  const std::int8_t* query_;
  std::int64_t n_dims_;
  std::int64_t row_stride_;
  __mmask64 tail_;
  __m512i bias_;  // 128 * sum of the query, over 16 elements
  __m128i bias_sum_;
};

}  // namespace

void sm_dot_i8_avx512vnni(const DotI8Args& args) noexcept { dot<Avx512Vnni>(args); }

}  // namespace sm

// AVX512-VNNI: dpbusd multiplies the biased rows with the signed query as they are, 64 elements an instruction.
#include "scan/paths.h"

namespace sm {

namespace {

class Avx512Vnni {
 public:
  static constexpr int kRows = 8;

  explicit Avx512Vnni(const ScanU8Args& args) noexcept
      : query_(args.query), stride_(args.stride), bias_(args.bias), threshold_(args.threshold) {}

  template <bool kFetch>
  SM_INLINE unsigned block(const std::uint8_t* const (&rows)[kRows], const std::uint8_t* coming,
                           std::int32_t* scores) const noexcept {
    __m512i sum[kRows];
    for (__m512i& s : sum) s = _mm512_setzero_si512();
    for (std::int64_t d = 0; d < stride_; d += 64) {
      fetch_ahead<kFetch, kRows>(coming, d);
      const __m512i q = _mm512_load_si512(query_ + d);
      for (int r = 0; r < kRows; ++r) sum[r] = _mm512_dpbusd_epi32(sum[r], _mm512_load_si512(rows[r] + d), q);
    }
    const __m256i totals = _mm256_sub_epi32(reduce(sum), _mm256_set1_epi32(bias_));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(scores), totals);
    return _mm256_cmpgt_epi32_mask(totals, _mm256_set1_epi32(threshold_));
  }

 private:
  // The sum of each register's 16 elements, side by side.
  static __m256i reduce(const __m512i (&v)[kRows]) noexcept {
    const __m512i low = quarters(v[0], v[1], v[2], v[3]);
    const __m512i high = quarters(v[4], v[5], v[6], v[7]);
    const __m512i halves =
        _mm512_add_epi32(_mm512_shuffle_i64x2(low, high, 0x88), _mm512_shuffle_i64x2(low, high, 0xDD));
    const __m512i even = _mm512_shuffle_i64x2(halves, halves, 0x08);
    const __m512i odd = _mm512_shuffle_i64x2(halves, halves, 0x0D);
    return _mm512_castsi512_si256(_mm512_add_epi32(even, odd));
  }

  // Four sums, side by side, in each of the four lanes; what is left is to add the lanes.
  static __m512i quarters(__m512i a, __m512i b, __m512i c, __m512i d) noexcept {
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  }

  const std::int8_t* query_;
  std::int64_t stride_;
  std::int32_t bias_;
  std::int32_t threshold_;
};

}  // namespace

std::uint64_t sm_scan_u8_avx512vnni(const ScanU8Args& args) noexcept { return scan<Avx512Vnni>(args); }

}  // namespace sm

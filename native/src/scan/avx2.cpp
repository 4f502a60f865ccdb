// AVX2: maddubs multiplies u8 by i8 but saturates the int16 sum of two products, so the query is split into nibbles.
//
// query = 16 * upper + lower, upper in [-8, 8], lower in [-8, 7]: a sum of two products is at most 2 * 255 * 8 = 4,080
// in magnitude, and eight such sums, 32,640, fit int16. Only every eighth is widened to int32, and no input saturates.
#include "scan/paths.h"
#include "scan/ymm.h"

namespace sm {

namespace {

class Avx2 {
 public:
  static constexpr int kRows = 4;

  explicit Avx2(const ScanU8Args& args) noexcept : stride_(args.stride), bias_(args.bias), threshold_(args.threshold) {
    for (std::int64_t d = 0; d < stride_; d += 32) {
      // upper = floor((q + 8) / 16), by way of q + 128, which shifts like an unsigned number
      const __m256i q = load(args.query + d);
      const __m256i biased = _mm256_xor_si256(q, _mm256_set1_epi8(-128));
      const __m256i floor = _mm256_and_si256(_mm256_srli_epi16(biased, 4), _mm256_set1_epi8(15));
      const __m256i round = _mm256_and_si256(_mm256_srli_epi16(biased, 3), _mm256_set1_epi8(1));
      const __m256i upper = _mm256_sub_epi8(_mm256_add_epi8(floor, round), _mm256_set1_epi8(8));
      const __m256i sixteenfold = _mm256_and_si256(_mm256_slli_epi16(upper, 4), _mm256_set1_epi8(-16));
      _mm256_store_si256(reinterpret_cast<__m256i*>(upper_ + d), upper);
      _mm256_store_si256(reinterpret_cast<__m256i*>(lower_ + d), _mm256_sub_epi8(q, sixteenfold));
    }
  }

  template <bool kFetch>
  SM_INLINE unsigned block(const std::uint8_t* const (&rows)[kRows], const std::uint8_t* coming,
                           std::int32_t* scores) const noexcept {
    __m256i sum[kRows];
    for (__m256i& s : sum) s = _mm256_setzero_si256();
    for (std::int64_t start = 0; start < stride_; start += kNarrow) {
      const std::int64_t end = start + kNarrow < stride_ ? start + kNarrow : stride_;
      __m256i upper[kRows];
      __m256i lower[kRows];
      for (int r = 0; r < kRows; ++r) upper[r] = lower[r] = _mm256_setzero_si256();
      for (std::int64_t d = start; d < end; d += 32) {
        fetch_ahead<kFetch, kRows / 2>(coming, 2 * d);
        const __m256i q_upper = load(upper_ + d);
        const __m256i q_lower = load(lower_ + d);
        for (int r = 0; r < kRows; ++r) {
          const __m256i x = load(rows[r] + d);
          upper[r] = _mm256_add_epi16(upper[r], _mm256_maddubs_epi16(x, q_upper));
          lower[r] = _mm256_add_epi16(lower[r], _mm256_maddubs_epi16(x, q_lower));
        }
      }
      for (int r = 0; r < kRows; ++r) {
        const __m256i sixteenfold = _mm256_madd_epi16(upper[r], _mm256_set1_epi16(16));
        const __m256i once = _mm256_madd_epi16(lower[r], _mm256_set1_epi16(1));
        sum[r] = _mm256_add_epi32(sum[r], _mm256_add_epi32(sixteenfold, once));
      }
    }
    return report(_mm_sub_epi32(reduce(sum), _mm_set1_epi32(bias_)), threshold_, scores);
  }

 private:
  static constexpr std::int64_t kNarrow = 8 * 32;  // elements between two widenings

  alignas(32) std::int8_t upper_[kMaxStride];
  alignas(32) std::int8_t lower_[kMaxStride];
  std::int64_t stride_;
  std::int32_t bias_;
  std::int32_t threshold_;
};

}  // namespace

std::uint64_t sm_scan_u8_avx2(const ScanU8Args& args) noexcept { return scan<Avx2>(args); }

}  // namespace sm

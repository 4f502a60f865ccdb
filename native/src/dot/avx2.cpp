// AVX2: both sides are widened to int16, so that madd is exact for -128 * -128, which maddubs is not.
#include <immintrin.h>

#include "dot/rows.h"
#include "dot/ymm.h"

namespace sm {

namespace {

class Avx2 {
 public:
  static constexpr int kBlock = 4;

  explicit Avx2(const DotI8Args& args) noexcept
      : query_(args.query), n_dims_(args.n_dims), row_stride_(args.row_stride) {}

  template <int kRows>
  void sums(const std::int8_t* row, std::int32_t* out) const noexcept {
    if (n_dims_ < 32) {
      for (int r = 0; r < kRows; ++r) out[r] = dot_short(query_, row + r * row_stride_, n_dims_);
      return;
    }
    __m256i even[kRows];
    __m256i odd[kRows];  // two sums for each row hide the latency of the additions
    for (int r = 0; r < kRows; ++r) even[r] = odd[r] = _mm256_setzero_si256();
    std::int64_t d = 0;
    for (; d + 32 <= n_dims_; d += 32) {
      const __m256i first = widen(query_ + d);
      const __m256i second = widen(query_ + d + 16);
      for (int r = 0; r < kRows; ++r) {
        even[r] = add(even[r], widen(row + r * row_stride_ + d), first);
        odd[r] = add(odd[r], widen(row + r * row_stride_ + d + 16), second);
      }
    }
    if (d < n_dims_) {
      const __m256i q = _mm256_and_si256(load(query_ + n_dims_ - 32), last(n_dims_ - d));
      const __m256i first = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(q));
      const __m256i second = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(q, 1));
      for (int r = 0; r < kRows; ++r) {
        even[r] = add(even[r], widen(row + r * row_stride_ + n_dims_ - 32), first);
        odd[r] = add(odd[r], widen(row + r * row_stride_ + n_dims_ - 16), second);
      }
    }
    for (int r = 0; r < kRows; ++r) even[r] = _mm256_add_epi32(even[r], odd[r]);
    if constexpr (kRows == 1) {
      *out = reduce(even[0]);
    } else {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), reduce(even));
    }
  }

 private:
  static __m256i widen(const std::int8_t* at) noexcept {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
  }

  static __m256i add(__m256i sum, __m256i x, __m256i q) noexcept {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, q));
  }

  const std::int8_t* query_;
  std::int64_t n_dims_;
  std::int64_t row_stride_;
};

}  // namespace

void sm_dot_i8_avx2(const DotI8Args& args) noexcept { dot<Avx2>(args); }

}  // namespace sm

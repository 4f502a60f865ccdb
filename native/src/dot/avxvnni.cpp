// AVX-VNNI: dpbusd wants one unsigned side, so rows are read as x ^ 0x80 = x + 128, and
// 128 * sum of the query is taken off. Sums of long rows wrap on the way and are exact in the end, because dpbusd does
// not saturate.
#include <immintrin.h>

#include "dot/rows.h"
#include "dot/ymm.h"

namespace sm {

namespace {

class AvxVnni {
 public:
  static constexpr int kBlock = 4;

  explicit AvxVnni(const DotI8Args& args) noexcept
      : query_(args.query), n_dims_(args.n_dims), row_stride_(args.row_stride), bias_(_mm256_setzero_si256()) {
    if (n_dims_ < 32) return;
    std::int64_t d = 0;
    for (; d + 32 <= n_dims_; d += 32) bias_ = add(bias_, _mm256_setzero_si256(), load(query_ + d));
    bias_ = add(bias_, _mm256_setzero_si256(), tail());
    bias_sum_ = _mm_set1_epi32(reduce(bias_));
  }

  template <int kRows>
  void sums(const std::int8_t* row, std::int32_t* out) const noexcept {
    if (n_dims_ < 32) {
      for (int r = 0; r < kRows; ++r) out[r] = dot_short(query_, row + r * row_stride_, n_dims_);
      return;
    }
    constexpr int kChains = kRows == 1 ? 4 : 1;  // a single row needs them to hide the latency of dpbusd
    __m256i sum[kRows * kChains];
    for (__m256i& s : sum) s = _mm256_setzero_si256();
    std::int64_t d = 0;
    for (; d + 32 * kChains <= n_dims_; d += 32 * kChains) {
      for (int c = 0; c < kChains; ++c) add_rows<kRows>(sum + c * kRows, row, d + 32 * c, load(query_ + d + 32 * c));
    }
    for (; d + 32 <= n_dims_; d += 32) add_rows<kRows>(sum, row, d, load(query_ + d));
    if (d < n_dims_) add_rows<kRows>(sum, row, n_dims_ - 32, tail());
    for (int i = kRows; i < kRows * kChains; ++i) sum[i % kRows] = _mm256_add_epi32(sum[i % kRows], sum[i]);
    if constexpr (kRows == 1) {
      *out = reduce(_mm256_sub_epi32(sum[0], bias_));
    } else {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_sub_epi32(reduce(sum), bias_sum_));
    }
  }

 private:
  static __m256i add(__m256i sum, __m256i x, __m256i q) noexcept {
    return _mm256_dpbusd_avx_epi32(sum, _mm256_xor_si256(x, _mm256_set1_epi8(-128)), q);
  }

  // The last 32 elements of the query, without those that belong to whole blocks.
  __m256i tail() const noexcept { return _mm256_and_si256(load(query_ + n_dims_ - 32), last(n_dims_ % 32)); }

  template <int kRows>
  void add_rows(__m256i* sum, const std::int8_t* row, std::int64_t d, __m256i q) const noexcept {
    for (int r = 0; r < kRows; ++r) sum[r] = add(sum[r], load(row + r * row_stride_ + d), q);
  }

  const std::int8_t* query_;
  std::int64_t n_dims_;
  std::int64_t row_stride_;
  __m256i bias_;  // 128 * sum of the query, over 8 elements
  __m128i bias_sum_;
};

}  // namespace

void sm_dot_i8_avxvnni(const DotI8Args& args) noexcept { dot<AvxVnni>(args); }

}  // namespace sm

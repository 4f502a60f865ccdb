// AVX-VNNI: dpbusd multiplies the biased rows with the signed query as they are, 32 elements an instruction.
#include "scan/paths.h"
#include "scan/ymm.h"

namespace sm {

namespace {

class AvxVnni {
 public:
  static constexpr int kRows = 4;

  explicit AvxVnni(const ScanU8Args& args) noexcept
      : query_(args.query), stride_(args.stride), bias_(args.bias), threshold_(args.threshold) {}

  template <bool kFetch>
  SM_INLINE unsigned block(const std::uint8_t* const (&rows)[kRows], const std::uint8_t* coming,
                           std::int32_t* scores) const noexcept {
    __m256i even[kRows];  // two sums for each row, because four could not hide the latency of dpbusd
    __m256i odd[kRows];
    for (int r = 0; r < kRows; ++r) even[r] = odd[r] = _mm256_setzero_si256();
    for (std::int64_t d = 0; d < stride_; d += 64) {
      fetch_ahead<kFetch, kRows>(coming, d);
      const __m256i first = load(query_ + d);
      const __m256i second = load(query_ + d + 32);
      for (int r = 0; r < kRows; ++r) {
        even[r] = _mm256_dpbusd_avx_epi32(even[r], load(rows[r] + d), first);
        odd[r] = _mm256_dpbusd_avx_epi32(odd[r], load(rows[r] + d + 32), second);
      }
    }
    for (int r = 0; r < kRows; ++r) even[r] = _mm256_add_epi32(even[r], odd[r]);
    return report(_mm_sub_epi32(reduce(even), _mm_set1_epi32(bias_)), threshold_, scores);
  }

 private:
  const std::int8_t* query_;
  std::int64_t stride_;
  std::int32_t bias_;
  std::int32_t threshold_;
};

}  // namespace

std::uint64_t sm_scan_u8_avxvnni(const ScanU8Args& args) noexcept { return scan<AvxVnni>(args); }

}  // namespace sm

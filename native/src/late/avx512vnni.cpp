// AVX512-VNNI: sixteen queries at a time, and eight where no more are left. See vnni.h for the bias.
#include "late/vnni.h"

namespace sm {

namespace {

inline __m256i add(__m256i sum, __m256i x, __m256i q) noexcept { return _mm256_dpbusd_epi32(sum, x, q); }

class Vnni16 {
 public:
  static constexpr int kLanes = 16;

  Vnni16(const MaxSimArgs& args, std::int64_t first) noexcept : bias_(_mm512_setzero_si512()) {
    by_lane<kLanes, 4>(args, first, [&](int group, int lane, const std::int8_t* bytes) {
      std::memcpy(&query_[group][lane], bytes, 4);
    });
    for (int g = 0; g < kGroups; ++g) bias_ = _mm512_dpbusd_epi32(bias_, _mm512_set1_epi8(-128), load(g));
  }

  void best(const std::int8_t* text, std::int64_t n_rows, std::int32_t* out) const noexcept {
    __m512i best = _mm512_set1_epi32(INT32_MIN);
    for (std::int64_t r = 0; r < n_rows; r += Block::kRows) {
      const Biased rows(Block(text, r, n_rows));
      __m512i even[Block::kRows], odd[Block::kRows];  // two chains a row hide the latency of dpbusd
      for (int i = 0; i < Block::kRows; ++i) even[i] = odd[i] = _mm512_setzero_si512();
      for (int g = 0; g < kGroups; g += 2) {
        const __m512i q0 = load(g), q1 = load(g + 1);
        for (int i = 0; i < Block::kRows; ++i) {
          even[i] = _mm512_dpbusd_epi32(even[i], _mm512_set1_epi32(rows.words[i][g]), q0);
          odd[i] = _mm512_dpbusd_epi32(odd[i], _mm512_set1_epi32(rows.words[i][g + 1]), q1);
        }
      }
      for (int i = 0; i < Block::kRows; ++i) best = _mm512_max_epi32(best, _mm512_add_epi32(even[i], odd[i]));
    }
    _mm512_store_si512(out, _mm512_sub_epi32(best, bias_));
  }

 private:
  static constexpr int kGroups = kTokenDims / 4;

  __m512i load(int group) const noexcept { return _mm512_load_si512(query_[group]); }

  alignas(64) std::int32_t query_[kGroups][kLanes];
  __m512i bias_;  // 128 * sum of each query
};

}  // namespace

void sm_maxsim_i8_avx512vnni(const MaxSimArgs& args) noexcept {
  const std::int64_t first = maxsim<Vnni16>(args, 0, Vnni8<add>::kLanes + 1);
  maxsim<Vnni8<add>>(args, first, 1);
}

}  // namespace sm

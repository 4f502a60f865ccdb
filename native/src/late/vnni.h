// Eight lanes by dpbusd with 256-bit registers. It wants one unsigned side, so texts' rows are read as x ^ 0x80 =
// x + 128, and 128 * sum of the query is taken off the maximum. Internal linkage for the same reason as in lanes.h.
#pragma once

#include <immintrin.h>

#include "late/lanes.h"

namespace sm {
namespace {

// Four rows plus 128, where four bytes can be broadcast from.
struct Biased {
  alignas(64) std::int32_t words[Block::kRows][kTokenDims / 4];

  explicit Biased(const Block& block) noexcept {
    const __m256i flip = _mm256_set1_epi8(-128);
    for (int r = 0; r < Block::kRows; ++r) {
      for (int d = 0; d < kTokenDims; d += 32) {
        const __m256i row = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.rows[r] + d));
        _mm256_store_si256(reinterpret_cast<__m256i*>(words[r] + d / 4), _mm256_xor_si256(row, flip));
      }
    }
  }
};

// `add`(sum, unsigned bytes, signed bytes) is dpbusd: AVX-VNNI and AVX512-VNNI spell it differently.
template <__m256i (*add)(__m256i, __m256i, __m256i) noexcept>
class Vnni8 {
 public:
  static constexpr int kLanes = 8;

  Vnni8(const MaxSimArgs& args, std::int64_t first) noexcept : bias_(_mm256_setzero_si256()) {
    by_lane<kLanes, 4>(args, first, [&](int group, int lane, const std::int8_t* bytes) {
      std::memcpy(&query_[group][lane], bytes, 4);
    });
    for (int g = 0; g < kGroups; ++g) bias_ = add(bias_, _mm256_set1_epi8(-128), load(g));
  }

  void best(const std::int8_t* text, std::int64_t n_rows, std::int32_t* out) const noexcept {
    __m256i best = _mm256_set1_epi32(INT32_MIN);
    for (std::int64_t r = 0; r < n_rows; r += Block::kRows) {
      const Biased rows(Block(text, r, n_rows));
      __m256i even[Block::kRows], odd[Block::kRows];  // two chains a row hide the latency of dpbusd
      for (int i = 0; i < Block::kRows; ++i) even[i] = odd[i] = _mm256_setzero_si256();
      for (int g = 0; g < kGroups; g += 2) {
        const __m256i q0 = load(g), q1 = load(g + 1);
        for (int i = 0; i < Block::kRows; ++i) {
          even[i] = add(even[i], _mm256_set1_epi32(rows.words[i][g]), q0);
          odd[i] = add(odd[i], _mm256_set1_epi32(rows.words[i][g + 1]), q1);
        }
      }
      for (int i = 0; i < Block::kRows; ++i) best = _mm256_max_epi32(best, _mm256_add_epi32(even[i], odd[i]));
    }
    _mm256_store_si256(reinterpret_cast<__m256i*>(out), _mm256_sub_epi32(best, bias_));
  }

 private:
  static constexpr int kGroups = kTokenDims / 4;

  __m256i load(int group) const noexcept {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(query_[group]));
  }

  alignas(32) std::int32_t query_[kGroups][kLanes];
  __m256i bias_;  // 128 * sum of each query
};

}  // namespace
}  // namespace sm

// AVX2: bytes are widened to int16 and multiplied in pairs, for eight queries at a time.
#include <immintrin.h>

#include "late/lanes.h"

namespace sm {

namespace {

// Four rows as int16, where a pair can be broadcast from.
struct Widened {
  alignas(32) std::int32_t pairs[Block::kRows][kTokenDims / 2];

  explicit Widened(const Block& block) noexcept {
    for (int r = 0; r < Block::kRows; ++r) {
      for (int d = 0; d < kTokenDims; d += 16) {
        const __m128i row = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block.rows[r] + d));
        _mm256_store_si256(reinterpret_cast<__m256i*>(pairs[r] + d / 2), _mm256_cvtepi8_epi16(row));
      }
    }
  }
};

class Avx2 {
 public:
  static constexpr int kLanes = 8;

  Avx2(const MaxSimArgs& args, std::int64_t first) noexcept {
    by_lane<kLanes, 2>(args, first, [&](int group, int lane, const std::int8_t* bytes) {
      query_[group][2 * lane] = bytes[0];
      query_[group][2 * lane + 1] = bytes[1];
    });
  }

  void best(const std::int8_t* text, std::int64_t n_rows, std::int32_t* out) const noexcept {
    __m256i best = _mm256_set1_epi32(INT32_MIN);
    for (std::int64_t r = 0; r < n_rows; r += Block::kRows) {
      const Widened rows(Block(text, r, n_rows));
      __m256i sum[Block::kRows];
      for (__m256i& s : sum) s = _mm256_setzero_si256();
      for (int g = 0; g < kGroups; ++g) {
        const __m256i q = _mm256_load_si256(reinterpret_cast<const __m256i*>(query_[g]));
        for (int i = 0; i < Block::kRows; ++i) {
          sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(_mm256_set1_epi32(rows.pairs[i][g]), q));
        }
      }
      for (const __m256i s : sum) best = _mm256_max_epi32(best, s);
    }
    _mm256_store_si256(reinterpret_cast<__m256i*>(out), best);
  }

 private:
  static constexpr int kGroups = kTokenDims / 2;

  alignas(32) std::int16_t query_[kGroups][2 * kLanes];
};

}  // namespace

void sm_maxsim_i8_avx2(const MaxSimArgs& args) noexcept { maxsim<Avx2>(args, 0, 1); }

}  // namespace sm

// AVX512 with VPOPCNTDQ: eight words are counted at once, and the counts of four rows are added up in one register, as
// 16-bit fields of its words: a row has at most 4,096 bits.
#include <immintrin.h>

#include "hamming/hamming.h"

namespace sm {

namespace {

class Counter {
 public:
  explicit Counter(const HammingB1Args& args) noexcept
      : n_bytes_(args.n_bytes), whole_((args.n_bytes - 1) / 64 * 64), query_(args.query),
        tail_(static_cast<__mmask8>((1U << ((args.n_bytes - whole_) / 8)) - 1U)),
        last_(_mm512_maskz_loadu_epi64(tail_, args.query + whole_)) {}

  // The distances of 16 rows.
  __m512i distances(const std::uint8_t* rows) const noexcept {
    const __m512i ab = pairs(four_rows(rows), four_rows(rows + 4 * n_bytes_));
    const __m512i cd = pairs(four_rows(rows + 8 * n_bytes_), four_rows(rows + 12 * n_bytes_));
    const __m512i halves = _mm512_add_epi64(_mm512_shuffle_i64x2(ab, cd, 0x88), _mm512_shuffle_i64x2(ab, cd, 0xDD));
    const __m512i even = _mm512_shuffle_i64x2(halves, halves, 0x08);
    const __m512i odd = _mm512_shuffle_i64x2(halves, halves, 0x0D);
    return _mm512_cvtepu16_epi32(_mm512_castsi512_si256(_mm512_add_epi64(even, odd)));
  }

 private:
  __m512i one_row(const std::uint8_t* row) const noexcept {
    const __m512i last = _mm512_maskz_loadu_epi64(tail_, row + whole_);
    __m512i counts = _mm512_popcnt_epi64(_mm512_xor_si512(last, last_));
    for (std::int64_t i = 0; i < whole_; i += 64) {
      const __m512i words = _mm512_xor_si512(_mm512_loadu_si512(row + i), _mm512_loadu_si512(query_ + i));
      counts = _mm512_add_epi64(counts, _mm512_popcnt_epi64(words));
    }
    return counts;
  }

  __m512i four_rows(const std::uint8_t* row) const noexcept {
    const __m512i ab = _mm512_or_si512(one_row(row), _mm512_slli_epi64(one_row(row + n_bytes_), 16));
    const std::uint8_t* third = row + 2 * n_bytes_;
    const __m512i cd = _mm512_or_si512(one_row(third), _mm512_slli_epi64(one_row(third + n_bytes_), 16));
    return _mm512_or_si512(ab, _mm512_slli_epi64(cd, 32));
  }

  static __m512i pairs(__m512i a, __m512i b) noexcept {
    return _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  }

  std::int64_t n_bytes_;
  std::int64_t whole_;  // bytes before the last 1 to 8 words
  const std::uint8_t* query_;
  __mmask8 tail_;
  __m512i last_;
};

}  // namespace

std::uint64_t sm_hamming_b1_avx512(const HammingB1Args& args) noexcept {
  const Counter counter(args);
  const __m512i threshold = _mm512_set1_epi32(args.threshold);
  std::uint64_t below = 0;
  for (int r = 0; r < kPageRows; r += 16) {
    if (((args.wanted >> r) & 0xFFFFU) == 0) continue;
    const __m512i distances = counter.distances(args.rows + r * args.n_bytes);
    _mm512_storeu_si512(args.distances + r, distances);
    below |= std::uint64_t{_mm512_cmplt_epi32_mask(distances, threshold)} << r;
  }
  return below & args.wanted;
}

}  // namespace sm

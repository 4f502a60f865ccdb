#include "index/quantize.h"

#include <cstring>

#include "rescore/rescore.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace sm {

namespace {

// Adding 1.5 * 2^23 leaves no bits for a fraction, so the sum is rounded to the nearest integer, ties to even (IEEE 754):
// what rint gives for magnitudes below 2^22, without a call.
inline float rounded(float x) noexcept {
  constexpr float kShift = 12582912.0F;
  return (x + kShift) - kShift;
}

inline float clipped(float x) noexcept {
  const float below = x > 127.0F ? 127.0F : x;
  return below < -127.0F ? -127.0F : below;
}

bool quantize_one(float x, float steps, std::int8_t& high, std::int8_t& low) noexcept {
  const float y = x * steps;
  const float h = rounded(clipped(y));
  const float rest = (y - h) * static_cast<float>(kLowSteps);
  const float l = rounded(clipped(rest));
  high = static_cast<std::int8_t>(static_cast<int>(h));
  low = static_cast<std::int8_t>(static_cast<int>(l));
  return (rest - l <= 0.5F) & (rest - l >= -0.5F);
}

#if defined(__SSE2__)

// The same by fours; compilers make branches of the clipping. SSE2 is part of x86-64, so there is nothing to dispatch.
struct Four {
  __m128i high;
  __m128i low;
  __m128 misfits;
};

inline __m128 clipped(__m128 x) noexcept {
  return _mm_max_ps(_mm_min_ps(x, _mm_set1_ps(127.0F)), _mm_set1_ps(-127.0F));
}

inline Four quantize_four(const float* x, __m128 steps) noexcept {
  const __m128 y = _mm_mul_ps(_mm_loadu_ps(x), steps);
  const __m128i high = _mm_cvtps_epi32(clipped(y));
  const __m128 rest = _mm_mul_ps(_mm_sub_ps(y, _mm_cvtepi32_ps(high)), _mm_set1_ps(static_cast<float>(kLowSteps)));
  const __m128i low = _mm_cvtps_epi32(clipped(rest));
  const __m128 error = _mm_andnot_ps(_mm_set1_ps(-0.0F), _mm_sub_ps(rest, _mm_cvtepi32_ps(low)));
  return {high, low, _mm_cmpgt_ps(error, _mm_set1_ps(0.5F))};
}

inline __m128i packed(__m128i a, __m128i b, __m128i c, __m128i d) noexcept {
  return _mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
}

#endif

}  // namespace

bool quantize(const float* x, std::int64_t n_dims, float steps, std::int8_t* high, std::int8_t* low) noexcept {
  bool fits = true;
  std::int64_t d = 0;
#if defined(__SSE2__)
  const __m128 all_steps = _mm_set1_ps(steps);
  __m128 misfits = _mm_setzero_ps();
  for (; d + 16 <= n_dims; d += 16) {
    const Four a = quantize_four(x + d, all_steps);
    const Four b = quantize_four(x + d + 4, all_steps);
    const Four c = quantize_four(x + d + 8, all_steps);
    const Four e = quantize_four(x + d + 12, all_steps);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(high + d), packed(a.high, b.high, c.high, e.high));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(low + d), packed(a.low, b.low, c.low, e.low));
    misfits = _mm_or_ps(misfits, _mm_or_ps(_mm_or_ps(a.misfits, b.misfits), _mm_or_ps(c.misfits, e.misfits)));
  }
  fits = _mm_movemask_ps(misfits) == 0;
#endif
  for (; d < n_dims; ++d) fits &= quantize_one(x[d], steps, high[d], low[d]);
  return fits;
}

// An exponent of all ones is infinity or not a number (IEEE 754).
bool all_finite(const float* x, std::size_t n) noexcept {
  constexpr std::uint32_t kExponent = 0x7F800000U;
  std::uint32_t wrong = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, x + i, sizeof(bits));
    wrong |= static_cast<std::uint32_t>((bits & kExponent) == kExponent);
  }
  return wrong == 0;
}

}  // namespace sm

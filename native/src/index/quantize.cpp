#include "index/quantize.h"

#include "rescore/rescore.h"

namespace sm {

namespace {

// Adding 1.5 * 2^23 leaves no bits for a fraction, so the sum is rounded to the nearest integer, ties to even (IEEE 754):
// the result of rint for magnitudes below 2^22, and unlike a call of it something that compilers make vector code of.
inline float rounded(float x) noexcept {
  constexpr float kShift = 12582912.0F;
  return (x + kShift) - kShift;
}

inline float clipped(float x) noexcept {
  const float below = x > 127.0F ? 127.0F : x;
  return below < -127.0F ? -127.0F : below;
}

}  // namespace

bool quantize(const float* x, std::int64_t n_dims, float steps, std::int8_t* high, std::int8_t* low) noexcept {
  int misfits = 0;
  for (std::int64_t d = 0; d < n_dims; ++d) {
    const float y = x[d] * steps;
    const float h = rounded(clipped(y));
    const float rest = (y - h) * static_cast<float>(kLowSteps);
    const float l = rounded(clipped(rest));
    high[d] = static_cast<std::int8_t>(static_cast<int>(h));
    low[d] = static_cast<std::int8_t>(static_cast<int>(l));
    misfits |= static_cast<int>(rest - l > 0.5F) | static_cast<int>(rest - l < -0.5F);
  }
  return misfits == 0;
}

}  // namespace sm

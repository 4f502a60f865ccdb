// NEON: it cannot look entries up in a table of 4,096, so that coders are served one by one; the rest is arithmetic.
#include <arm_neon.h>

#include "kv/kernels.h"

namespace sm {

namespace {

template <std::size_t kRows>
void rows8(const SynthesisArgs& args, std::size_t r, std::size_t d) noexcept {
  float32x4_t sums[kRows][2];
  const bool adds = args.mean == nullptr;
  for (std::size_t i = 0; i < kRows; ++i) {
    sums[i][0] = adds ? vdupq_n_f32(0) : vld1q_f32(args.mean + d);
    sums[i][1] = adds ? vdupq_n_f32(0) : vld1q_f32(args.mean + d + 4);
  }
  for (std::size_t c = 0; c < args.n_components; ++c) {
    const float32x4_t first = vld1q_f32(args.matrix[c] + d), second = vld1q_f32(args.matrix[c] + d + 4);
    const float* const y = args.y + c * args.y_stride + r * args.y_step;
    for (std::size_t i = 0; i < kRows; ++i) {
      sums[i][0] = vfmaq_n_f32(sums[i][0], first, y[i * args.y_step]);
      sums[i][1] = vfmaq_n_f32(sums[i][1], second, y[i * args.y_step]);
    }
  }
  for (std::size_t i = 0; i < kRows; ++i) {
    float* const out = args.out[r + i] + d;
    if (adds) {
      sums[i][0] = vaddq_f32(vld1q_f32(out), sums[i][0]);
      sums[i][1] = vaddq_f32(vld1q_f32(out + 4), sums[i][1]);
    }
    vst1q_f32(out, sums[i][0]);
    vst1q_f32(out + 4, sums[i][1]);
  }
}

}  // namespace

void sm_synthesis_f32_neon(const SynthesisArgs& args) noexcept {
  const std::size_t whole = args.n_dims / 8 * 8;
  std::size_t r = 0;
  for (; r + 8 <= args.n_rows; r += 8) {
    for (std::size_t d = 0; d < whole; d += 8) rows8<8>(args, r, d);
  }
  for (; r < args.n_rows; ++r) {
    for (std::size_t d = 0; d < whole; d += 8) rows8<1>(args, r, d);
  }
  for (std::size_t d = whole; d < args.n_dims; ++d) {
    for (r = 0; r < args.n_rows; ++r) {
      float sum = args.mean != nullptr ? args.mean[d] : args.out[r][d];
      for (std::size_t c = 0; c < args.n_components; ++c) {
        sum += args.y[c * args.y_stride + r * args.y_step] * args.matrix[c][d];
      }
      args.out[r][d] = sum;
    }
  }
}

void sm_widen_f16_neon(const std::uint16_t* from, float* to, std::size_t n) noexcept {
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) vst1q_f32(to + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + i))));
  sm_widen_f16_serial(from + i, to + i, n - i);
}

void sm_narrow_f32_neon(const float* from, std::uint16_t* to, std::size_t n) noexcept {
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) vst1_u16(to + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(from + i))));
  sm_narrow_f32_serial(from + i, to + i, n - i);
}

}  // namespace sm

#include "kv/cells.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace sm::kv {

namespace {

constexpr float kLeastScale = 1.1754943508222875e-38F;  // 2^-126: below it one over the scale is infinite

constexpr std::size_t kTall = 32;           // elements of 16 bits in a line of the processor's cache

// Four elements of four rows to four of four columns.
void turn4(const std::uint16_t* rows, std::size_t stride, std::uint16_t* out, std::size_t out_stride) noexcept {
  std::uint64_t x[4];
  for (std::size_t i = 0; i < 4; ++i) std::memcpy(&x[i], rows + i * stride, 8);
  const auto swap = [&](std::size_t i, std::size_t apart, std::uint64_t mask) {  // blocks beside the diagonal
    const std::uint64_t t = (x[i] >> 16 * apart ^ x[i + apart]) & mask;
    x[i] ^= t << 16 * apart;
    x[i + apart] ^= t;
  };
  for (const std::size_t i : {0, 1}) swap(i, 2, 0x00000000FFFFFFFF);
  for (const std::size_t i : {0, 2}) swap(i, 1, 0x0000FFFF0000FFFF);
  for (std::size_t i = 0; i < 4; ++i) std::memcpy(out + i * out_stride, &x[i], 8);
}

}  // namespace

void columns16(const std::uint16_t* rows, std::size_t n_rows, std::size_t n_dims, std::uint16_t* out) noexcept {
  const std::size_t whole = n_dims / 4 * 4;
  for (std::size_t first = 0; first < n_rows; first += kTall) {
    const std::size_t last = std::min(first + kTall, n_rows), fours = first + (last - first) / 4 * 4;
    for (std::size_t d = 0; d < n_dims; d += d < whole ? 4 : 1) {
      std::size_t r = first;
      if (d < whole) {
        for (; r < fours; r += 4) turn4(rows + r * n_dims + d, n_dims, out + d * n_rows + r, n_rows);
      }
      for (; r < last; ++r) {
        for (std::size_t i = d; i < (d < whole ? d + 4 : d + 1); ++i) out[i * n_rows + r] = rows[r * n_dims + i];
      }
    }
  }
}

void rotate(const float* x, const Turn& turn, std::size_t row, std::size_t n_dims, float* out) noexcept {
  const float* const cos = turn.cos + row * turn.step;
  const float* const sin = turn.sin + row * turn.step;
  if (turn.halves && out != x) {  // elements side by side, and nowhere the same memory: turned several at once
    const std::size_t n = turn.n_pairs;
    for (std::size_t i = 0; i < n; ++i) out[i] = x[i] * cos[i] - x[n + i] * sin[i];
    for (std::size_t i = 0; i < n; ++i) out[n + i] = x[i] * sin[i] + x[n + i] * cos[i];
  } else {
    const std::size_t apart = turn.halves ? turn.n_pairs : 1, next = turn.halves ? 1 : 2;
    for (std::size_t i = 0; i < turn.n_pairs; ++i) {
      const float a = x[i * next], b = x[i * next + apart];
      out[i * next] = a * cos[i] - b * sin[i];
      out[i * next + apart] = a * sin[i] + b * cos[i];
    }
  }
  if (out != x) std::copy(x + 2 * turn.n_pairs, x + n_dims, out + 2 * turn.n_pairs);
}

void hadamard(const float* x, std::size_t n, std::size_t size, float* out) noexcept {
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(size)));
  for (std::size_t at = 0; at < n; at += size) {
    float y[kMostHadamard];
    std::copy_n(x + at, size, y);
    for (std::size_t step = 1; step < size; step *= 2) {
      for (std::size_t i = 0; i < size; i += 2 * step) {
        for (std::size_t j = i; j < i + step; ++j) {
          const float a = y[j], b = y[j + step];
          y[j] = a + b;
          y[j + step] = a - b;
        }
      }
    }
    for (std::size_t i = 0; i < size; ++i) out[at + i] = y[i] * scale;
  }
}

void quantize_q8_0(const float* x, std::size_t n_blocks, Narrow narrow, std::int8_t* q,
                   std::uint16_t* scales) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, x += kBlock, q += kBlock) {
    float most = 0;
    for (std::size_t i = 0; i < kBlock; ++i) most = std::max(most, std::fabs(x[i]));
    const float scale = most / 127.0F;
    const float inverse = scale >= kLeastScale ? 1.0F / scale : 0.0F;
    narrow(&scale, scales + b, 1);
    for (std::size_t i = 0; i < kBlock; ++i) {
      const float scaled = std::clamp(x[i] * inverse, -127.0F, 127.0F);
      const auto whole = static_cast<int>(scaled);
      const float part = scaled - static_cast<float>(whole);
      q[i] = static_cast<std::int8_t>(whole + (part >= 0.5F) - (part <= -0.5F));
    }
  }
}

void dequantize_q8_0(const std::int8_t* q, const std::uint16_t* scales, std::size_t n_blocks, Widen widen,
                     float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b, q += kBlock, out += kBlock) {
    float scale = 0;
    widen(scales + b, &scale, 1);
    for (std::size_t i = 0; i < kBlock; ++i) out[i] = static_cast<float>(q[i]) * scale;
  }
}

}  // namespace sm::kv

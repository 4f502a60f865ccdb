#include "query.h"

#include <cmath>
#include <cstring>

namespace sm {

namespace {

// Eight sums side by side: one would wait for itself at every element.
double squared_length(const float* x, std::int64_t n) noexcept {
  double sums[8] = {};
  std::int64_t d = 0;
  for (; d + 8 <= n; d += 8) {
    for (int i = 0; i < 8; ++i) sums[i] += double{x[d + i]} * double{x[d + i]};
  }
  for (; d < n; ++d) sums[0] += double{x[d]} * double{x[d]};
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

}  // namespace

Index::Query::Query(const float* query, const Index& index) noexcept
    : n_used(static_cast<std::size_t>(index.stride_)) {
  const std::int64_t n_dims = index.options_.n_dims;
  std::int8_t low[kMaxStride];
  fits = quantize(query, n_dims, index.steps_, high, low);
  std::int32_t sum = 0;
  for (std::int64_t d = 0; d < n_dims; ++d) {
    wide[d] = static_cast<std::int16_t>(kLowSteps * high[d] + low[d]);
    sum += high[d];
  }
  const double square = squared_length(query, n_dims);
  std::memset(high + n_dims, 0, static_cast<std::size_t>(index.stride_ - n_dims));
  std::memset(wide + n_dims, 0, static_cast<std::size_t>(index.stride_ - n_dims) * sizeof(wide[0]));
  bias = 128 * sum;
  const double steps = index.steps_;
  const double length = square > 0 ? std::sqrt(square) : 1.0;
  to_cosine_high = static_cast<float>(1.0 / (steps * steps * length));
  to_cosine = 1.0 / (steps * steps * kLowSteps * kLowSteps * length);
  if (index.sign_bytes_ > 0) {
    std::uint8_t biased[kMaxStride];
    for (std::int64_t d = 0; d < n_dims; ++d) biased[d] = static_cast<std::uint8_t>(high[d] + 128);
    pack_signs(biased, n_dims, index.sign_bytes_, signs);
    wipe(biased, static_cast<std::size_t>(n_dims));
  }
  wipe(low, static_cast<std::size_t>(n_dims));
}

Index::Query::~Query() {
  wipe(high, n_used);
  wipe(wide, n_used * sizeof(wide[0]));
  wipe(signs, n_used / 8);
}

Index::Row::Row(const float* row, const Index& index) noexcept : n_used(static_cast<std::size_t>(index.stride_)) {
  const std::int64_t n_dims = index.options_.n_dims;
  auto* signed_high = reinterpret_cast<std::int8_t*>(high);
  is_fine = quantize(row, n_dims, index.steps_, signed_high, low);
  for (std::int64_t d = 0; d < n_dims; ++d) high[d] = static_cast<std::uint8_t>(high[d] ^ 0x80U);
  // 0x80 is zero in the biased plane, so that norms over whole strides are right, too.
  std::memset(high + n_dims, 0x80, static_cast<std::size_t>(index.stride_ - n_dims));
  std::memset(low + n_dims, 0, static_cast<std::size_t>(index.stride_ - n_dims));
}

Index::Row::Row(const std::int8_t* row, const Index& index) noexcept
    : is_fine(false), n_used(static_cast<std::size_t>(index.stride_)) {
  const std::int64_t n_dims = index.options_.n_dims;
  for (std::int64_t d = 0; d < n_dims; ++d) high[d] = static_cast<std::uint8_t>(row[d] + 128);
  std::memset(high + n_dims, 0x80, static_cast<std::size_t>(index.stride_ - n_dims));
}

Index::Row::~Row() {
  wipe(high, n_used);
  wipe(low, n_used);
}

void pack_signs(const std::uint8_t* high, std::int64_t n_dims, std::int64_t n_bytes, std::uint8_t* signs) noexcept {
  std::memset(signs, 0, static_cast<std::size_t>(n_bytes));
  for (std::int64_t d = 0; d < n_dims; ++d) {
    signs[d / 8] = static_cast<std::uint8_t>(signs[d / 8] | ((high[d] >> 7) << (d % 8)));
  }
}

}  // namespace sm

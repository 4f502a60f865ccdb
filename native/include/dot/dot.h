// Family dot: int8 dot products of one query with many rows.
//
// Every kernel computes out[r] = sum over d of query[d] * rows[r * row_stride + d], exactly, for r in [0, n_rows).
// Rows need no alignment; row_stride is in elements and may be 0 or negative. The sum is kept in int32: a product is at
// most 2^14 in magnitude, so any n_dims up to kMaxDims is exact even when all elements are -128.
#pragma once

#include <cstdint>

namespace sm {

constexpr std::int64_t kMaxDims = (std::int64_t{1} << 31) / (std::int64_t{1} << 14) - 1;  // 131,071

struct DotI8Args {
  const std::int8_t* query;
  const std::int8_t* rows;
  std::int64_t n_rows;
  std::int64_t n_dims;
  std::int64_t row_stride;
  std::int32_t* out;
};

using DotI8 = void (*)(const DotI8Args&) noexcept;

void sm_dot_i8_serial(const DotI8Args& args) noexcept;
void sm_dot_i8_avx2(const DotI8Args& args) noexcept;  // x86-64 builds only, as the next two
void sm_dot_i8_avxvnni(const DotI8Args& args) noexcept;
void sm_dot_i8_avx512vnni(const DotI8Args& args) noexcept;
void sm_dot_i8_neon(const DotI8Args& args) noexcept;  // arm64 builds only, as the next
void sm_dot_i8_neonsdot(const DotI8Args& args) noexcept;

}  // namespace sm

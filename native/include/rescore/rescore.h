// Family rescore: exact scores of the few candidates that a scan leaves.
//
// rescore_f32 multiplies float32 rows; the order of its additions is the kernel's own, so results differ in the last bits.
// rescore_i16 multiplies 16-bit fixed-point numbers kept as two planes of bytes, 254 * high + low, where high is the
// scanned plane. It is integer arithmetic throughout, so all kernels agree bit for bit.
//
// Bounds of rescore_i16: elements lie in [-32,385, 32,385] (254 * 127 + 127), so two products are at most 2,097,576,450
// < 2^31 and fit the pairwise int32 sums of madd; the total is kept in int64.
#pragma once

#include <cstdint>

#include "scan/scan.h"

namespace sm {

constexpr int kLowSteps = 254;  // steps of the low plane in one step of the high plane

struct RescoreF32Args {
  const float* query;         // [n_dims]
  const float* const* rows;   // n_rows pointers to [n_dims], any alignment
  std::int64_t n_rows;
  std::int64_t n_dims;
  float* out;                 // [n_rows]
};
using RescoreF32 = void (*)(const RescoreF32Args&) noexcept;

struct RescoreI16Args {
  const std::int16_t* query;          // [stride], zero beyond the dimensions, in [-32385, 32385], aligned to kRowAlign
  const std::uint8_t* const* high;    // n_rows pointers to [stride], biased as for the scan, values -127..127
  const std::int8_t* const* low;      // n_rows pointers to [stride], values -127..127
  std::int64_t n_rows;
  std::int64_t stride;                // a multiple of kRowAlign
  std::int64_t* out;                  // [n_rows]: sum of query * (254 * (high - 128) + low)
};
using RescoreI16 = void (*)(const RescoreI16Args&) noexcept;

void sm_rescore_f32_serial(const RescoreF32Args& args) noexcept;
void sm_rescore_f32_avx2(const RescoreF32Args& args) noexcept;  // x86-64 builds only, as the next; needs FMA
void sm_rescore_f32_avx512(const RescoreF32Args& args) noexcept;
void sm_rescore_f32_neon(const RescoreF32Args& args) noexcept;  // arm64 builds only

void sm_rescore_i16_serial(const RescoreI16Args& args) noexcept;
void sm_rescore_i16_avx2(const RescoreI16Args& args) noexcept;
void sm_rescore_i16_avx512vnni(const RescoreI16Args& args) noexcept;
void sm_rescore_i16_neon(const RescoreI16Args& args) noexcept;

}  // namespace sm

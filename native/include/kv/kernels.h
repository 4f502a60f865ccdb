// Family kv: the loops of the cartridge coder that instruction sets serve, and float16.
//
// rans_run: n symbols of one table into out. Symbol i belongs to coder i mod n_lanes; a coder whose state falls below
// 2^16 takes the next two bytes of `words`. Returns where the words that are left begin, or nullptr if they did not
// suffice; nothing outside [words, end), [out, out + n) and the states is touched, whatever the states are.
// lookup: out[i] = values[symbols[i]], n symbols below kMostSymbols.
// synthesis: out[r][d] = mean[d] + sum over c of y[c * y_stride + r * y_step] * matrix[c][d], in float32, any order of
// sums; without a mean the sum is added to what out[r][d] is.
// widen, narrow: between float16 and float32, rounded to nearest, ties to even; NaN stays NaN.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sm {

constexpr int kMostLanes = 32;  // 4, 8, 16 or 32
constexpr std::size_t kMostSymbols = 32;  // of a coefficient's table

struct RansRunArgs {
  std::uint32_t* states;
  int n_lanes;
  const std::uint32_t* table;  // kv::DecodeTable
  const std::uint8_t* words;   // unaligned, little-endian
  const std::uint8_t* end;
  std::uint8_t* out;
  std::size_t n;
};

struct SynthesisArgs {
  const float* y;
  std::size_t y_stride;
  std::size_t y_step;
  const float* const* matrix;  // n_components rows of n_dims
  std::size_t n_components;
  const float* mean;  // or nullptr
  float* const* out;  // n_rows rows of n_dims
  std::size_t n_rows;
  std::size_t n_dims;
};

using RansRun = const std::uint8_t* (*)(const RansRunArgs&) noexcept;
using Lookup = void (*)(const float* values, const std::uint8_t* symbols, std::size_t n, float* out) noexcept;
using Synthesis = void (*)(const SynthesisArgs&) noexcept;
using Widen = void (*)(const std::uint16_t* from, float* to, std::size_t n) noexcept;
using Narrow = void (*)(const float* from, std::uint16_t* to, std::size_t n) noexcept;

const std::uint8_t* sm_rans_run_serial(const RansRunArgs& args) noexcept;
const std::uint8_t* sm_rans_run_avx2(const RansRunArgs& args) noexcept;  // x86-64 builds only, as the next
const std::uint8_t* sm_rans_run_avx512(const RansRunArgs& args) noexcept;

void sm_lookup_f32_serial(const float* values, const std::uint8_t* symbols, std::size_t n, float* out) noexcept;
void sm_lookup_f32_avx2(const float* values, const std::uint8_t* symbols, std::size_t n, float* out) noexcept;
void sm_lookup_f32_avx512(const float* values, const std::uint8_t* symbols, std::size_t n, float* out) noexcept;

void sm_synthesis_f32_serial(const SynthesisArgs& args) noexcept;
void sm_synthesis_f32_avx2(const SynthesisArgs& args) noexcept;
void sm_synthesis_f32_avx512(const SynthesisArgs& args) noexcept;
void sm_synthesis_f32_neon(const SynthesisArgs& args) noexcept;

void sm_widen_f16_serial(const std::uint16_t* from, float* to, std::size_t n) noexcept;
void sm_widen_f16_avx2(const std::uint16_t* from, float* to, std::size_t n) noexcept;
void sm_widen_f16_neon(const std::uint16_t* from, float* to, std::size_t n) noexcept;

void sm_narrow_f32_serial(const float* from, std::uint16_t* to, std::size_t n) noexcept;
void sm_narrow_f32_avx2(const float* from, std::uint16_t* to, std::size_t n) noexcept;
void sm_narrow_f32_neon(const float* from, std::uint16_t* to, std::size_t n) noexcept;

}  // namespace sm

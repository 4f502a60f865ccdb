// Family hamming: how many bits of a query differ from each row of a page of sign bits.
#pragma once

#include <cstdint>

#include "scan/scan.h"

namespace sm {

constexpr std::int64_t kBitAlign = 8;  // a row of bits takes a multiple of 8 bytes; the bits beyond the dimensions are 0

struct HammingB1Args {
  const std::uint8_t* rows;   // [kPageRows][n_bytes], aligned to kBitAlign
  const std::uint8_t* query;  // [n_bytes], aligned to kBitAlign
  std::int64_t n_bytes;       // a multiple of kBitAlign, at most kMaxStride / 8
  std::uint64_t wanted;       // bit r: row r is read
  std::int32_t threshold;     // a row is reported if its distance is below
  std::int32_t* distances;    // [kPageRows], written at least where the result has a bit
};

// Bit r: row r is wanted and differs in fewer bits than the threshold.
using HammingB1 = std::uint64_t (*)(const HammingB1Args&) noexcept;

std::uint64_t sm_hamming_b1_serial(const HammingB1Args& args) noexcept;
std::uint64_t sm_hamming_b1_avx2(const HammingB1Args& args) noexcept;    // x86-64 builds only, as the next
std::uint64_t sm_hamming_b1_avx512(const HammingB1Args& args) noexcept;  // needs VPOPCNTDQ
std::uint64_t sm_hamming_b1_neon(const HammingB1Args& args) noexcept;    // arm64 builds only

}  // namespace sm

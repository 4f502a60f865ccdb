// Reference, fallback and baseline of the hamming family.
#include "hamming/hamming.h"

#include <cstring>

namespace sm {

namespace {

// Hacker's Delight, 5-1: sums of bits in parallel; C++17 has no std::popcount.
int count_bits(std::uint64_t x) noexcept {
  x -= (x >> 1) & 0x5555555555555555U;
  x = (x & 0x3333333333333333U) + ((x >> 2) & 0x3333333333333333U);
  x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0FU;
  return static_cast<int>((x * 0x0101010101010101U) >> 56);
}

std::uint64_t word(const std::uint8_t* at) noexcept {
  std::uint64_t value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

}  // namespace

std::uint64_t sm_hamming_b1_serial(const HammingB1Args& args) noexcept {
  std::uint64_t below = 0;
  for (int r = 0; r < kPageRows; ++r) {
    if (((args.wanted >> r) & 1U) == 0) continue;
    const std::uint8_t* row = args.rows + r * args.n_bytes;
    std::int32_t distance = 0;
    for (std::int64_t i = 0; i < args.n_bytes; i += 8) distance += count_bits(word(row + i) ^ word(args.query + i));
    args.distances[r] = distance;
    if (distance < args.threshold) below |= std::uint64_t{1} << r;
  }
  return below;
}

}  // namespace sm

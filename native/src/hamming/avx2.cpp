// CPUs with AVX2 count the bits of a word by the popcnt instruction. For rows of 48 bytes one popcnt for each word was faster
// than counting nibbles by shuffles (Mula, Kurz, Lemire, "Faster population counts using AVX2 instructions", 2018), which
// pays from some hundred bytes on.
#include <immintrin.h>

#include <cstring>

#include "hamming/hamming.h"

namespace sm {

namespace {

inline std::uint64_t word(const std::uint8_t* at) noexcept {
  std::uint64_t value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

}  // namespace

std::uint64_t sm_hamming_b1_avx2(const HammingB1Args& args) noexcept {
  std::uint64_t below = 0;
  for (std::uint64_t rest = args.wanted; rest != 0; rest &= rest - 1) {
    const int r = __builtin_ctzll(rest);
    const std::uint8_t* row = args.rows + r * args.n_bytes;
    std::int64_t distance = 0;
    for (std::int64_t i = 0; i < args.n_bytes; i += 8) distance += _mm_popcnt_u64(word(row + i) ^ word(args.query + i));
    args.distances[r] = static_cast<std::int32_t>(distance);
    below |= std::uint64_t{distance < args.threshold} << r;
  }
  return below;
}

}  // namespace sm

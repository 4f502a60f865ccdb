// CPUs with AVX2 count the bits of a word by one popcnt. Counting nibbles by shuffles (Mula, Kurz, Lemire, "Faster
// population counts using AVX2 instructions", 2018) pays from some hundred bytes on; rows of signs are 48 or 96 bytes.
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

// kBytes: the length of a row where it is known while this is compiled, so that its words are counted without a loop.
template <std::int64_t kBytes>
std::uint64_t scan(const HammingB1Args& args) noexcept {
  const std::int64_t n_bytes = kBytes > 0 ? kBytes : args.n_bytes;
  std::uint64_t below = 0;
  for (std::uint64_t rest = args.wanted; rest != 0; rest &= rest - 1) {
    const int r = __builtin_ctzll(rest);
    const std::uint8_t* row = args.rows + r * n_bytes;
    std::int64_t distance = 0;
    for (std::int64_t i = 0; i < n_bytes; i += 8) distance += _mm_popcnt_u64(word(row + i) ^ word(args.query + i));
    args.distances[r] = static_cast<std::int32_t>(distance);
    below |= std::uint64_t{distance < args.threshold} << r;
  }
  return below;
}

}  // namespace

std::uint64_t sm_hamming_b1_avx2(const HammingB1Args& args) noexcept {
  switch (args.n_bytes) {
    case 48:
      return scan<48>(args);
    case 96:
      return scan<96>(args);
    case 128:
      return scan<128>(args);
    default:
      return scan<0>(args);
  }
}

}  // namespace sm

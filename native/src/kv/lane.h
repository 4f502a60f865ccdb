// One coder's step, and the rest of a run that is no whole group of coders: what every kernel does alike.
#pragma once

#include <cstring>

#include "kv/kernels.h"
#include "kv/tables.h"

namespace sm {

namespace {

inline std::uint32_t step(std::uint32_t state, std::uint32_t entry) noexcept {
  return (entry >> 8 & 0xFFF) * (state >> kv::kProbBits) + (entry >> 20);
}

inline std::uint32_t word_at(const std::uint8_t* at) noexcept {
  std::uint16_t word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

// Symbols [from, to) of a run, looking at every word whether it is there; `from` belongs to coder 0.
inline const std::uint8_t* rest(const RansRunArgs& args, const std::uint8_t* words, std::size_t from,
                                std::size_t to) noexcept {
  const auto lanes = static_cast<std::size_t>(args.n_lanes);
  for (std::size_t i = from; i < to; ++i) {
    std::uint32_t& state = args.states[(i - from) % lanes];
    const std::uint32_t entry = args.table[state & (kv::kTotal - 1)];
    args.out[i] = static_cast<std::uint8_t>(entry);
    state = step(state, entry);
    if (state < 0x10000) {
      if (args.end - words < 2) return nullptr;
      state = state << 16 | word_at(words);
      words += 2;
    }
  }
  return words;
}

// As many whole groups of kLanes coders as the words suffice for in any case; sets `done` to their symbols.
template <std::size_t kLanes>
inline const std::uint8_t* groups(const RansRunArgs& args, std::size_t& done) noexcept {
  const std::uint8_t* words = args.words;
  std::uint32_t states[kLanes];
  std::memcpy(states, args.states, sizeof(states));
  std::size_t i = 0;
  for (; i + kLanes <= args.n && args.end - words >= static_cast<std::ptrdiff_t>(2 * kLanes); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const std::uint32_t entry = args.table[states[lane] & (kv::kTotal - 1)];
      args.out[i + lane] = static_cast<std::uint8_t>(entry);
      const std::uint32_t state = step(states[lane], entry);
      const std::uint32_t low = (state - 0x10000) >> 31 & ~state >> 31;  // below 2^16; a branch could not be foretold
      states[lane] = state << (16 * low) | (word_at(words) & (0 - low));
      words += 2 * low;
    }
  }
  std::memcpy(args.states, states, sizeof(states));
  done = i;
  return words;
}

inline const std::uint8_t* run_by_words(const RansRunArgs& args) noexcept {
  std::size_t done = 0;
  const std::uint8_t* words = nullptr;
  switch (args.n_lanes) {
    case 4: words = groups<4>(args, done); break;
    case 8: words = groups<8>(args, done); break;
    case 16: words = groups<16>(args, done); break;
    default: words = groups<32>(args, done); break;
  }
  return rest(args, words, done, args.n);
}

}  // namespace

}  // namespace sm

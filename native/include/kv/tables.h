// Probability tables of the cartridge coder, made from formulas by whole numbers alone: equal bit for bit on every
// machine and for all time. secondme/kernels/kv_tables.py says what they are; both must do the same steps.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sm::kv {

constexpr int kProbBits = 12;
constexpr std::uint32_t kTotal = 1U << kProbBits;
constexpr int kShapes = 4;
constexpr int kScales = 60;
constexpr int kTables = 1 + kShapes * kScales;  // number 0: a coefficient that is always 0
constexpr int kMostCoefficient = 15;
constexpr int kCoefficientEscape = 2 * kMostCoefficient + 1;
constexpr int kLevelScales = 64;
constexpr int kLevelEscape = 0;
constexpr std::int64_t kLogUnit = std::int64_t{1} << 16;

// Slots of each symbol; they sum to kTotal.
using Slots = std::array<std::uint16_t, 256>;

// What decodes a slot: symbol in bits 0..7, its number of slots in 8..19, how far the slot is into them in 20..31.
struct alignas(64) DecodeTable {
  std::array<std::uint32_t, kTotal + 8> entries;  // the last eight are spare
};

struct Coefficients {
  Slots slots;
  int reach;  // largest magnitude with slots of its own
  int order;  // of the Exp-Golomb code behind the escape
  DecodeTable decode;
};

// The table `number`, 1 .. kTables - 1. Made when it is first asked for, and kept.
const Coefficients& coefficients(int number);

// Levels -127 .. 127 as symbols 1 .. 255 around `centre`; number is 0 .. 255, centre -127 .. 127.
Slots level_slots(int number, int centre, bool clipped);

// Decodes level_slots(number, 0, false). Made when it is first asked for, and kept.
const DecodeTable& residual_decoder(int number);

void fill(DecodeTable& table, const Slots& slots) noexcept;

// Cost of a symbol with that many slots, in 1 / kLogUnit bits; 24 bits without any.
const std::array<std::int64_t, kTotal + 1>& log_costs();

// floor(8 * log2(value)), value >= 1.
int eighths(std::uint64_t value) noexcept;

}  // namespace sm::kv

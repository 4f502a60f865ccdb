// A stream of entropy-coded runs, as secondme/kernels/kv_reference.py describes it: written whole, read run by run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "kv/kernels.h"
#include "kv/tables.h"

namespace sm::kv {

struct Damaged : std::invalid_argument {
  Damaged() : std::invalid_argument("the stream is damaged") {}
};

// No byte of a stream stands for more symbols: a table leaves at least one slot to the escape.
constexpr std::uint64_t kSymbolsPerByte = 24576;

// Coders side by side: few where few symbols would have to pay for their states.
int n_lanes(std::uint64_t n_symbols) noexcept;

// Bits, lowest first.
class BitWriter {
 public:
  void put(std::uint32_t value, int n_bits);  // at most 24 bits
  void put_golomb(std::uint32_t value, int order);
  const std::vector<std::uint8_t>& finish();

 private:
  std::uint64_t value_ = 0;
  int n_bits_ = 0;
  std::vector<std::uint8_t> out_;
};

class BitReader {
 public:
  BitReader() = default;
  BitReader(const std::uint8_t* data, std::size_t n_bytes) noexcept : data_(data), n_bytes_(n_bytes) {}

  std::uint32_t take(int n_bits);  // at most 24 bits
  std::uint32_t take_golomb(int order);
  void finish() const;  // all bytes were used, and the bits that fill the last are zeros

 private:
  std::uint64_t peek() const noexcept;

  const std::uint8_t* data_ = nullptr;
  std::size_t n_bytes_ = 0;
  std::uint64_t at_ = 0;  // bit
};

struct Run {
  const Slots* slots;
  const std::uint8_t* symbols;
  std::size_t n;
};

// Appends the stream of `runs` to `out`: nothing where they hold no symbol. Every symbol must have slots.
void pack(const std::vector<Run>& runs, const std::vector<std::uint8_t>& escapes, std::vector<std::uint8_t>& out);

class Unpacker {
 public:
  // Throws Damaged, as all below do. `data` must live as long.
  Unpacker(const std::uint8_t* data, std::size_t n_bytes, std::uint64_t n_symbols, RansRun kernel);

  // The next run: n symbols to `out`.
  void run(const DecodeTable& table, std::uint8_t* out, std::size_t n);

  // To be called when all runs were read.
  void finish() const;

  BitReader escapes;

 private:
  RansRun kernel_;
  int n_lanes_ = 0;
  std::uint32_t states_[kMostLanes] = {};
  const std::uint8_t* words_ = nullptr;
  const std::uint8_t* end_ = nullptr;
};

}  // namespace sm::kv

#include "kv/stream.h"

#include <algorithm>
#include <cstring>

namespace sm::kv {

namespace {

constexpr std::uint32_t kLowState = 1U << 16;
constexpr int kMostOnes = 16;  // before a code's first zero

void put_u16(std::uint8_t* at, std::uint32_t value) noexcept {
  at[0] = static_cast<std::uint8_t>(value);
  at[1] = static_cast<std::uint8_t>(value >> 8);
}

}  // namespace

int n_lanes(std::uint64_t n_symbols) noexcept {
  if (n_symbols < 4096) return 4;
  if (n_symbols < 16384) return 8;
  return n_symbols < 65536 ? 16 : 32;
}

void BitWriter::put(std::uint32_t value, int n_bits) {
  value_ |= std::uint64_t{value} << n_bits_;
  for (n_bits_ += n_bits; n_bits_ >= 8; n_bits_ -= 8) {
    out_.push_back(static_cast<std::uint8_t>(value_));
    value_ >>= 8;
  }
}

void BitWriter::put_golomb(std::uint32_t value, int order) {
  const std::uint32_t shifted = (value >> order) + 1;
  int n = 0;
  while (shifted >> (n + 1)) ++n;
  put((1U << n) - 1, n + 1);
  put(shifted - (1U << n), n);
  put(value & ((1U << order) - 1), order);
}

const std::vector<std::uint8_t>& BitWriter::finish() {
  if (n_bits_ > 0) put(0, 8 - n_bits_);
  return out_;
}

std::uint64_t BitReader::peek() const noexcept {
  std::uint64_t bits = 0;
  const std::uint64_t byte = at_ >> 3;
  if (byte + 8 <= n_bytes_) {
    std::memcpy(&bits, data_ + byte, 8);
  } else if (byte < n_bytes_) {
    std::memcpy(&bits, data_ + byte, n_bytes_ - byte);
  }
  return bits >> (at_ & 7);
}

std::uint32_t BitReader::take(int n_bits) {
  if (at_ + static_cast<unsigned>(n_bits) > 8 * std::uint64_t{n_bytes_}) throw Damaged();
  const std::uint64_t bits = peek();
  at_ += static_cast<unsigned>(n_bits);
  return static_cast<std::uint32_t>(bits & ((std::uint64_t{1} << n_bits) - 1));
}

std::uint32_t BitReader::take_golomb(int order) {
  std::uint64_t bits = peek();  // at least 57, of which at most 33 and the order are read
  int n = 0;
  for (; bits & 1; bits >>= 1) {
    if (++n > kMostOnes) throw Damaged();
  }
  at_ += static_cast<unsigned>(2 * n + 1 + order);
  if (at_ > 8 * std::uint64_t{n_bytes_}) throw Damaged();
  const auto mask = [](int n_bits) { return (std::uint64_t{1} << n_bits) - 1; };
  const std::uint64_t shifted = (bits >> 1 & mask(n)) + mask(n);
  return static_cast<std::uint32_t>((shifted << order) + (bits >> (n + 1) & mask(order)));
}

void BitReader::finish() const {
  if (8 * std::uint64_t{n_bytes_} - at_ >= 8 || peek() != 0) throw Damaged();
}

void pack(const std::vector<Run>& runs, const std::vector<std::uint8_t>& escapes, std::vector<std::uint8_t>& out) {
  std::uint64_t n_symbols = 0;
  for (const Run& run : runs) n_symbols += run.n;
  if (n_symbols == 0) return;
  const auto lanes = static_cast<std::size_t>(n_lanes(n_symbols));
  std::uint32_t states[kMostLanes];
  std::fill_n(states, lanes, kLowState);
  std::vector<std::uint16_t> words(static_cast<std::size_t>(n_symbols));
  std::size_t n_words = 0;
  std::array<std::uint32_t, 256> starts{};
  for (auto run = runs.rbegin(); run != runs.rend(); ++run) {
    std::uint32_t start = 0;
    for (std::size_t symbol = 0; symbol < starts.size(); ++symbol) {
      starts[symbol] = start;
      start += (*run->slots)[symbol];
    }
    for (std::size_t i = run->n; i-- > 0;) {
      std::uint32_t& state = states[i % lanes];
      const std::uint32_t n = (*run->slots)[run->symbols[i]];
      const bool full = state >= n << (32 - kProbBits);  // as often as not: a branch could not be foretold
      words[n_words] = static_cast<std::uint16_t>(state);
      n_words += full;
      const std::uint32_t left = state >> (full ? 16 : 0), quotient = left / n;
      state = (quotient << kProbBits) + (left - quotient * n) + starts[run->symbols[i]];
    }
  }
  std::size_t length = escapes.size();
  for (; length >= 128; length >>= 7) out.push_back(static_cast<std::uint8_t>((length & 127) | 128));
  out.push_back(static_cast<std::uint8_t>(length));
  std::size_t at = out.size();
  out.resize(at + 4 * lanes + 2 * n_words);
  for (std::size_t lane = 0; lane < lanes; ++lane, at += 4) {
    put_u16(&out[at], states[lane]);
    put_u16(&out[at + 2], states[lane] >> 16);
  }
  for (; n_words > 0; at += 2) put_u16(&out[at], words[--n_words]);
  out.insert(out.end(), escapes.begin(), escapes.end());
}

Unpacker::Unpacker(const std::uint8_t* data, std::size_t n_bytes, std::uint64_t n_symbols, RansRun kernel)
    : kernel_(kernel) {
  if (n_symbols == 0) {
    if (n_bytes > 0) throw Damaged();
    return;
  }
  if (n_symbols > kSymbolsPerByte * n_bytes) throw Damaged();
  std::uint64_t n_escapes = 0;
  std::size_t at = 0;
  do {
    if (at == std::min<std::size_t>(n_bytes, 5)) throw Damaged();
    n_escapes |= std::uint64_t{data[at] & 127U} << 7 * at;
  } while (data[at++] >= 128);
  n_lanes_ = n_lanes(n_symbols);
  const std::uint64_t head = at + 4 * static_cast<unsigned>(n_lanes_);
  if (head + n_escapes > n_bytes || (n_bytes - head - n_escapes) % 2 != 0) throw Damaged();
  std::memcpy(states_, data + at, 4 * static_cast<std::size_t>(n_lanes_));
  words_ = data + head;
  end_ = data + n_bytes - n_escapes;
  escapes = BitReader(end_, static_cast<std::size_t>(n_escapes));
}

void Unpacker::run(const DecodeTable& table, std::uint8_t* out, std::size_t n) {
  words_ = kernel_({states_, n_lanes_, table.entries.data(), words_, end_, out, n});
  if (words_ == nullptr) throw Damaged();
}

void Unpacker::finish() const {
  if (words_ != end_) throw Damaged();
  for (int lane = 0; lane < n_lanes_; ++lane) {
    if (states_[lane] != kLowState) throw Damaged();
  }
  escapes.finish();
}

}  // namespace sm::kv

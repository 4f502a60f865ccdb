#include "kv/levels.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "kv/stream.h"
#include "kv/tables.h"

namespace sm::kv {

namespace {

constexpr int kScaleLowBits = 4;
constexpr int kMostHigh = 0xFFFF >> kScaleLowBits;
constexpr std::size_t kTile = 32;  // channels that are turned into rows together
constexpr std::array<int, kShapes> kGuesses{4, 0, -4, -8};  // eighths of an octave from the mean magnitude to a scale

using Levels = std::vector<std::int16_t>;

void require_empty(std::size_t n_bytes) {
  if (n_bytes != 0) throw Damaged();
}

int floor_div(std::int64_t a, std::int64_t b) noexcept {
  return static_cast<int>(a >= 0 ? a / b : -((-a + b - 1) / b));
}

int mean(const Levels& levels) {
  std::int64_t sum = 0;
  for (const int x : levels) sum += x;
  const auto n = static_cast<std::int64_t>(levels.size());
  return floor_div(2 * sum + n, 2 * n);
}

// How a channel is predicted from the two levels before: weights in eighths.
struct Taps {
  explicit Taps(std::uint8_t byte) noexcept : first(byte & 15), second((byte >> 4 ^ 8) - 8) {}
  int first;
  int second;

  int predicted(int centre, int last, int before) const noexcept {  // both less the centre
    return std::clamp(centre + ((first * last + second * before + 4) >> 3), -127, 127);
  }
};

struct Choice {
  std::int64_t cost = std::numeric_limits<std::int64_t>::max();
  int number = 0;
};

// The cheapest table for `levels`, downhill from a guess in each shape.
Choice choose(const Levels& levels, int centre, bool clipped) {
  std::array<std::int64_t, 256> counts{};
  std::uint64_t deviation = 0;
  for (const int x : levels) {
    ++counts[static_cast<std::size_t>(x + 128)];
    deviation += static_cast<std::uint64_t>(x < centre ? centre - x : x - centre);
  }
  const std::uint64_t average = (deviation << 16) / std::max<std::size_t>(1, levels.size());
  const int guess = eighths(std::max<std::uint64_t>(1, average)) - 16 * 8 + 8;
  const auto& costs = log_costs();
  std::array<std::uint8_t, 256> seen{};
  std::size_t n_seen = 0;
  for (std::size_t symbol = 0; symbol < counts.size(); ++symbol) {
    if (counts[symbol] > 0) seen[n_seen++] = static_cast<std::uint8_t>(symbol);
  }
  const auto cost = [&](int number) {
    const Slots slots = level_slots(number, centre, clipped);
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < n_seen; ++i) sum += counts[seen[i]] * costs[slots[seen[i]]];
    return sum;
  };
  Choice best;
  for (int shape = 0; shape < kShapes; ++shape) {
    const int first = shape * kLevelScales;
    int at = std::clamp(guess + kGuesses[static_cast<std::size_t>(shape)], 0, kLevelScales - 1);
    std::int64_t here = cost(first + at);
    for (const int step : {1, -1}) {
      while (at + step >= 0 && at + step < kLevelScales) {
        const std::int64_t there = cost(first + at + step);
        if (there >= here) break;
        at += step;
        here = there;
      }
    }
    if (here < best.cost) best = {here, first + at};
  }
  return best;
}

// Weights by the equations of Yule and Walker, in whole numbers.
std::uint8_t fit_taps(const Levels& levels, int centre) {
  std::int64_t r0 = 0, r1 = 0, r2 = 0;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const std::int64_t x = levels[i] - centre;
    r0 += x * x;
    if (i >= 1) r1 += x * (levels[i - 1] - centre);
    if (i >= 2) r2 += x * (levels[i - 2] - centre);
  }
  while (r0 >> 26) {
    r0 >>= 1;
    r1 >>= 1;
    r2 >>= 1;
  }
  const std::int64_t det = r0 * r0 - r1 * r1;
  if (det <= 0) return 0;
  const auto weight = [&](std::int64_t up, int least, int most) {
    const std::int64_t numerator = 16 * up + det, denominator = 2 * det;
    std::int64_t whole = numerator / denominator;
    if (numerator % denominator < 0) --whole;
    return static_cast<int>(std::clamp<std::int64_t>(whole, least, most));
  };
  const int first = weight(r1 * (r0 - r2), 0, 15), second = weight(r0 * r2 - r1 * r1, -8, 7);
  return static_cast<std::uint8_t>(first | (second & 15) << 4);
}

Levels residuals(const Levels& levels, int centre, Taps taps) {
  Levels found(levels.size());
  int last = 0, before = 0;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    found[i] = static_cast<std::int8_t>(levels[i] - taps.predicted(centre, last, before));
    before = last;
    last = levels[i] - centre;
  }
  return found;
}

Slots slots_of(int number, int centre, std::uint8_t taps) {
  return taps != 0 ? level_slots(number, 0, false) : level_slots(number, centre, true);
}

// Symbols of `levels`; those without slots become escapes, and `escape` is called with their place.
template <typename Escape>
void code(const Levels& levels, const Slots& slots, std::uint8_t* symbols, Escape escape) {
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const auto symbol = static_cast<std::uint8_t>(levels[i] + 128);
    const bool known = symbol != kLevelEscape && slots[symbol] > 0;
    symbols[i] = known ? symbol : static_cast<std::uint8_t>(kLevelEscape);
    if (!known) escape(i);
  }
}

std::vector<Run> runs_of(const std::vector<Slots>& slots, const std::vector<std::uint8_t>& symbols, std::size_t n) {
  std::vector<Run> runs;
  runs.reserve(slots.size());
  for (std::size_t c = 0; c < slots.size(); ++c) runs.push_back({&slots[c], symbols.data() + c * n, n});
  return runs;
}

// Eight bytes of eight columns, `stride` apart, to eight rows of kTile.
void turn(const std::uint8_t* columns, std::size_t stride, std::uint8_t* rows) noexcept {
  std::uint64_t x[8];
  for (std::size_t i = 0; i < 8; ++i) std::memcpy(&x[i], columns + i * stride, 8);
  const auto swap = [&](std::size_t apart, std::uint64_t mask) {  // blocks beside the diagonal of a matrix of bytes
    for (std::size_t i = 0; i < 8; ++i) {
      if (i & apart) continue;
      const std::uint64_t t = (x[i] >> 8 * apart ^ x[i + apart]) & mask;
      x[i] ^= t << 8 * apart;
      x[i + apart] ^= t;
    }
  };
  swap(4, 0x00000000FFFFFFFF);
  swap(2, 0x0000FFFF0000FFFF);
  swap(1, 0x00FF00FF00FF00FF);
  for (std::size_t i = 0; i < 8; ++i) std::memcpy(rows + i * kTile, &x[i], 8);
}

// How kTile channels follow from what was coded, a row at a time.
struct Past {
  std::int16_t first[kTile] = {}, second[kTile] = {}, centre[kTile] = {}, last[kTile] = {}, before[kTile] = {};
  std::int16_t low[kTile] = {}, high[kTile] = {};

  void set(std::size_t c, Taps taps, int middle) noexcept {
    first[c] = static_cast<std::int16_t>(taps.first);
    second[c] = static_cast<std::int16_t>(taps.second);
    centre[c] = static_cast<std::int16_t>(middle);
    if (first[c] == 0 && second[c] == 0) return;  // then the bounds make the prediction 0
    low[c] = -127;
    high[c] = 127;
  }

  // Sums are at most 15 * 255 + 8 * 255: no overflow.
  void add_to(std::uint8_t* row) noexcept {
    for (std::size_t c = 0; c < kTile; ++c) {
      const auto sum = static_cast<std::int16_t>(first[c] * last[c] + second[c] * before[c] + 4);
      auto predicted = static_cast<std::int16_t>(centre[c] + (sum >> 3));
      predicted = std::min(std::max(predicted, low[c]), high[c]);
      row[c] = static_cast<std::uint8_t>(row[c] + predicted);
      before[c] = last[c];
      last[c] = static_cast<std::int16_t>(static_cast<std::int8_t>(row[c]) - centre[c]);
    }
  }
};

// Symbols of a tile's channels, one channel after the other and `height` apart, to levels in rows.
void unfold(const std::uint8_t* symbols, std::size_t height, Past* past, std::size_t n, std::size_t width,
            std::int8_t* out, std::size_t stride) noexcept {
  std::uint8_t rows[8 * kTile];
  for (std::size_t r = 0; r < n; r += 8) {
    for (std::size_t c = 0; c < width; c += 8) turn(symbols + c * height + r, height, rows + c);
    for (std::size_t i = 0; i < std::min<std::size_t>(8, n - r); ++i) {
      std::uint8_t* const row = rows + i * kTile;
      for (std::size_t c = 0; c < kTile; ++c) row[c] ^= 0x80;
      if (past != nullptr) past->add_to(row);
      std::memcpy(out + (r + i) * stride, row, width);
    }
  }
}

}  // namespace

std::vector<std::uint8_t> encode_q8(const std::int8_t* q, std::size_t n, std::size_t channels) {
  std::vector<std::uint8_t> out;
  if (n == 0 || channels == 0) return out;
  out.resize(3 * channels);
  std::vector<Slots> slots(channels);
  std::vector<std::uint8_t> symbols(n * channels);
  BitWriter escapes;
  Levels levels(n);
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t r = 0; r < n; ++r) levels[r] = q[r * channels + c];
    const int centre = std::clamp(mean(levels), -127, 127);
    Choice choice = choose(levels, centre, true);
    std::uint8_t taps = fit_taps(levels, centre);
    if (taps != 0) {
      Levels differences = residuals(levels, centre, Taps(taps));
      const Choice other = choose(differences, 0, false);
      if (other.cost < choice.cost) {
        choice = other;
        levels.swap(differences);
      } else {
        taps = 0;
      }
    }
    out[c] = static_cast<std::uint8_t>(choice.number);
    out[channels + c] = static_cast<std::uint8_t>(centre);
    out[2 * channels + c] = taps;
    slots[c] = slots_of(choice.number, centre, taps);
    code(levels, slots[c], &symbols[c * n],
         [&](std::size_t i) { escapes.put(static_cast<std::uint8_t>(levels[i] + 128), 8); });
  }
  pack(runs_of(slots, symbols, n), escapes.finish(), out);
  return out;
}

void decode_q8(const std::uint8_t* data, std::size_t n_bytes, std::size_t n, std::size_t channels, RansRun kernel,
               std::int8_t* out) {
  if (n == 0 || channels == 0) return require_empty(n_bytes);
  const std::size_t head = 3 * channels;
  if (n_bytes < head) throw Damaged();
  Unpacker stream(data + head, n_bytes - head, std::uint64_t{n} * channels, kernel);
  const std::uint8_t* const numbers = data;
  const auto* const centres = reinterpret_cast<const std::int8_t*>(data + channels);
  const std::uint8_t* const taps = data + 2 * channels;
  const std::size_t height = (n + 7) / 8 * 8;  // whole squares of eight bytes are turned
  std::vector<std::uint8_t> symbols(height * kTile);
  DecodeTable table;
  for (std::size_t c = 0; c < channels; c += kTile) {
    const std::size_t width = std::min(kTile, channels - c);
    Past past;
    bool any = false;
    for (std::size_t i = 0; i < width; ++i) {
      if (centres[c + i] == -128) throw Damaged();
      const bool predicted = taps[c + i] != 0;
      any = any || predicted;
      past.set(i, Taps(taps[c + i]), centres[c + i]);
      if (!predicted) fill(table, level_slots(numbers[c + i], centres[c + i], true));
      std::uint8_t* const column = symbols.data() + i * height;
      stream.run(predicted ? residual_decoder(numbers[c + i]) : table, column, n);
      for (std::uint8_t* at = column; (at = std::find(at, column + n, kLevelEscape)) != column + n; ++at) {
        *at = static_cast<std::uint8_t>(stream.escapes.take(8));
      }
    }
    unfold(symbols.data(), height, any ? &past : nullptr, n, width, out + c, channels);
  }
  stream.finish();
}

std::vector<std::uint8_t> encode_scales(const std::uint16_t* words, std::size_t n, std::size_t blocks) {
  std::vector<std::uint8_t> out;
  if (n == 0 || blocks == 0) return out;
  const std::size_t n_low = (n * blocks + 1) / 2, head = 3 * blocks;
  out.resize(head + n_low);
  std::vector<Slots> slots(blocks);
  std::vector<std::uint8_t> symbols(n * blocks);
  BitWriter escapes;
  Levels high(n), levels(n);
  for (std::size_t b = 0; b < blocks; ++b) {
    for (std::size_t r = 0; r < n; ++r) {
      const std::uint16_t word = words[r * blocks + b];
      high[r] = static_cast<std::int16_t>(word >> kScaleLowBits);
      const std::size_t at = b * n + r;
      out[head + at / 2] |= static_cast<std::uint8_t>((word & ((1 << kScaleLowBits) - 1)) << 4 * (at % 2));
    }
    const int centre = mean(high);
    for (std::size_t r = 0; r < n; ++r) {
      const int level = high[r] - centre;
      levels[r] = static_cast<std::int16_t>(level >= -127 && level <= 127 ? level : -128);
    }
    const Choice choice = choose(levels, 0, false);
    out[b] = static_cast<std::uint8_t>(choice.number);
    out[blocks + 2 * b] = static_cast<std::uint8_t>(centre);
    out[blocks + 2 * b + 1] = static_cast<std::uint8_t>(centre >> 8);
    slots[b] = level_slots(choice.number, 0, false);
    code(levels, slots[b], &symbols[b * n],
         [&](std::size_t i) { escapes.put(static_cast<std::uint32_t>(high[i]), 16 - kScaleLowBits); });
  }
  pack(runs_of(slots, symbols, n), escapes.finish(), out);
  return out;
}

void decode_scales(const std::uint8_t* data, std::size_t n_bytes, std::size_t n, std::size_t blocks, RansRun kernel,
                   std::uint16_t* out) {
  if (n == 0 || blocks == 0) return require_empty(n_bytes);
  const std::size_t n_low = (n * blocks + 1) / 2, head = 3 * blocks + n_low;
  if (n_bytes < head) throw Damaged();
  Unpacker stream(data + head, n_bytes - head, std::uint64_t{n} * blocks, kernel);
  const std::uint8_t* const low = data + 3 * blocks;
  if (n * blocks % 2 != 0 && low[n_low - 1] >> 4 != 0) throw Damaged();
  std::vector<std::uint8_t> symbols(n);
  for (std::size_t b = 0; b < blocks; ++b) {
    const int centre = data[blocks + 2 * b] | data[blocks + 2 * b + 1] << 8;
    stream.run(residual_decoder(data[b]), symbols.data(), n);
    for (std::size_t r = 0; r < n; ++r) {
      const std::size_t at = b * n + r;
      int high = symbols[r] - 128 + centre;
      if (symbols[r] == kLevelEscape) high = static_cast<int>(stream.escapes.take(16 - kScaleLowBits));
      if (high < 0 || high > kMostHigh) throw Damaged();
      out[r * blocks + b] = static_cast<std::uint16_t>(high << kScaleLowBits | (low[at / 2] >> 4 * (at % 2) & 15));
    }
  }
  stream.finish();
}

}  // namespace sm::kv

// The way through queries and texts that the vector kernels of the late family share.
//
// All of it has internal linkage, because each file that includes it is compiled for another instruction set.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "late/late.h"

namespace sm {
namespace {

// Rows of a text that are multiplied at once. A last block that is not full repeats the last row, which changes no
// maximum and costs less than a loop of its own.
struct Block {
  static constexpr int kRows = 4;
  const std::int8_t* rows[kRows];

  Block(const std::int8_t* text, std::int64_t first, std::int64_t n_rows) noexcept {
    for (int i = 0; i < kRows; ++i) rows[i] = text + std::min<std::int64_t>(first + i, n_rows - 1) * kTokenDims;
  }
};

// Queries [first, first + lanes) of `args`, a lane each, side by side for kBytes of their elements at a time, which
// `spread` gets one by one as (group, lane, bytes); lanes without a query are zero.
template <int kLanes, int kBytes, class Spread>
void by_lane(const MaxSimArgs& args, std::int64_t first, Spread spread) noexcept {
  static constexpr std::int8_t kZero[kTokenDims] = {};
  for (int lane = 0; lane < kLanes; ++lane) {
    const std::int8_t* query = first + lane < args.n_query ? args.query + (first + lane) * kTokenDims : kZero;
    for (int group = 0; group < kTokenDims / kBytes; ++group) spread(group, lane, query + group * kBytes);
  }
}

// `Isa` is made from the arguments and its first query, and has kLanes and best(text, n_rows, out[kLanes]). Returns the
// first query that it left: fewer than `least` are.
template <class Isa>
std::int64_t maxsim(const MaxSimArgs& args, std::int64_t first, std::int64_t least) noexcept {
  alignas(64) std::int32_t best[Isa::kLanes];
  for (; args.n_query - first >= least; first += Isa::kLanes) {
    const Isa isa(args, first);
    const auto n = static_cast<std::size_t>(std::min<std::int64_t>(Isa::kLanes, args.n_query - first));
    for (std::int64_t t = 0; t < args.n_texts; ++t) {
      std::int32_t* out = args.best + t * args.n_query + first;
      if (args.n_rows[t] == 0) {
        std::memset(out, 0, n * sizeof(*out));
        continue;
      }
      isa.best(args.texts[t], args.n_rows[t], best);
      std::memcpy(out, best, n * sizeof(*out));
    }
  }
  return first;
}

}  // namespace
}  // namespace sm

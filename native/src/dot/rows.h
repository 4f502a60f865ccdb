// The way through many rows that the x86 kernels of the dot family share: several at a time, for one load of the query.
//
// All of it has internal linkage, because each file that includes it is compiled for another instruction set.
#pragma once

#include <cstdint>

#include "dot/dot.h"

namespace sm {
namespace {

// `Isa` holds what it needs of the arguments and gives sums<n>(first row, out) for n of kBlock, 4 and 1.
template <class Isa>
void dot(const DotI8Args& args) noexcept {
  const Isa isa(args);
  std::int64_t r = 0;
  for (; r + Isa::kBlock <= args.n_rows; r += Isa::kBlock) {
    isa.template sums<Isa::kBlock>(args.rows + r * args.row_stride, args.out + r);
  }
  for (; r + 4 <= args.n_rows; r += 4) isa.template sums<4>(args.rows + r * args.row_stride, args.out + r);
  for (; r < args.n_rows; ++r) isa.template sums<1>(args.rows + r * args.row_stride, args.out + r);
}

}  // namespace
}  // namespace sm

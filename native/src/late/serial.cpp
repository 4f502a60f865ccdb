// Reference, fallback and baseline of the late family.
#include <algorithm>
#include <limits>

#include "late/late.h"

namespace sm {

namespace {

std::int32_t dot(const std::int8_t* a, const std::int8_t* b) noexcept {
  std::int32_t sum = 0;
  for (int d = 0; d < kTokenDims; ++d) sum += std::int32_t{a[d]} * std::int32_t{b[d]};
  return sum;
}

}  // namespace

void sm_maxsim_i8_serial(const MaxSimArgs& args) noexcept {
  for (std::int64_t t = 0; t < args.n_texts; ++t) {
    for (std::int64_t q = 0; q < args.n_query; ++q) {
      std::int32_t best = args.n_rows[t] == 0 ? 0 : std::numeric_limits<std::int32_t>::min();
      for (std::int64_t r = 0; r < args.n_rows[t]; ++r) {
        best = std::max(best, dot(args.query + q * kTokenDims, args.texts[t] + r * kTokenDims));
      }
      args.best[t * args.n_query + q] = best;
    }
  }
}

}  // namespace sm

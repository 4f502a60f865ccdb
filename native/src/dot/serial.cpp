// Reference, fallback and baseline of the dot family.
#include "dot/dot.h"

namespace sm {

void sm_dot_i8_serial(const DotI8Args& args) noexcept {
  for (std::int64_t r = 0; r < args.n_rows; ++r) {
    const std::int8_t* row = args.rows + r * args.row_stride;
    std::int32_t sum = 0;
    for (std::int64_t d = 0; d < args.n_dims; ++d) sum += std::int32_t{args.query[d]} * std::int32_t{row[d]};
    args.out[r] = sum;
  }
}

}  // namespace sm

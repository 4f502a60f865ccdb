// Reference, fallback and baseline of the rescore family.
#include "rescore/rescore.h"

namespace sm {

void sm_rescore_f32_serial(const RescoreF32Args& args) noexcept {
  for (std::int64_t r = 0; r < args.n_rows; ++r) {
    double sum = 0;
    for (std::int64_t d = 0; d < args.n_dims; ++d) sum += double{args.query[d]} * double{args.rows[r][d]};
    args.out[r] = static_cast<float>(sum);
  }
}

void sm_rescore_i16_serial(const RescoreI16Args& args) noexcept {
  for (std::int64_t r = 0; r < args.n_rows; ++r) {
    std::int64_t sum = 0;
    for (std::int64_t d = 0; d < args.stride; ++d) {
      const int element = kLowSteps * (int{args.high[r][d]} - 128) + int{args.low[r][d]};
      sum += std::int64_t{args.query[d]} * element;
    }
    args.out[r] = sum;
  }
}

}  // namespace sm

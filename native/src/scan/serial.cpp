// Reference, fallback and baseline of the scan family.
#include "scan/scan.h"

namespace sm {

std::uint64_t sm_scan_u8_serial(const ScanU8Args& args) noexcept {
  std::uint64_t above = 0;
  for (int r = 0; r < kPageRows; ++r) {
    if (((args.wanted >> r) & 1U) == 0) continue;
    const std::uint8_t* row = args.rows + r * args.stride;
    std::int32_t sum = -args.bias;
    for (std::int64_t d = 0; d < args.stride; ++d) sum += std::int32_t{row[d]} * std::int32_t{args.query[d]};
    args.scores[r] = sum;
    if (sum > args.threshold) above |= std::uint64_t{1} << r;
  }
  return above;
}

}  // namespace sm

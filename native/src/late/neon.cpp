// NEON of the arm64 base architecture: eight queries as int16, each element times one of the row's.
#include <arm_neon.h>

#include "late/lanes.h"

namespace sm {

namespace {

class Neon {
 public:
  static constexpr int kLanes = 8;

  Neon(const MaxSimArgs& args, std::int64_t first) noexcept {
    by_lane<kLanes, 1>(args, first, [&](int d, int lane, const std::int8_t* byte) { query_[d][lane] = *byte; });
  }

  void best(const std::int8_t* text, std::int64_t n_rows, std::int32_t* out) const noexcept {
    int32x4_t low = vdupq_n_s32(INT32_MIN);
    int32x4_t high = low;
    for (std::int64_t r = 0; r < n_rows; r += Block::kRows) {
      const Block block(text, r, n_rows);
      int32x4_t sums[Block::kRows][2];
      for (auto& sum : sums) sum[0] = sum[1] = vdupq_n_s32(0);
      for (int d = 0; d < kTokenDims; d += 8) {
        for (int i = 0; i < Block::kRows; ++i) add(sums[i], d, vmovl_s8(vld1_s8(block.rows[i] + d)));
      }
      for (const auto& sum : sums) {
        low = vmaxq_s32(low, sum[0]);
        high = vmaxq_s32(high, sum[1]);
      }
    }
    vst1q_s32(out, low);
    vst1q_s32(out + 4, high);
  }

 private:
  // Eight elements of a row from `d` on, times those of every query.
  void add(int32x4_t (&sum)[2], int d, int16x8_t x) const noexcept {
    add_one<0>(sum, d, x);
    add_one<1>(sum, d, x);
    add_one<2>(sum, d, x);
    add_one<3>(sum, d, x);
    add_one<4>(sum, d, x);
    add_one<5>(sum, d, x);
    add_one<6>(sum, d, x);
    add_one<7>(sum, d, x);
  }

  template <int kLane>
  void add_one(int32x4_t (&sum)[2], int d, int16x8_t x) const noexcept {
    const int16x8_t q = vld1q_s16(query_[d + kLane]);
    sum[0] = vmlal_laneq_s16(sum[0], vget_low_s16(q), x, kLane);
    sum[1] = vmlal_high_laneq_s16(sum[1], q, x, kLane);
  }

  alignas(16) std::int16_t query_[kTokenDims][kLanes];
};

}  // namespace

void sm_maxsim_i8_neon(const MaxSimArgs& args) noexcept { maxsim<Neon>(args, 0, 1); }

}  // namespace sm

// SDOT (FEAT_DotProd): four bytes of a row times the same four of eight queries, two instructions.
#include <arm_neon.h>

#include "late/lanes.h"

namespace sm {

namespace {

class NeonSdot {
 public:
  static constexpr int kLanes = 8;

  NeonSdot(const MaxSimArgs& args, std::int64_t first) noexcept {
    by_lane<kLanes, 4>(args, first, [&](int group, int lane, const std::int8_t* bytes) {
      std::memcpy(query_[group] + 4 * lane, bytes, 4);
    });
  }

  void best(const std::int8_t* text, std::int64_t n_rows, std::int32_t* out) const noexcept {
    int32x4_t low = vdupq_n_s32(INT32_MIN);
    int32x4_t high = low;
    for (std::int64_t r = 0; r < n_rows; r += Block::kRows) {
      const Block block(text, r, n_rows);
      int32x4_t sums[Block::kRows][2];
      for (auto& sum : sums) sum[0] = sum[1] = vdupq_n_s32(0);
      for (int d = 0; d < kTokenDims; d += 16) {
        int8x16_t x[Block::kRows];
        for (int i = 0; i < Block::kRows; ++i) x[i] = vld1q_s8(block.rows[i] + d);
        add_group<0>(sums, d / 4, x);
        add_group<1>(sums, d / 4, x);
        add_group<2>(sums, d / 4, x);
        add_group<3>(sums, d / 4, x);
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
  // Bytes [4 * kLane, 4 * kLane + 4) of each row's sixteen, whose first group of four is `group`.
  template <int kLane>
  void add_group(int32x4_t (&sums)[Block::kRows][2], int group,
                 const int8x16_t (&x)[Block::kRows]) const noexcept {
    const int8x16_t q0 = vld1q_s8(query_[group + kLane]);
    const int8x16_t q1 = vld1q_s8(query_[group + kLane] + 16);
    for (int i = 0; i < Block::kRows; ++i) {
      sums[i][0] = vdotq_laneq_s32(sums[i][0], q0, x[i], kLane);
      sums[i][1] = vdotq_laneq_s32(sums[i][1], q1, x[i], kLane);
    }
  }

  alignas(16) std::int8_t query_[kTokenDims / 4][4 * kLanes];
};

}  // namespace

void sm_maxsim_i8_neonsdot(const MaxSimArgs& args) noexcept { maxsim<NeonSdot>(args, 0, 1); }

}  // namespace sm

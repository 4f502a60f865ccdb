// Every available rescoring against the serial one: planes bit for bit, float32 within what rounding explains.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "check.h"

namespace {

using sm::test::Block;
using sm::test::Random;
using sm::test::check;

constexpr std::size_t kRows = 5;
constexpr int kMost = sm::kLowSteps * 127 + 127;

// Rows that lie apart, each in a block of its own that ends where it does.
struct Planes {
  explicit Planes(std::int64_t row_bytes) : stride(row_bytes), query(static_cast<std::size_t>(stride), sm::kRowAlign) {
    for (std::size_t r = 0; r < kRows; ++r) {
      high.push_back(std::make_unique<Block<std::uint8_t>>(static_cast<std::size_t>(stride), sm::kRowAlign));
      low.push_back(std::make_unique<Block<std::int8_t>>(static_cast<std::size_t>(stride), sm::kRowAlign));
      high_rows.push_back(high.back()->data());
      low_rows.push_back(low.back()->data());
    }
  }

  void compare(const sm::Kernels& kernels) const {
    std::array<std::int64_t, kRows> expected{};
    std::array<std::int64_t, kRows> found{};
    const auto n_rows = static_cast<std::int64_t>(kRows);
    sm::sm_rescore_i16_serial({query.data(), high_rows.data(), low_rows.data(), n_rows, stride, expected.data()});
    kernels.rescore_i16({query.data(), high_rows.data(), low_rows.data(), n_rows, stride, found.data()});
    for (std::size_t r = 0; r < kRows; ++r) {
      check(found[r] == expected[r], "%s: stride %lld, row %zu: %lld instead of %lld", kernels.isa,
            static_cast<long long>(stride), r, static_cast<long long>(found[r]), static_cast<long long>(expected[r]));
    }
  }

  std::int64_t stride;
  Block<std::int16_t> query;
  std::vector<std::unique_ptr<Block<std::uint8_t>>> high;
  std::vector<std::unique_ptr<Block<std::int8_t>>> low;
  std::vector<const std::uint8_t*> high_rows;
  std::vector<const std::int8_t*> low_rows;
};

void random_planes(const sm::Kernels& kernels, std::int64_t stride, Random& random) {
  Planes planes(stride);
  random.fill(planes.query, -kMost, kMost);
  for (std::size_t r = 0; r < kRows; ++r) {
    random.fill(*planes.high[r], 1, 255);
    random.fill(*planes.low[r], -127, 127);
  }
  planes.compare(kernels);
}

void extreme_planes(const sm::Kernels& kernels, std::int64_t stride) {
  Planes planes(stride);
  for (const int query : {-kMost, -32'256, -128, 0, 127, 128, kMost}) {
    for (const int high : {1, 128, 255}) {
      for (const int low : {-127, 0, 127}) {
        std::fill(planes.query.begin(), planes.query.end(), static_cast<std::int16_t>(query));
        for (std::size_t r = 0; r < kRows; ++r) {
          std::fill(planes.high[r]->begin(), planes.high[r]->end(), static_cast<std::uint8_t>(high));
          std::fill(planes.low[r]->begin(), planes.low[r]->end(), static_cast<std::int8_t>(low));
        }
        planes.compare(kernels);
      }
    }
  }
}

// Every value of the query, so that every way to split it is seen.
void every_query(const sm::Kernels& kernels, Random& random) {
  for (int first = -kMost; first <= kMost; first += static_cast<int>(sm::kMaxStride)) {
    Planes planes(sm::kMaxStride);
    for (std::size_t d = 0; d < planes.query.size(); ++d) {
      planes.query[d] = static_cast<std::int16_t>(std::min(first + static_cast<int>(d), kMost));
    }
    for (std::size_t r = 0; r < kRows; ++r) {
      random.fill(*planes.high[r], 1, 255);
      random.fill(*planes.low[r], -127, 127);
    }
    planes.compare(kernels);
  }
}

void floats(const sm::Kernels& kernels, std::size_t n_dims, Random& random) {
  Block<float> query(n_dims);
  std::vector<std::unique_ptr<Block<float>>> rows;
  std::vector<const float*> at;
  for (float& x : query) x = random.normal();
  for (std::size_t r = 0; r < kRows; ++r) {
    rows.push_back(std::make_unique<Block<float>>(n_dims, alignof(float), 4 * r));
    for (float& x : *rows.back()) x = random.normal();
    at.push_back(rows.back()->data());
  }
  std::array<float, kRows> expected{};
  std::array<float, kRows> found{};
  const auto n = static_cast<std::int64_t>(n_dims);
  sm::sm_rescore_f32_serial({query.data(), at.data(), static_cast<std::int64_t>(kRows), n, expected.data()});
  kernels.rescore_f32({query.data(), at.data(), static_cast<std::int64_t>(kRows), n, found.data()});
  for (std::size_t r = 0; r < kRows; ++r) {
    double size = 0;  // sum of the products' magnitudes: what a rounding error is relative to
    for (std::size_t d = 0; d < n_dims; ++d) size += std::fabs(double{query[d]} * double{(*rows[r])[d]});
    const double error = std::fabs(double{found[r]} - double{expected[r]});
    check(error <= 1e-6 * size, "%s: %zu dims, row %zu: off by %g", kernels.isa, n_dims, r, error);
  }
}

}  // namespace

int main() {
  Random random(17);
  for (const sm::Kernels& kernels : sm::available_kernels()) {
    for (std::int64_t stride = sm::kRowAlign; stride <= sm::kMaxStride; stride += 5 * sm::kRowAlign) {
      random_planes(kernels, stride, random);
    }
    for (const std::int64_t stride : {std::int64_t{64}, sm::kMaxStride}) extreme_planes(kernels, stride);
    every_query(kernels, random);
    for (std::size_t n_dims = 1; n_dims <= 200; ++n_dims) floats(kernels, n_dims, random);
    for (const int n_dims : {384, 768, 4095, 4096}) floats(kernels, static_cast<std::size_t>(n_dims), random);
  }
  return sm::test::finish("rescore");
}

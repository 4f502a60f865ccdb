// Every available scan against the serial one: all kinds of strides, masks, thresholds and extremes.
#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "check.h"

namespace {

using sm::kPageRows;
using sm::kRowAlign;
using sm::test::Block;
using sm::test::Random;
using sm::test::check;

constexpr std::int32_t kNone = std::numeric_limits<std::int32_t>::max();
constexpr std::int32_t kUnwritten = 123'456'789;

struct Page {
  explicit Page(std::int64_t row_bytes)
      : stride(row_bytes),
        rows(static_cast<std::size_t>(kPageRows * stride), kRowAlign),
        next(static_cast<std::size_t>(kPageRows * stride), kRowAlign),
        query(static_cast<std::size_t>(stride), kRowAlign) {}

  sm::ScanU8Args args(std::uint64_t wanted, std::int32_t threshold, std::int32_t* scores) const {
    std::int32_t sum = 0;
    for (std::size_t d = 0; d < query.size(); ++d) sum += query[d];
    return {rows.data(), query.data(), stride, 128 * sum, wanted, threshold,
            (wanted & 1U) != 0 ? next.data() : nullptr, scores};
  }

  std::int64_t stride;
  Block<std::uint8_t> rows;
  Block<std::uint8_t> next;
  Block<std::int8_t> query;
};

std::vector<std::uint64_t> masks(Random& random) {
  std::vector<std::uint64_t> found{0, ~std::uint64_t{0}, 1, std::uint64_t{1} << 63, 0x7777777777777777U,
                                   0xF0F0F0F0F0F0F0F0U, 0x1E1E1E1E1E1E1E1EU, 0xE000000000000007U};
  for (int i = 0; i < 3; ++i) found.push_back(std::uint64_t{1} << random.between(0, 63));
  for (int i = 0; i < 3; ++i) found.push_back(random.bits());
  for (int i = 0; i < 2; ++i) found.push_back(random.bits() & random.bits() & random.bits());
  return found;
}

void compare(const sm::Kernels& kernels, const Page& page, std::uint64_t wanted, std::int32_t threshold) {
  Block<std::int32_t> expected(kPageRows);
  Block<std::int32_t> found(kPageRows);
  std::fill(found.begin(), found.end(), kUnwritten);
  const std::uint64_t expected_bits = sm::sm_scan_u8_serial(page.args(wanted, threshold, expected.data()));
  const std::uint64_t bits = kernels.scan_u8(page.args(wanted, threshold, found.data()));
  check(bits == expected_bits, "%s: stride %lld, wanted %llx, threshold %d: bits %llx instead of %llx", kernels.isa,
        static_cast<long long>(page.stride), static_cast<unsigned long long>(wanted), threshold,
        static_cast<unsigned long long>(bits), static_cast<unsigned long long>(expected_bits));
  for (std::size_t r = 0; r < kPageRows; ++r) {
    if (((expected_bits >> r) & 1U) == 0) continue;
    check(found[r] == expected[r], "%s: stride %lld, row %zu: %d instead of %d", kernels.isa,
          static_cast<long long>(page.stride), r, found[r], expected[r]);
  }
}

void compare_all(const sm::Kernels& kernels, const Page& page, Random& random) {
  Block<std::int32_t> scores(kPageRows);
  sm::sm_scan_u8_serial(page.args(~std::uint64_t{0}, kNone, scores.data()));
  // The median score cuts the page in two, and rows that equal it are not above it.
  std::vector<std::int32_t> sorted(scores.begin(), scores.end());
  std::nth_element(sorted.begin(), sorted.begin() + kPageRows / 2, sorted.end());
  for (const std::uint64_t wanted : masks(random)) {
    for (const std::int32_t threshold : {sorted[kPageRows / 2], std::numeric_limits<std::int32_t>::min(), kNone}) {
      compare(kernels, page, wanted, threshold);
    }
  }
}

// A query that is shorter than the stride is zero beyond its dimensions; the rows hold anything there.
void random_pages(const sm::Kernels& kernels, std::int64_t stride, Random& random) {
  Page page(stride);
  random.fill(page.rows, 0, 255);
  random.fill(page.query, -127, 127);
  for (auto d = static_cast<std::size_t>(stride - random.between(0, 63)); d < page.query.size(); ++d) page.query[d] = 0;
  compare_all(kernels, page, random);
  page.query[static_cast<std::size_t>(random.between(0, static_cast<int>(stride) - 1))] = -128;
  compare_all(kernels, page, random);
}

void extreme_pages(const sm::Kernels& kernels, std::int64_t stride, Random& random) {
  constexpr std::array<int, 4> kRows{0, 1, 128, 255};
  constexpr std::array<int, 5> kQueries{-128, -127, 0, 1, 127};
  Page page(stride);
  for (const int row : kRows) {
    for (const int query : kQueries) {
      std::fill(page.rows.begin(), page.rows.end(), static_cast<std::uint8_t>(row));
      std::fill(page.query.begin(), page.query.end(), static_cast<std::int8_t>(query));
      compare(kernels, page, ~std::uint64_t{0}, std::numeric_limits<std::int32_t>::min());
      compare(kernels, page, random.bits(), (row - 128) * query * static_cast<std::int32_t>(stride) - 1);
    }
  }
}

}  // namespace

int main() {
  Random random(11);
  for (const sm::Kernels& kernels : sm::available_kernels()) {
    for (const std::int64_t stride : {64, 128, 192, 320, 384, 768, 1024, 4096}) {
      random_pages(kernels, stride, random);
    }
    for (const std::int64_t stride : {64, 192, 4096}) extreme_pages(kernels, stride, random);
  }
  return sm::test::finish("scan");
}

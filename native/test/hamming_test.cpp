// Every available count of bits against the serial one, at all lengths, with all kinds of masks and thresholds.
#include <algorithm>
#include <limits>

#include "check.h"

namespace {

using sm::kPageRows;
using sm::test::Block;
using sm::test::Random;
using sm::test::check;

struct Page {
  explicit Page(std::int64_t row_bytes)
      : n_bytes(row_bytes), rows(static_cast<std::size_t>(kPageRows * row_bytes), sm::kBitAlign),
        query(static_cast<std::size_t>(row_bytes), sm::kBitAlign) {}

  sm::HammingB1Args args(std::uint64_t wanted, std::int32_t threshold, std::int32_t* distances) const {
    return {rows.data(), query.data(), n_bytes, wanted, threshold, distances};
  }

  std::int64_t n_bytes;
  Block<std::uint8_t> rows;
  Block<std::uint8_t> query;
};

void compare(const sm::Kernels& kernels, const Page& page, std::uint64_t wanted, std::int32_t threshold) {
  Block<std::int32_t> expected(kPageRows);
  Block<std::int32_t> found(kPageRows);
  const std::uint64_t expected_bits = sm::sm_hamming_b1_serial(page.args(wanted, threshold, expected.data()));
  const std::uint64_t bits = kernels.hamming_b1(page.args(wanted, threshold, found.data()));
  check(bits == expected_bits, "%s: %lld bytes, wanted %llx, threshold %d: bits %llx instead of %llx", kernels.isa,
        static_cast<long long>(page.n_bytes), static_cast<unsigned long long>(wanted), threshold,
        static_cast<unsigned long long>(bits), static_cast<unsigned long long>(expected_bits));
  for (std::size_t r = 0; r < kPageRows; ++r) {
    if (((expected_bits >> r) & 1U) == 0) continue;
    check(found[r] == expected[r], "%s: %lld bytes, row %zu: %d instead of %d", kernels.isa,
          static_cast<long long>(page.n_bytes), r, found[r], expected[r]);
  }
}

void random_page(const sm::Kernels& kernels, std::int64_t n_bytes, Random& random) {
  Page page(n_bytes);
  random.fill(page.rows, 0, 255);
  random.fill(page.query, 0, 255);
  const auto half = static_cast<std::int32_t>(4 * n_bytes);
  for (const std::uint64_t wanted : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{1} << 63, random.bits(),
                                     random.bits() & random.bits() & random.bits()}) {
    for (const std::int32_t threshold : {half, 0, std::numeric_limits<std::int32_t>::max()}) {
      compare(kernels, page, wanted, threshold);
    }
  }
}

// No bit differs, or all do: 4,096 at the longest.
void extreme_page(const sm::Kernels& kernels, std::int64_t n_bytes) {
  Page page(n_bytes);
  std::fill(page.query.begin(), page.query.end(), std::uint8_t{0xFF});
  std::fill(page.rows.begin() + n_bytes, page.rows.end(), std::uint8_t{0xFF});
  const auto most = static_cast<std::int32_t>(8 * n_bytes);
  for (const std::int32_t threshold : {0, 1, most, most + 1}) compare(kernels, page, ~std::uint64_t{0}, threshold);
}

}  // namespace

int main() {
  Random random(13);
  for (const sm::Kernels& kernels : sm::available_kernels()) {
    for (std::int64_t n_bytes = sm::kBitAlign; n_bytes <= sm::kMaxStride / 8; n_bytes += sm::kBitAlign) {
      random_page(kernels, n_bytes, random);
      extreme_page(kernels, n_bytes);
    }
  }
  return sm::test::finish("hamming");
}

// Every available kernel of the late family against the serial one: numbers of queries and of rows around every block,
// texts without rows, extremes, odd addresses. Made for sanitizers.
#include <memory>
#include <vector>

#include "check.h"

namespace {

using sm::kTokenDims;
using sm::test::Block;

struct Case {
  std::int64_t n_query;
  std::vector<std::int64_t> n_rows;
  int low, high;
};

// Exactly sized heap blocks at odd addresses, so that a read past either end is seen by the address sanitizer.
bool agrees(const sm::Kernels& kernels, const Case& input, sm::test::Random& random) {
  Block<std::int8_t> query(static_cast<std::size_t>(input.n_query * kTokenDims), 64, 3);
  random.fill(query, input.low, input.high);
  std::vector<std::unique_ptr<Block<std::int8_t>>> blocks;
  std::vector<const std::int8_t*> texts;
  for (const std::int64_t n : input.n_rows) {
    blocks.push_back(std::make_unique<Block<std::int8_t>>(static_cast<std::size_t>(n * kTokenDims), 64, 1));
    random.fill(*blocks.back(), input.low, input.high);
    texts.push_back(blocks.back()->data());
  }
  const auto n_texts = static_cast<std::int64_t>(texts.size());
  Block<std::int32_t> expected(static_cast<std::size_t>(n_texts * input.n_query));
  Block<std::int32_t> found(expected.size());
  for (std::int32_t& x : found) x = -7;
  sm::sm_maxsim_i8_serial(
      {query.data(), input.n_query, texts.data(), input.n_rows.data(), n_texts, expected.data()});
  kernels.maxsim_i8({query.data(), input.n_query, texts.data(), input.n_rows.data(), n_texts, found.data()});
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!sm::test::check(found[i] == expected[i], "%s: %lld queries, element %zu: %d instead of %d", kernels.isa,
                         static_cast<long long>(input.n_query), i, found[i], expected[i])) {
      return false;
    }
  }
  return true;
}

}  // namespace

int main() {
  sm::test::Random random(7);
  for (const sm::Kernels& kernels : sm::available_kernels()) {
    for (std::int64_t n_query = 0; n_query <= 35; ++n_query) {
      for (const auto& [low, high] : {std::pair{-128, 127}, {-128, -128}, {127, 127}, {0, 0}}) {
        agrees(kernels, {n_query, {0, 1, 2, 3, 4, 5, 7, 8, 9, 17, 0, 31}, low, high}, random);
      }
      agrees(kernels, {n_query, {}, -128, 127}, random);
    }
  }
  return sm::test::finish("late");
}

// Every available kernel against the serial one: all lengths up to 200, odd starts, extremes. Made for sanitizers.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>

#include "dispatch.h"

namespace {

// Exactly sized heap blocks, so that a read past either end is seen by the address sanitizer.
bool agrees(const sm::Kernels& kernels, std::int64_t n_rows, std::int64_t n_dims, int fill, std::mt19937& random) {
  const std::int64_t n_bytes = n_rows * n_dims;
  std::unique_ptr<std::int8_t[]> query(new std::int8_t[static_cast<std::size_t>(n_dims)]);
  std::unique_ptr<std::int8_t[]> rows(new std::int8_t[static_cast<std::size_t>(n_bytes)]);
  std::uniform_int_distribution<int> any(-128, 127);
  for (std::int64_t i = 0; i < n_dims; ++i) query[i] = static_cast<std::int8_t>(fill != 0 ? fill : any(random));
  for (std::int64_t i = 0; i < n_bytes; ++i) rows[i] = static_cast<std::int8_t>(fill != 0 ? fill : any(random));
  std::unique_ptr<std::int32_t[]> expected(new std::int32_t[static_cast<std::size_t>(n_rows)]);
  std::unique_ptr<std::int32_t[]> found(new std::int32_t[static_cast<std::size_t>(n_rows)]);
  sm::sm_dot_i8_serial({query.get(), rows.get(), n_rows, n_dims, n_dims, expected.get()});
  kernels.dot_i8({query.get(), rows.get(), n_rows, n_dims, n_dims, found.get()});
  for (std::int64_t r = 0; r < n_rows; ++r) {
    if (found[r] != expected[r]) {
      std::fprintf(stderr, "%s: %lld dims, row %lld: %d instead of %d\n", kernels.isa, static_cast<long long>(n_dims),
                   static_cast<long long>(r), found[r], expected[r]);
      return false;
    }
  }
  return true;
}

}  // namespace

int main() {
  std::mt19937 random(7);
  int n_checked = 0;
  for (const sm::Kernels& kernels : sm::available_kernels()) {
    for (std::int64_t n_dims = 0; n_dims <= 200; ++n_dims) {
      for (const int fill : {0, -128, 127}) {
        if (!agrees(kernels, 13, n_dims, fill, random)) return EXIT_FAILURE;  // blocks of 8, 4 and 1
        ++n_checked;
      }
    }
    if (!agrees(kernels, 1, sm::kMaxDims, -128, random)) return EXIT_FAILURE;
    std::printf("%s: ok\n", kernels.isa);
  }
  return n_checked > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

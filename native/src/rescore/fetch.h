// Prefetching for the x86 kernels of the rescore family: candidates lie scattered over memory that no cache holds, so what
// is scored two rows on is on its way while a row is scored. Internal linkage, as each file is compiled for its own set.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace sm {
namespace {

constexpr std::int64_t kAheadRows = 2;

inline void fetch(const void* at, std::int64_t n_bytes) noexcept {
  for (std::int64_t i = 0; i < n_bytes; i += 64) _mm_prefetch(static_cast<const char*>(at) + i, _MM_HINT_T0);
}

// Calls score(r) for every row, and fetch(r) for rows that come soon.
template <class Fetch, class Score>
void for_rows(std::int64_t n_rows, Fetch fetch_row, Score score) noexcept {
  for (std::int64_t r = 0; r < kAheadRows && r < n_rows; ++r) fetch_row(r);
  for (std::int64_t r = 0; r < n_rows; ++r) {
    if (r + kAheadRows < n_rows) fetch_row(r + kAheadRows);
    score(r);
  }
}

}  // namespace
}  // namespace sm

// Family late: for every token of a question, its best product with a token of each of many texts.
//
// A token is a row of kTokenDims int8. Every kernel computes, for each text t and query row q,
//   best[t * n_query + q] = max over the rows r of text t of (sum over d of query[q][d] * r[d]),
// exactly; 0 for a text without rows. The sum of 128 products is at most 2^21 in magnitude.
//
// Lanes are tokens of the question, not dimensions: a few bytes of a text's row are broadcast and multiplied with the
// same bytes of many query rows, so that no register is ever summed across. Source for the operation: Khattab and
// Zaharia 2020, "ColBERT" (MaxSim).
#pragma once

#include <cstdint>

namespace sm {

constexpr int kTokenDims = 128;

struct MaxSimArgs {
  const std::int8_t* query;          // [n_query][kTokenDims], any alignment
  std::int64_t n_query;
  const std::int8_t* const* texts;   // n_texts pointers to [n_rows][kTokenDims], any alignment
  const std::int64_t* n_rows;        // [n_texts]
  std::int64_t n_texts;
  std::int32_t* best;                // [n_texts][n_query]
};
using MaxSim = void (*)(const MaxSimArgs&) noexcept;

void sm_maxsim_i8_serial(const MaxSimArgs& args) noexcept;
void sm_maxsim_i8_avx2(const MaxSimArgs& args) noexcept;  // x86-64 builds only, as the next two
void sm_maxsim_i8_avxvnni(const MaxSimArgs& args) noexcept;
void sm_maxsim_i8_avx512vnni(const MaxSimArgs& args) noexcept;
void sm_maxsim_i8_neon(const MaxSimArgs& args) noexcept;  // arm64 builds only, as the next
void sm_maxsim_i8_neonsdot(const MaxSimArgs& args) noexcept;

}  // namespace sm

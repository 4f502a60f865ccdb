// AVX-VNNI: eight queries at a time.
#include "late/vnni.h"

namespace sm {

namespace {

inline __m256i add(__m256i sum, __m256i x, __m256i q) noexcept { return _mm256_dpbusd_avx_epi32(sum, x, q); }

}  // namespace

void sm_maxsim_i8_avxvnni(const MaxSimArgs& args) noexcept { maxsim<Vnni8<add>>(args, 0, 1); }

}  // namespace sm

#include "cpu.h"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(_M_ARM64) || (defined(__aarch64__) && defined(_WIN32))
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace sm {

#if defined(__x86_64__)

namespace {

bool bit(std::uint32_t word, int n) noexcept { return (word >> n) & 1U; }

// Which register files the operating system saves (XCR0). Only valid if CPUID says OSXSAVE.
std::uint32_t saved_state() noexcept {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

}  // namespace

// Intel SDM volume 2A, CPUID leaves 1 and 7; volume 1, 13.3 for XCR0.
CpuFeatures detect_cpu() noexcept {
  CpuFeatures features;
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) return features;
  const std::uint32_t saved = saved_state();
  const bool ymm = (saved & 0x06U) == 0x06U;
  const bool popcnt = bit(c, 23);
  const bool fma = bit(c, 12);
  const bool f16c = bit(c, 29);
  const bool zmm = (saved & 0xE6U) == 0xE6U;
  if (!ymm || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return features;
  const std::uint32_t max_subleaf = a;
  features.avx2 = bit(b, 5) && popcnt;
  features.fma = features.avx2 && fma;
  features.f16c = features.avx2 && f16c;
  const bool avx512 = bit(b, 16) && bit(b, 30) && bit(b, 31);
  features.avx512vnni = zmm && avx512 && bit(c, 11);
  features.avx512vpopcntdq = zmm && avx512 && bit(c, 14);
  if (max_subleaf >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) features.avxvnni = features.avx2 && bit(a, 4);
  return features;
}

#elif defined(__aarch64__) || defined(_M_ARM64)

#if defined(__APPLE__)
namespace {

bool has(const char* name) noexcept {
  int value = 0;
  std::size_t size = sizeof(value);
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

}  // namespace
#endif

CpuFeatures detect_cpu() noexcept {
  CpuFeatures features;
  features.neon = true;  // part of the base architecture
#if defined(__APPLE__)
  features.dotprod = has("hw.optional.arm.FEAT_DotProd");
  features.i8mm = has("hw.optional.arm.FEAT_I8MM");
#elif defined(__linux__)
  constexpr unsigned long kAsimdDp = 1UL << 20;  // HWCAP_ASIMDDP and HWCAP2_I8MM of the Linux arm64 ABI
  constexpr unsigned long kI8mm = 1UL << 13;
  features.dotprod = (getauxval(AT_HWCAP) & kAsimdDp) != 0;
  features.i8mm = (getauxval(AT_HWCAP2) & kI8mm) != 0;
#elif defined(_WIN32)
  constexpr DWORD kDotProd = 43;  // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE, which older SDKs do not name
  features.dotprod = IsProcessorFeaturePresent(kDotProd) != 0;
#endif
  return features;
}

#else

CpuFeatures detect_cpu() noexcept { return {}; }

#endif

}  // namespace sm

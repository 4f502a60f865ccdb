// What this CPU and operating system can run.
#pragma once

namespace sm {

// A feature is true only if the operating system also saves the registers it needs.
struct CpuFeatures {
  bool avx2 = false;  // with POPCNT, which is older
  bool fma = false;
  bool f16c = false;
  bool avxvnni = false;
  bool avx512vnni = false;  // with F, BW and VL, which every kernel that uses it needs
  bool avx512vpopcntdq = false;
  bool neon = false;
  bool dotprod = false;
  bool i8mm = false;
};

CpuFeatures detect_cpu() noexcept;

}  // namespace sm

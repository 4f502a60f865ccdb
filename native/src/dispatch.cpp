#include "dispatch.h"

#include <cstdlib>

#include "cpu.h"

namespace sm {

const std::vector<Kernels>& available_kernels() {
  static const std::vector<Kernels> table = [] {
    [[maybe_unused]] const CpuFeatures cpu = detect_cpu();
    std::vector<Kernels> found;  // worst first while it is made
    Kernels best{"serial", sm_dot_i8_serial, sm_scan_u8_serial, sm_hamming_b1_serial, sm_rescore_f32_serial,
                 sm_rescore_i16_serial, sm_maxsim_i8_serial, sm_rans_run_serial, sm_lookup_f32_serial,
                 sm_synthesis_f32_serial, sm_widen_f16_serial, sm_narrow_f32_serial};
    const auto keep = [&](const char* isa) {
      best.isa = isa;
      found.insert(found.begin(), best);
    };
    keep("serial");
#if defined(SM_X86)
    if (cpu.avx2) {
      best.dot_i8 = sm_dot_i8_avx2;
      best.scan_u8 = sm_scan_u8_avx2;
      best.hamming_b1 = sm_hamming_b1_avx2;
      best.rescore_i16 = sm_rescore_i16_avx2;
      best.maxsim_i8 = sm_maxsim_i8_avx2;
      if (cpu.fma) best.rescore_f32 = sm_rescore_f32_avx2;
      if (cpu.fma && cpu.f16c) {
        best.rans_run = sm_rans_run_avx2;
        best.lookup_f32 = sm_lookup_f32_avx2;
        best.synthesis_f32 = sm_synthesis_f32_avx2;
        best.widen_f16 = sm_widen_f16_avx2;
        best.narrow_f32 = sm_narrow_f32_avx2;
      }
      keep("avx2");
    }
    if (cpu.avxvnni) {
      best.dot_i8 = sm_dot_i8_avxvnni;
      best.scan_u8 = sm_scan_u8_avxvnni;
      best.maxsim_i8 = sm_maxsim_i8_avxvnni;
      keep("avxvnni");
    }
    if (cpu.avx512vnni) {
      best.dot_i8 = sm_dot_i8_avx512vnni;
      best.scan_u8 = sm_scan_u8_avx512vnni;
      if (cpu.avx512vpopcntdq) best.hamming_b1 = sm_hamming_b1_avx512;  // Cascade Lake has VNNI without it
      best.rescore_f32 = sm_rescore_f32_avx512;
      best.rescore_i16 = sm_rescore_i16_avx512vnni;
      best.maxsim_i8 = sm_maxsim_i8_avx512vnni;
      best.rans_run = sm_rans_run_avx512;
      best.lookup_f32 = sm_lookup_f32_avx512;
      best.synthesis_f32 = sm_synthesis_f32_avx512;
      keep("avx512vnni");
    }
#elif defined(SM_ARM)
    if (cpu.neon) {
      best.dot_i8 = sm_dot_i8_neon;
      best.scan_u8 = sm_scan_u8_neon;
      best.hamming_b1 = sm_hamming_b1_neon;
      best.rescore_f32 = sm_rescore_f32_neon;
      best.rescore_i16 = sm_rescore_i16_neon;
      best.maxsim_i8 = sm_maxsim_i8_neon;
      best.synthesis_f32 = sm_synthesis_f32_neon;
      best.widen_f16 = sm_widen_f16_neon;
      best.narrow_f32 = sm_narrow_f32_neon;
      keep("neon");
    }
    if (cpu.neon && cpu.dotprod) {
      best.dot_i8 = sm_dot_i8_neonsdot;
      best.scan_u8 = sm_scan_u8_neonsdot;
      best.maxsim_i8 = sm_maxsim_i8_neonsdot;
      keep("neonsdot");
    }
    if (cpu.neon && cpu.dotprod && cpu.i8mm) {
      best.scan_u8 = sm_scan_u8_neonusdot;
      keep("neonusdot");
    }
#endif
    return found;
  }();
  return table;
}

const Kernels* find_kernels(std::string_view isa) {
  for (const Kernels& kernels : available_kernels()) {
    if (isa == kernels.isa) return &kernels;
  }
  return nullptr;
}

const Kernels* chosen_kernels() {
  static const Kernels* const chosen = [] {
    const char* wanted = std::getenv("SECONDME_ISA");
    return wanted != nullptr && *wanted != '\0' ? find_kernels(wanted) : &available_kernels().front();
  }();
  return chosen;
}

}  // namespace sm

#include "dispatch.h"

#include <cstdlib>

#include "cpu.h"

namespace sm {

const std::vector<Kernels>& available_kernels() {
  static const std::vector<Kernels> table = [] {
    [[maybe_unused]] const CpuFeatures cpu = detect_cpu();
    std::vector<Kernels> found;  // worst first while it is made
    Kernels best{"serial", sm_dot_i8_serial, sm_scan_u8_serial, sm_hamming_b1_serial, sm_rescore_f32_serial,
                 sm_rescore_i16_serial};
    const auto keep = [&](const char* isa) {
      best.isa = isa;
      found.insert(found.begin(), best);
    };
    keep("serial");
#if defined(SM_X86)
    if (cpu.avx2) {
      best.dot_i8 = sm_dot_i8_avx2;
      keep("avx2");
    }
#elif defined(SM_ARM)
    if (cpu.neon) {
      best.dot_i8 = sm_dot_i8_neon;
      keep("neon");
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

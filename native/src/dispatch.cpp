#include "dispatch.h"

#include <cstdlib>

#include "cpu.h"

namespace sm {

const std::vector<Kernels>& available_kernels() {
  static const std::vector<Kernels> table = [] {
    [[maybe_unused]] const CpuFeatures cpu = detect_cpu();
    std::vector<Kernels> found;
#if defined(SM_X86)
    if (cpu.avx2) found.push_back({"avx2", sm_dot_i8_avx2});
#elif defined(SM_ARM)
    if (cpu.neon) found.push_back({"neon", sm_dot_i8_neon});
#endif
    found.push_back({"serial", sm_dot_i8_serial});
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

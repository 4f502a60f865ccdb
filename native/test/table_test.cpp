// Which kernels this machine offers: best first, serial last. The names that are expected may be given as arguments.
#include <cstring>

#include "check.h"

int main(int argc, char** argv) {
  using sm::test::check;
  const auto& table = sm::available_kernels();
  std::printf("kernels:");
  for (const sm::Kernels& kernels : table) std::printf(" %s", kernels.isa);
  std::printf("\n");
  check(!table.empty() && std::strcmp(table.back().isa, "serial") == 0, "serial is not last");
  for (const sm::Kernels& kernels : table) {
    check(sm::find_kernels(kernels.isa) == &kernels, "%s is not found by its name", kernels.isa);
    check(kernels.dot_i8 != nullptr && kernels.scan_u8 != nullptr && kernels.hamming_b1 != nullptr &&
              kernels.rescore_f32 != nullptr && kernels.rescore_i16 != nullptr && kernels.maxsim_i8 != nullptr &&
              kernels.rans_run != nullptr && kernels.lookup_f32 != nullptr && kernels.synthesis_f32 != nullptr && kernels.widen_f16 != nullptr && kernels.narrow_f32 != nullptr,
          "%s lacks a family", kernels.isa);
  }
  check(sm::find_kernels("none") == nullptr, "a name that no kernel has is found");
  if (argc > 1) check(static_cast<std::size_t>(argc - 1) == table.size(), "%d kernels were expected", argc - 1);
  for (int i = 1; i < argc && static_cast<std::size_t>(i) <= table.size(); ++i) {
    const char* found = table[static_cast<std::size_t>(i - 1)].isa;
    check(std::strcmp(found, argv[i]) == 0, "%s in place of %s", found, argv[i]);
  }
  return sm::test::finish("table");
}

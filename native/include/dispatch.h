// The table of kernels that this build holds and this machine can run, best first.
#pragma once

#include <string_view>
#include <vector>

#include "dot/dot.h"

namespace sm {

struct Kernels {
  const char* isa;
  DotI8 dot_i8;
};

// Never empty: `serial` is always last.
const std::vector<Kernels>& available_kernels();

// The entry called `isa`, or nullptr if this machine has none of that name.
const Kernels* find_kernels(std::string_view isa);

// Chosen once: the entry that SECONDME_ISA names, else the best. nullptr if SECONDME_ISA names none that is available.
const Kernels* chosen_kernels();

}  // namespace sm

// The table of kernels that this build holds and this machine can run, best first.
#pragma once

#include <string_view>
#include <vector>

#include "dot/dot.h"
#include "hamming/hamming.h"
#include "kv/kernels.h"
#include "late/late.h"
#include "rescore/rescore.h"
#include "scan/scan.h"

namespace sm {

// One kernel of every family. Where an instruction set adds nothing to a family, the entry holds the next best one's.
struct Kernels {
  const char* isa;
  DotI8 dot_i8;
  ScanU8 scan_u8;
  HammingB1 hamming_b1;
  RescoreF32 rescore_f32;
  RescoreI16 rescore_i16;
  MaxSim maxsim_i8;
  RansRun rans_run;
  Lookup lookup_f32;
  Synthesis synthesis_f32;
  Widen widen_f16;
  Narrow narrow_f32;
};

// Never empty: `serial` is always last.
const std::vector<Kernels>& available_kernels();

// The entry called `isa`, or nullptr if this machine has none of that name.
const Kernels* find_kernels(std::string_view isa);

// Chosen once: the entry that SECONDME_ISA names, else the best. nullptr if SECONDME_ISA names none that is available.
const Kernels* chosen_kernels();

}  // namespace sm

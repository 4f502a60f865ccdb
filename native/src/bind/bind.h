// The parts of the Python module, one function for each file of bindings.
#pragma once

#include <nanobind/nanobind.h>

namespace sm {

void bind_index(nanobind::module_& m);
void bind_kv(nanobind::module_& m);
void bind_timing(nanobind::module_& m);

}  // namespace sm

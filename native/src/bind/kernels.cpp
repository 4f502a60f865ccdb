// The Python module: checks shapes, releases the GIL, copies nothing.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "bind.h"
#include "cpu.h"
#include "dispatch.h"

namespace nb = nanobind;

namespace {

using Query = nb::ndarray<const std::int8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Rows = nb::ndarray<const std::int8_t, nb::ndim<2>, nb::device::cpu>;
using Sums = nb::ndarray<std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

nb::dict features() {
  const sm::CpuFeatures cpu = sm::detect_cpu();
  nb::dict found;
  found["avx2"] = cpu.avx2;
  found["fma"] = cpu.fma;
  found["avxvnni"] = cpu.avxvnni;
  found["avx512vnni"] = cpu.avx512vnni;
  found["avx512vpopcntdq"] = cpu.avx512vpopcntdq;
  found["neon"] = cpu.neon;
  found["dotprod"] = cpu.dotprod;
  found["i8mm"] = cpu.i8mm;
  return found;
}

nb::list isas() {
  nb::list names;
  for (const sm::Kernels& kernels : sm::available_kernels()) names.append(nb::str(kernels.isa));
  return names;
}

nb::object isa() {
  const sm::Kernels* chosen = sm::chosen_kernels();
  return chosen != nullptr ? nb::object(nb::str(chosen->isa)) : nb::none();
}

void dot_i8(Query query, Rows rows, Sums out, const char* isa) {
  const sm::Kernels* kernels = isa != nullptr ? sm::find_kernels(isa) : sm::chosen_kernels();
  if (kernels == nullptr) throw nb::value_error("no kernels of that name on this machine");
  const auto n_rows = static_cast<std::int64_t>(rows.shape(0));
  const auto n_dims = static_cast<std::int64_t>(rows.shape(1));
  if (static_cast<std::int64_t>(query.shape(0)) != n_dims || static_cast<std::int64_t>(out.shape(0)) != n_rows) {
    throw nb::value_error("shapes do not fit: query [d], rows [n, d], out [n]");
  }
  if (n_dims > sm::kMaxDims) throw nb::value_error("too many dimensions for exact int32 sums");
  if (n_dims > 1 && rows.stride(1) != 1) throw nb::value_error("the elements of a row must be contiguous");
  const sm::DotI8Args args{query.data(), rows.data(), n_rows, n_dims, rows.stride(0), out.data()};
  nb::gil_scoped_release released;
  kernels->dot_i8(args);
}

}  // namespace

NB_MODULE(_native, m) {
  sm::chosen_kernels();
  m.def("features", &features, "Instruction sets of this CPU, by name.");
  m.def("isas", &isas, "Kernels that run here, best first.");
  m.def("isa", &isa, "The kernels chosen at load; None if SECONDME_ISA names none that run here.");
  m.def("dot_i8", &dot_i8, nb::arg("query").noconvert(), nb::arg("rows").noconvert(), nb::arg("out").noconvert(),
        nb::arg("isa").none() = nb::none(), "Write the int8 dot products of query [d] with rows [n, d] to out [n].");
  sm::bind_index(m);
  sm::bind_timing(m);
}

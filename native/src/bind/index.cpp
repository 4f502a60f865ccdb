// VectorIndex for Python: shapes and values are checked here, the GIL is released, nothing is copied but results.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <deque>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "bind.h"
#include "index/index.h"
#include "index/quantize.h"
#include "view.h"

namespace nb = nanobind;

namespace sm {

namespace {

template <typename T>
using Vector = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Matrix = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

constexpr std::int64_t kMostResults = 65536;
constexpr std::size_t kMostRemembered = 65536;
constexpr std::size_t kMostQueries = 16;

void require_finite(const float* values, std::size_t n) {
  if (!all_finite(values, n)) throw nb::value_error("a vector holds a value that is not a number");
}

struct Columns {
  Vector<std::int32_t> project;
  Vector<std::int32_t> source;
  Vector<std::uint8_t> trust;
  Vector<std::int64_t> time;
};

std::vector<Attributes> attributes_of(const Columns& columns, std::size_t n) {
  if (columns.project.shape(0) != n || columns.source.shape(0) != n || columns.trust.shape(0) != n ||
      columns.time.shape(0) != n) {
    throw nb::value_error("shapes do not fit: ids and attributes [n], rows [n, d]");
  }
  std::vector<Attributes> all(n);
  for (std::size_t i = 0; i < n; ++i) {
    all[i] = {columns.project.data()[i], columns.source.data()[i], columns.trust.data()[i], columns.time.data()[i]};
  }
  return all;
}

template <typename T>
void add(Index& index, Vector<std::int64_t> ids, Matrix<T> rows, Vector<std::int32_t> project,
         Vector<std::int32_t> source, Vector<std::uint8_t> trust, Vector<std::int64_t> time) {
  const std::size_t n = ids.shape(0);
  if (rows.shape(0) != n || static_cast<std::int64_t>(rows.shape(1)) != index.options().n_dims) {
    throw nb::value_error("shapes do not fit: ids and attributes [n], rows [n, d]");
  }
  const std::vector<Attributes> attributes = attributes_of({project, source, trust, time}, n);
  if constexpr (std::is_same_v<T, float>) require_finite(rows.data(), rows.size());
  nb::gil_scoped_release released;
  index.add(ids.data(), rows.data(), attributes.data(), n);
}

// What both ways of searching are given.
struct Call {
  Call(nb::handle query_array, nb::handle id_array, nb::handle score_array)
      : query(query_array), ids(id_array), scores(score_array) {}

  View<const float> query;
  View<std::int64_t> ids;
  View<float> scores;
};

// An enum's member is an int, which the usual conversion finds out late.
Mode mode_of(nb::handle number) {
  const long mode = PyLong_AsLong(number.ptr());
  if (mode == -1 && PyErr_Occurred() != nullptr) throw nb::python_error();
  if (mode < 0 || mode > static_cast<long>(Mode::kAuto)) throw nb::value_error("there is no such mode");
  return static_cast<Mode>(mode);
}

Request request_of(const Index& index, const Call& call, const Filter* filter, nb::handle mode, int oversample,
                   int threads, int probes) {
  if (static_cast<std::int64_t>(call.query.size()) != index.options().n_dims || call.ids.size() != call.scores.size()) {
    throw nb::value_error("shapes do not fit: query [d], ids and scores [k]");
  }
  if (probes < 0) throw nb::value_error("probes is below 0");
  if (static_cast<std::int64_t>(call.ids.size()) > kMostResults || oversample < 1 || oversample > 1024) {
    throw nb::value_error("k is at most 65536, and oversample 1 to 1024");
  }
  require_finite(call.query.data(), call.query.size());
  Request request;
  request.query = call.query.data();
  request.k = call.ids.size();
  request.filter = filter;
  request.mode = mode_of(mode);
  request.oversample = oversample;
  request.n_threads = threads;
  request.probes = probes;
  return request;
}

std::int64_t search(const Index& index, nb::handle query, nb::handle ids, nb::handle scores, const Filter* filter,
                    nb::handle mode, int oversample, int threads, double slack, int probes) {
  const Call call(query, ids, scores);
  Request request = request_of(index, call, filter, mode, oversample, threads, probes);
  request.recall = slack >= 0;
  request.slack = slack;
  nb::gil_scoped_release released;
  return index.search(request, call.ids.data(), call.scores.data());
}

std::size_t candidates(const Index& index, nb::handle query, nb::handle ids, nb::handle scores, const Filter* filter,
                       nb::handle mode, int threads, int probes) {
  const Call call(query, ids, scores);
  const Request request = request_of(index, call, filter, mode, 1, threads, probes);
  nb::gil_scoped_release released;
  return index.candidates(request, call.ids.data(), call.scores.data());
}

// `queries`, `ids` and `scores` are lists of arrays, one of each for a query; k is the length of its ids.
std::vector<std::size_t> candidates_each(const Index& index, const nb::list& queries, const nb::list& ids,
                                         const nb::list& scores, const Filter* filter) {
  const std::size_t n = queries.size();
  if (n == 0 || n > kMostQueries || ids.size() != n || scores.size() != n) {
    throw nb::value_error("1 to 16 queries are needed, and ids and scores for each");
  }
  std::deque<Call> calls;
  std::vector<Request> requests;
  std::vector<Written> written;
  for (std::size_t q = 0; q < n; ++q) {
    calls.emplace_back(queries[q], ids[q], scores[q]);
    requests.push_back(request_of(index, calls.back(), filter, nb::int_(0), 1, 1, 0));
    written.push_back({requests.back().k, calls.back().ids.data(), calls.back().scores.data(), 0});
  }
  {
    nb::gil_scoped_release released;
    index.candidates_each(requests.data(), n, written.data());
  }
  std::vector<std::size_t> found;
  for (const Written& one : written) found.push_back(one.n);
  return found;
}

RowSet set_of(const std::vector<std::int64_t>& numbers) {
  std::vector<std::int32_t> ids;
  for (const std::int64_t n : numbers) {
    if (n < 0 || n > std::numeric_limits<std::int32_t>::max()) throw nb::value_error("a row id is out of range");
    ids.push_back(static_cast<std::int32_t>(n));
  }
  return RowSet(ids);
}

void make_filter(Filter* filter, const std::optional<std::vector<std::int64_t>>& projects,
                 const std::optional<std::vector<std::int64_t>>& sources, std::uint8_t least_trust, std::int64_t since,
                 std::int64_t until) {
  new (filter) Filter();
  if (projects) filter->projects = set_of(*projects);
  if (sources) filter->sources = set_of(*sources);
  filter->least_trust = least_trust;
  filter->since = since;
  filter->until = until;
}

void make_index(Index* index, std::int64_t n_dims, bool fine, bool signs, bool lock,
                const std::optional<std::string>& isa, std::size_t n_remembered, std::size_t flat_limit,
                double least_recall) {
  const Kernels* kernels = isa ? find_kernels(*isa) : chosen_kernels();
  if (kernels == nullptr) throw nb::value_error("no kernels of that name on this machine");
  if (n_remembered > kMostRemembered) throw nb::value_error("at most 65536 queries can be remembered");
  if (!(least_recall > 0 && least_recall <= 1)) throw nb::value_error("least_recall must be above 0 and at most 1");
  new (index) Index({n_dims, lock, fine, signs, kernels, n_remembered, flat_limit, least_recall});
}

nb::dict stats(const Index& index) {
  const IndexStats found = index.stats();
  nb::dict result;
  result["n_rows"] = found.n_rows;
  result["n_fine"] = found.n_fine;
  result["held_bytes"] = found.held_bytes;
  result["locked_bytes"] = found.locked_bytes;
  result["n_waiting"] = found.n_waiting;
  result["n_remembered"] = found.n_remembered;
  result["n_repeats"] = found.n_repeats;
  result["n_near"] = found.n_near;
  result["n_lists"] = found.n_lists;
  result["n_tail"] = found.n_tail;
  result["fewest"] = found.fewest;
  result["median"] = found.median;
  result["most"] = found.most;
  result["n_probes"] = found.n_probes;
  result["recall"] = found.recall;
  result["n_splits"] = found.n_splits;
  result["n_merges"] = found.n_merges;
  return result;
}

}  // namespace

void bind_index(nb::module_& m) {
  nb::class_<Filter>(m, "Filter")
      .def("__init__", &make_filter, nb::kw_only(), nb::arg("projects") = nb::none(), nb::arg("sources") = nb::none(),
           nb::arg("least_trust") = 0, nb::arg("since") = std::numeric_limits<std::int64_t>::min(),
           nb::arg("until") = std::numeric_limits<std::int64_t>::max());
  nb::class_<Index>(m, "VectorIndex")
      .def("__init__", &make_index, nb::arg("n_dims"), nb::kw_only(), nb::arg("fine"), nb::arg("signs"),
           nb::arg("lock"), nb::arg("isa") = nb::none(), nb::arg("n_remembered") = 0,
           nb::arg("flat_limit") = 100'000, nb::arg("least_recall") = 0.98)
      .def("add_f32", &add<float>, nb::arg("ids").noconvert(), nb::arg("rows").noconvert(),
           nb::arg("project").noconvert(), nb::arg("source").noconvert(), nb::arg("trust").noconvert(),
           nb::arg("time").noconvert())
      .def("add_i8", &add<std::int8_t>, nb::arg("ids").noconvert(), nb::arg("rows").noconvert(),
           nb::arg("project").noconvert(), nb::arg("source").noconvert(), nb::arg("trust").noconvert(),
           nb::arg("time").noconvert())
      .def("remove",
           [](Index& index, Vector<std::int64_t> ids) {
             nb::gil_scoped_release released;
             return index.remove(ids.data(), ids.shape(0));
           })
      .def("clear", &Index::clear, nb::call_guard<nb::gil_scoped_release>())
      .def("search", &search, nb::arg("query"), nb::arg("ids"), nb::arg("scores"),
           nb::arg("filter").none() = nb::none(), nb::arg("mode") = 0, nb::arg("oversample") = 4,
           nb::arg("threads") = 1, nb::arg("slack") = 0.0, nb::arg("probes") = 0)
      .def("candidates", &candidates, nb::arg("query"), nb::arg("ids"), nb::arg("scores"),
           nb::arg("filter").none() = nb::none(), nb::arg("mode") = 0,
           nb::arg("threads") = 1, nb::arg("probes") = 0)
      .def("candidates_each", &candidates_each, nb::arg("queries"), nb::arg("ids"), nb::arg("scores"),
           nb::arg("filter").none() = nb::none())
      .def("maintain", &Index::maintain, nb::arg("budget_us"), nb::call_guard<nb::gil_scoped_release>())
      .def("measure_recall", &Index::measure_recall, nb::arg("n_sample"), nb::arg("k"), nb::arg("probes") = 0,
           nb::call_guard<nb::gil_scoped_release>())
      .def("version", &Index::version)
      .def("stats", &stats);
}

}  // namespace sm

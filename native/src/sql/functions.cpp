// The kernels as SQL functions, in the same file as the Python module: connection.load_extension(path of _native,
// "sqlite3_secondme_init"). All are deterministic and innocuous, and answer wrong sizes and types with an SQL error.
//
//   sm_dot_i8(a, b)                                          integer; two BLOBs of equal length
//   sm_top_i8(rowids, validity, vectors, query, k [, ids])   aggregate over blocks; see sql/top.h. BLOB of Neighbour
//   sm_ids(id)                                               aggregate: BLOB of the set of these ids; NULLs are left out
//   sm_has_id(rowids, validity, ids)                         1 if a slot in use holds one of them, else 0
#include <atomic>
#include <new>

#include "dispatch.h"
#include "sql/abi.h"
#include "sql/top.h"

namespace sm::sql {

namespace {

std::atomic<Host::Table> table_of_sqlite{nullptr};

Host host() noexcept { return Host(table_of_sqlite.load(std::memory_order_relaxed)); }

DotI8 dot() { return chosen_kernels()->dot_i8; }  // there is one: loading made sure

constexpr const char* kSizes = "the sizes of a block of vectors do not fit";

// Asks for the bytes before their number, as SQLite wants it. False, with the error set, unless it is a BLOB.
bool blob(Context* c, Value* value, Bytes* out) {
  if (host().value_type(value) != kBlob) {
    host().result_error(c, "a BLOB is needed");
    return false;
  }
  out->at = static_cast<const std::uint8_t*>(host().value_blob(value));
  out->size = static_cast<std::size_t>(host().value_bytes(value));
  if (out->at == nullptr && out->size > 0) {
    host().result_no_memory(c);
    return false;
  }
  return true;
}

void dot_i8(Context* c, int, Value** values) {
  Bytes a;
  Bytes b;
  if (!blob(c, values[0], &a) || !blob(c, values[1], &b)) return;
  if (a.size != b.size || a.size > static_cast<std::size_t>(kMaxDims)) {
    host().result_error(c, "two vectors of the same length are needed");
    return;
  }
  std::int32_t sum = 0;
  const auto n_dims = static_cast<std::int64_t>(a.size);
  dot()({reinterpret_cast<const std::int8_t*>(a.at), reinterpret_cast<const std::int8_t*>(b.at), 1, n_dims, n_dims, &sum});
  host().result_int64(c, sum);
}

// What an aggregate keeps between its steps: SQLite's own zeroed memory holds the pointer, the final call deletes it.
template <typename T>
T** kept(Context* c) noexcept {
  return static_cast<T**>(host().aggregate_context(c, static_cast<int>(sizeof(T*))));
}

BlockTop* top_of(Context* c, Value* k_value) {
  BlockTop** top = kept<BlockTop>(c);
  if (top == nullptr) throw std::bad_alloc();
  if (*top != nullptr) return *top;
  const std::int64_t k = host().value_type(k_value) == kInteger ? host().value_int64(k_value) : -1;
  if (k < 0 || k > BlockTop::kMostK) {
    host().result_error(c, "k must be an integer from 0 to 1048576");
    return nullptr;
  }
  *top = new BlockTop(dot(), static_cast<std::size_t>(k));
  return *top;
}

bool id_set(Context* c, Value* value, IdSet* ids) {
  Bytes bytes;
  if (!blob(c, value, &bytes)) return false;
  if (ids->open(bytes)) return true;
  host().result_error(c, "a set of ids as sm_ids makes it is needed");
  return false;
}

void top_step(Context* c, int n_values, Value** values) {
  Block block;
  Bytes query;
  IdSet ids;
  if (!blob(c, values[0], &block.rowids) || !blob(c, values[1], &block.validity) ||
      !blob(c, values[2], &block.vectors) || !blob(c, values[3], &query)) {
    return;
  }
  if (n_values == 6 && !id_set(c, values[5], &ids)) return;
  if (query.size == 0 || query.size > static_cast<std::size_t>(kMaxDims) || !fits(block, query.size)) {
    host().result_error(c, kSizes);
    return;
  }
  try {
    BlockTop* top = top_of(c, values[4]);
    if (top != nullptr) top->add(block, query, n_values == 6 ? &ids : nullptr);
  } catch (const std::bad_alloc&) {
    host().result_no_memory(c);
  }
}

void top_final(Context* c) {
  auto** top = static_cast<BlockTop**>(host().aggregate_context(c, 0));
  if (top == nullptr || *top == nullptr) {
    host().result_blob(c, "", 0);
    return;
  }
  const std::vector<Neighbour>& best = (*top)->finish();
  host().result_blob(c, best.empty() ? static_cast<const void*>("") : best.data(),
                   static_cast<int>(best.size() * sizeof(Neighbour)));
  delete *top;
  *top = nullptr;
}

void ids_step(Context* c, int, Value** values) {
  const int type = host().value_type(values[0]);
  if (type == kNull) return;
  if (type != kInteger) {
    host().result_error(c, "an id must be an integer");
    return;
  }
  using Ids = std::vector<std::int64_t>;
  Ids** ids = kept<Ids>(c);
  try {
    if (ids == nullptr) throw std::bad_alloc();
    if (*ids == nullptr) *ids = new Ids;
    (*ids)->push_back(host().value_int64(values[0]));
  } catch (const std::bad_alloc&) {
    host().result_no_memory(c);
  }
}

void ids_final(Context* c) {
  auto** kept_ids = static_cast<std::vector<std::int64_t>**>(host().aggregate_context(c, 0));
  std::vector<std::int64_t>* ids = kept_ids != nullptr ? *kept_ids : nullptr;
  try {
    std::vector<std::int64_t> none;
    const std::vector<std::uint8_t> packed = IdSet::pack(ids != nullptr ? *ids : none);
    if (packed.size() > std::size_t{1} << 30) throw std::bad_alloc();
    host().result_blob(c, packed.data(), static_cast<int>(packed.size()));
  } catch (const std::bad_alloc&) {
    host().result_no_memory(c);
  }
  if (ids != nullptr) {
    delete ids;
    *kept_ids = nullptr;
  }
}

void has_id(Context* c, int, Value** values) {
  Block block;
  IdSet ids;
  if (!blob(c, values[0], &block.rowids) || !blob(c, values[1], &block.validity) || !id_set(c, values[2], &ids)) return;
  if (!fits(block, 0)) {
    host().result_error(c, kSizes);
    return;
  }
  host().result_int64(c, has_any(block, ids) ? 1 : 0);
}

int add_functions(Db* db) noexcept {
  int rc = host().create_function(db, "sm_dot_i8", 2, dot_i8, nullptr, nullptr);
  if (rc == kOk) rc = host().create_function(db, "sm_top_i8", 5, nullptr, top_step, top_final);
  if (rc == kOk) rc = host().create_function(db, "sm_top_i8", 6, nullptr, top_step, top_final);
  if (rc == kOk) rc = host().create_function(db, "sm_ids", 1, nullptr, ids_step, ids_final);
  if (rc == kOk) rc = host().create_function(db, "sm_has_id", 3, has_id, nullptr, nullptr);
  return rc;
}

}  // namespace

}  // namespace sm::sql

#if defined(_WIN32)
#define SM_EXPORTED __declspec(dllexport)
#else
#define SM_EXPORTED __attribute__((visibility("default")))
#endif

// The name that connection.load_extension is given. The last parameter is SQLite's table of functions.
extern "C" SM_EXPORTED int sqlite3_secondme_init(sm::sql::Db* db, char**, sm::sql::Host::Table table);

extern "C" SM_EXPORTED int sqlite3_secondme_init(sm::sql::Db* db, char**, sm::sql::Host::Table table) {
  if (sm::chosen_kernels() == nullptr || !sm::sql::Host(table).sane()) return sm::sql::kError;
  // A process has one SQLite that loads this. A second one, with another table, is refused: contexts and values of the
  // first would go to functions of the second.
  sm::sql::Host::Table known = nullptr;
  if (!sm::sql::table_of_sqlite.compare_exchange_strong(known, table) && known != table) return sm::sql::kError;
  const int rc = sm::sql::add_functions(db);
  return rc == sm::sql::kOk ? sm::sql::kOkForGood : rc;
}

// The SQL functions with a host of our own making: exactly sized heap blocks behind every BLOB, so that the address
// sanitizer sees a read past any of them, whatever sizes and bytes they have.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "dispatch.h"
#include "sql/abi.h"
#include "sql/top.h"

extern "C" int sqlite3_secondme_init(sm::sql::Db* db, char** error, sm::sql::Host::Table table);

namespace sm::sql {

struct Value {
  int type = kNull;
  std::int64_t number = 0;
  std::unique_ptr<std::uint8_t[]> bytes;
  int size = 0;
};

struct Context {
  void* kept = nullptr;
  std::vector<std::uint8_t> blob;
  std::int64_t number = 0;
  std::string error;
};

namespace {

struct Function {
  std::string name;
  int n_args;
  Step plain;
  Step step;
  Final final;
};
std::vector<Function> functions;

using Entry = void (*)();
using Slots = std::array<Entry, 266>;

template <typename T>
Entry entry(T function) {
  return reinterpret_cast<Entry>(function);
}

Slots table_of(int (*number)(), const char* (*text)()) {
  Slots slots{};
  slots[0] = entry(+[](Context* c, int n) -> void* {
    if (c->kept == nullptr && n > 0) c->kept = std::calloc(1, static_cast<std::size_t>(n));
    return c->kept;
  });
  slots[45] = entry(+[](Db*, const char* name, int n, int, void*, Step plain, Step step, Final final) {
    functions.push_back({name, n, plain, step, final});
    return kOk;
  });
  slots[66] = entry(text);
  slots[67] = entry(number);
  slots[78] = entry(+[](Context* c, const void* at, int n, void (*)(void*)) {
    const auto* bytes = static_cast<const std::uint8_t*>(at);
    c->blob.assign(bytes, bytes + n);
  });
  slots[80] = entry(+[](Context* c, const char* message, int) { c->error = message; });
  slots[83] = entry(+[](Context* c, long long value) { c->number = value; });
  slots[102] = entry(+[](Value* v) -> const void* { return v->bytes.get(); });
  slots[103] = entry(+[](Value* v) { return v->size; });
  slots[107] = entry(+[](Value* v) -> long long { return v->number; });
  slots[113] = entry(+[](Value* v) { return v->type; });
  return slots;
}

Slots good = table_of(+[] { return 3054000; }, +[] { return "3.54.0"; });

std::unique_ptr<Value> blob(std::size_t n, std::mt19937& random) {
  auto value = std::make_unique<Value>();
  value->type = kBlob;
  value->size = static_cast<int>(n);
  if (n == 0) return value;  // SQLite gives no address for an empty one
  value->bytes.reset(new std::uint8_t[n]);
  for (std::size_t i = 0; i < n; ++i) value->bytes[i] = static_cast<std::uint8_t>(random());
  return value;
}

std::unique_ptr<Value> integer(std::int64_t n) {
  auto value = std::make_unique<Value>();
  value->type = kInteger;
  value->number = n;
  return value;
}

const Function& function(const char* name, int n_args) {
  for (const Function& f : functions) {
    if (f.name == name && f.n_args == n_args) return f;
  }
  std::abort();
}

using Values = std::vector<std::unique_ptr<Value>>;

void call(Step step, Context* c, const Values& values) {
  std::vector<Value*> pointers;
  for (const auto& value : values) pointers.push_back(value.get());
  step(c, static_cast<int>(pointers.size()), pointers.data());
}

void end(const Function& f, Context* c) {
  f.final(c);
  std::free(c->kept);
  c->kept = nullptr;
}

bool refuses_what_is_no_sqlite() {
  Slots empty{};
  Slots old = table_of(+[] { return 3008000; }, +[] { return "3.8.0"; });
  Slots torn = table_of(+[] { return 3054000; }, +[] { return "3.40.1"; });
  Slots text = table_of(+[] { return 3054000; }, +[] { return "three"; });
  for (Slots* wrong : {&empty, &old, &torn, &text}) {
    if (sqlite3_secondme_init(nullptr, nullptr, wrong->data()) != kError) return false;
  }
  if (sqlite3_secondme_init(nullptr, nullptr, nullptr) != kError) return false;
  if (sqlite3_secondme_init(nullptr, nullptr, good.data()) != kOkForGood) return false;
  Slots second = table_of(+[] { return 3040001; }, +[] { return "3.40.1"; });
  return sqlite3_secondme_init(nullptr, nullptr, second.data()) == kError &&
         sqlite3_secondme_init(nullptr, nullptr, good.data()) == kOkForGood;
}

// A whole block of random bytes against a plain loop.
bool finds_the_best(std::size_t n_slots, std::size_t n_dims, std::int64_t k, std::mt19937& random) {
  const Function& top = function("sm_top_i8", 5);
  Context c;
  Values values;
  values.push_back(blob(n_slots * 8, random));
  values.push_back(blob(n_slots / 8, random));
  values.push_back(blob(n_slots * n_dims, random));
  values.push_back(blob(n_dims, random));
  values.push_back(integer(k));
  std::vector<std::int32_t> expected;
  for (std::size_t r = 0; r < n_slots; ++r) {
    if (((values[1]->bytes[r / 8] >> (r % 8)) & 1) == 0) continue;
    std::int32_t sum = 0;
    for (std::size_t d = 0; d < n_dims; ++d) {
      sum += static_cast<std::int8_t>(values[2]->bytes[r * n_dims + d]) * static_cast<std::int8_t>(values[3]->bytes[d]);
    }
    expected.push_back(sum);
    expected.push_back(sum);  // the block is given twice
  }
  call(top.step, &c, values);
  call(top.step, &c, values);
  end(top, &c);
  std::sort(expected.rbegin(), expected.rend());
  expected.resize(std::min(expected.size(), static_cast<std::size_t>(k)));
  if (!c.error.empty() || c.blob.size() != expected.size() * sizeof(Neighbour)) return false;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    Neighbour found;
    std::memcpy(&found, c.blob.data() + i * sizeof(found), sizeof(found));
    if (found.score != expected[i]) return false;
  }
  return true;
}

// Sizes that hardly ever fit, and sets of ids of random bytes: an error or a result, and never a read outside.
void survives_anything(std::mt19937& random) {
  const auto size = [&] { return std::size_t{random() % 4} == 0 ? random() % 700 : 8 * (random() % 40); };
  for (int round = 0; round < 20000; ++round) {
    const int n_args = random() % 2 == 0 ? 5 : 6;
    const Function& top = function("sm_top_i8", n_args);
    Context c;
    Values values;
    const std::size_t n_slots = 8 * (random() % 24);
    const std::size_t n_dims = random() % 70;
    const bool fitting = random() % 2 == 0;
    values.push_back(blob(fitting ? n_slots * 8 : size(), random));
    values.push_back(blob(fitting ? n_slots / 8 : size(), random));
    values.push_back(blob(fitting ? n_slots * n_dims : size(), random));
    values.push_back(blob(fitting ? n_dims : size(), random));
    values.push_back(integer(static_cast<std::int64_t>(random() % 50) - 2));
    if (n_args == 6) {
      values.push_back(blob(size(), random));
      if (values[5]->size >= 8) {
        std::memset(values[5]->bytes.get(), 0, 8);
        values[5]->bytes[0] = static_cast<std::uint8_t>(random() % 3);
      }
      call(function("sm_has_id", 3).plain, &c, [&] {
        Values three;
        three.push_back(blob(fitting ? n_slots * 8 : size(), random));
        three.push_back(blob(fitting ? n_slots / 8 : size(), random));
        three.push_back(blob(size(), random));
        return three;
      }());
      c.error.clear();
    }
    call(top.step, &c, values);
    end(top, &c);
  }
}

// Sets of ids, close and far apart, against a plain search.
bool sets_hold_what_was_put_in(std::mt19937& random) {
  for (const std::int64_t spread : {std::int64_t{1}, std::int64_t{1} << 21, std::int64_t{1} << 52}) {
    std::vector<std::int64_t> ids;
    for (int i = 0; i < 500; ++i) ids.push_back((static_cast<std::int64_t>(random() % 2000) - 1000) * spread);
    std::vector<std::int64_t> sorted = ids;
    const std::vector<std::uint8_t> packed = IdSet::pack(sorted);
    std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[packed.size()]);
    std::memcpy(exact.get(), packed.data(), packed.size());
    IdSet set;
    if (!set.open({exact.get(), packed.size()})) return false;
    for (std::int64_t n = -1100; n < 1100; ++n) {
      if (set.has(n * spread) != std::binary_search(sorted.begin(), sorted.end(), n * spread)) return false;
    }
    if (set.has(INT64_MIN) || set.has(INT64_MAX)) return false;
  }
  return true;
}

}  // namespace

}  // namespace sm::sql

int main() {
  std::mt19937 random(11);
  sm::test::check(sm::sql::refuses_what_is_no_sqlite(), "a table that is not SQLite's was taken");
  for (const std::size_t n_slots : {8U, 64U, 72U, 256U, 1000U}) {
    for (const std::size_t n_dims : {1U, 31U, 64U, 100U}) {
      for (const std::int64_t k : {1, 7, 300, 5000}) {
        sm::test::check(sm::sql::finds_the_best(n_slots, n_dims, k, random), "%zu slots, %zu dims: not the best %lld",
                        n_slots, n_dims, static_cast<long long>(k));
      }
    }
  }
  sm::test::check(sm::sql::sets_hold_what_was_put_in(random), "a set of ids holds something else");
  sm::sql::survives_anything(random);
  return sm::test::finish("sql");
}

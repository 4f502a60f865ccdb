// The few entry points of SQLite's loadable-extension interface that are used here, by their place in the table.
//
// A host hands an extension an array of function pointers to which SQLite only ever appends, so a place means the same in
// every version since it was added (sqlite.org/loadext.html, sqlite.org/c3ref). Declaring those places spares users the
// headers of an SQLite that is not the one inside the encrypted database. The functions used at load are asked to agree
// with each other first; see `Host::sane`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace sm::sql {

struct Db;
struct Context;
struct Value;

using Step = void (*)(Context*, int, Value**);
using Final = void (*)(Context*);

enum Type : int { kInteger = 1, kFloat = 2, kText = 3, kBlob = 4, kNull = 5 };

constexpr int kOk = 0;
constexpr int kError = 1;
constexpr int kOkForGood = 256;  // loaded, and not unloaded with the connection
// UTF-8, deterministic (3.8.3), and of no effect beyond its result (3.31), which `trusted_schema = off` asks for.
constexpr int kPure = 0x1 | 0x800 | 0x200000;
constexpr int kOldest = 3031000;

class Host {
 public:
  using Table = void (*const*)();

  explicit Host(Table table) noexcept : at_(table) {}

  int version() const noexcept { return get<int (*)()>(67)(); }
  const char* version_text() const noexcept { return get<const char* (*)()>(66)(); }

  // The table is one of SQLite's: its version as a number and as text are the same, and late enough.
  bool sane() const noexcept {
    if (at_ == nullptr || at_[66] == nullptr || at_[67] == nullptr) return false;
    const int number = version();
    if (number < kOldest || number >= 4000000) return false;
    char* dot = nullptr;
    const long major = std::strtol(version_text(), &dot, 10);
    if (*dot != '.') return false;
    return major == number / 1000000 && std::strtol(dot + 1, nullptr, 10) == number / 1000 % 1000;
  }

  int create_function(Db* db, const char* name, int n_args, Step plain, Step step, Final final) const noexcept {
    using Create = int (*)(Db*, const char*, int, int, void*, Step, Step, Final);
    return get<Create>(45)(db, name, n_args, kPure, nullptr, plain, step, final);
  }
  // Zeroed at first; with 0 bytes null if there was no step.
  void* aggregate_context(Context* c, int n_bytes) const noexcept {
    return get<void* (*)(Context*, int)>(0)(c, n_bytes);
  }
  void result_blob(Context* c, const void* at, int n_bytes) const noexcept {
    using Destroy = void (*)(void*);
    const auto copied = reinterpret_cast<Destroy>(std::intptr_t{-1});
    get<void (*)(Context*, const void*, int, Destroy)>(78)(c, at, n_bytes, copied);
  }
  void result_error(Context* c, const char* text) const noexcept {
    get<void (*)(Context*, const char*, int)>(80)(c, text, -1);
  }
  void result_int64(Context* c, std::int64_t value) const noexcept {
    get<void (*)(Context*, long long)>(83)(c, value);
  }
  void result_no_memory(Context* c) const noexcept { get<void (*)(Context*)>(137)(c); }
  const void* value_blob(Value* v) const noexcept { return get<const void* (*)(Value*)>(102)(v); }
  int value_bytes(Value* v) const noexcept { return get<int (*)(Value*)>(103)(v); }
  std::int64_t value_int64(Value* v) const noexcept { return get<long long (*)(Value*)>(107)(v); }
  int value_type(Value* v) const noexcept { return get<int (*)(Value*)>(113)(v); }

 private:
  template <typename Function>
  Function get(std::size_t place) const noexcept {
    return reinterpret_cast<Function>(at_[place]);
  }

  Table at_;
};

}  // namespace sm::sql

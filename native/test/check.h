// What the native tests share: random numbers, exactly sized blocks, and a count of what went wrong.
#pragma once

#include <cstddef>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <random>
#include <type_traits>

#include "dispatch.h"

namespace sm::test {

inline int n_failed = 0;
inline long long n_checked = 0;

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
inline bool
check(bool holds, const char* format, ...) {
  ++n_checked;
  if (holds) return true;
  ++n_failed;
  if (n_failed > 20) return false;  // enough to see what is wrong
  std::va_list args;
  va_start(args, format);
  std::vfprintf(stderr, format, args);
  va_end(args);
  std::fputc('\n', stderr);
  return false;
}

// For `main`: says what was done, and fails if that was nothing.
inline int finish(const char* name) {
  std::printf("%s: %lld checks, %d failed\n", name, n_checked, n_failed);
  return n_checked > 0 && n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

// A heap block that ends exactly where its elements do, so that the address sanitizer sees a read past them. It starts
// `offset` bytes behind a multiple of `align`.
template <typename T>
class Block {
  static_assert(std::is_trivial_v<T>);

 public:
  explicit Block(std::size_t n, std::size_t align = alignof(T), std::size_t offset = 0)
      : align_(align < alignof(std::max_align_t) ? alignof(std::max_align_t) : align),
        base_(static_cast<std::byte*>(::operator new(n * sizeof(T) + offset, std::align_val_t{align_}))),
        at_(reinterpret_cast<T*>(base_ + offset)),
        n_(n) {
    for (std::size_t i = 0; i < n; ++i) at_[i] = T{};
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { ::operator delete(base_, std::align_val_t{align_}); }

  T* data() noexcept { return at_; }
  const T* data() const noexcept { return at_; }
  std::size_t size() const noexcept { return n_; }
  T& operator[](std::size_t i) noexcept { return at_[i]; }
  const T& operator[](std::size_t i) const noexcept { return at_[i]; }
  T* begin() noexcept { return at_; }
  T* end() noexcept { return at_ + n_; }

 private:
  std::size_t align_;
  std::byte* base_;
  T* at_;
  std::size_t n_;
};

class Random {
 public:
  explicit Random(std::uint32_t seed) : engine_(seed) {}
  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  std::uint64_t bits() { return engine_() ^ (std::uint64_t{engine_()} << 32); }
  float normal() { return std::normal_distribution<float>()(engine_); }
  std::mt19937& engine() noexcept { return engine_; }

  template <typename T>
  void fill(Block<T>& block, int low, int high) {
    for (T& x : block) x = static_cast<T>(between(low, high));
  }

 private:
  std::mt19937 engine_;
};

}  // namespace sm::test

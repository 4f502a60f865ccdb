// Memory for vectors: blocks of one size that are kept out of core dumps, locked where that is allowed, and zeroed when
// they are given back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sm {

// Overwrite with zeros in a way that the compiler may not leave out.
void wipe(void* at, std::size_t n_bytes) noexcept;

class Arena {
 public:
  // `block_bytes` must be a multiple of 64. With `lock` the memory is asked to stay out of swap; a refusal is no error.
  Arena(std::size_t block_bytes, bool lock) noexcept : block_bytes_(block_bytes), lock_(lock) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  // A block of zeros, aligned to 64 bytes. Throws std::bad_alloc.
  std::uint8_t* take();
  // Zero a block and keep it for the next `take`.
  void give(std::uint8_t* block) noexcept;

  std::size_t block_bytes() const noexcept { return block_bytes_; }
  std::size_t held_bytes() const noexcept { return held_; }
  std::size_t locked_bytes() const noexcept { return locked_; }

 private:
  struct Slab {
    std::uint8_t* base;
    std::size_t n_bytes;
    bool locked;
  };
  void grow();

  std::size_t block_bytes_;
  bool lock_;
  std::vector<Slab> slabs_;
  std::vector<std::uint8_t*> free_;  // the lowest address last, so that blocks are handed out in order
  std::size_t held_ = 0;
  std::size_t locked_ = 0;
};

}  // namespace sm

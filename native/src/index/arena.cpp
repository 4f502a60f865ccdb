#include "index/arena.h"

#include <algorithm>
#include <cstring>
#include <new>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <sys/mman.h>
#endif

namespace sm {

namespace {

constexpr std::size_t kFirstSlab = std::size_t{256} << 10;
constexpr std::size_t kLargestSlab = std::size_t{32} << 20;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

#if defined(_WIN32)

std::uint8_t* map(std::size_t n_bytes) noexcept {
  return static_cast<std::uint8_t*>(VirtualAlloc(nullptr, n_bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
}
void unmap(std::uint8_t* at, std::size_t) noexcept { VirtualFree(at, 0, MEM_RELEASE); }
bool lock_memory(std::uint8_t* at, std::size_t n_bytes) noexcept { return VirtualLock(at, n_bytes) != 0; }
void advise(std::uint8_t*, std::size_t) noexcept {}

#else

std::uint8_t* map(std::size_t n_bytes) noexcept {
  void* at = mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? nullptr : static_cast<std::uint8_t*>(at);
}
void unmap(std::uint8_t* at, std::size_t n_bytes) noexcept { munmap(at, n_bytes); }
bool lock_memory(std::uint8_t* at, std::size_t n_bytes) noexcept { return mlock(at, n_bytes) == 0; }

void advise([[maybe_unused]] std::uint8_t* at, [[maybe_unused]] std::size_t n_bytes) noexcept {
#if defined(MADV_DONTDUMP)
  madvise(at, n_bytes, MADV_DONTDUMP);
#endif
#if defined(MADV_HUGEPAGE)
  // A scan touches each 4 KiB page once: with large pages it is not held up by address translation.
  if (n_bytes >= kHugePage) madvise(at, n_bytes, MADV_HUGEPAGE);
#endif
}

#endif

}  // namespace

void wipe(void* at, std::size_t n_bytes) noexcept {
  std::memset(at, 0, n_bytes);
#if defined(__GNUC__)
  __asm__ volatile("" : : "r"(at) : "memory");
#endif
}

Arena::~Arena() {
  for (const Slab& slab : slabs_) {
    wipe(slab.base, slab.n_bytes);
    unmap(slab.base, slab.n_bytes);
  }
}

std::uint8_t* Arena::take() {
  if (free_.empty()) grow();
  std::uint8_t* block = free_.back();
  free_.pop_back();
  return block;
}

void Arena::give(std::uint8_t* block) noexcept {
  wipe(block, block_bytes_);
  free_.push_back(block);  // `grow` reserved the room
}

void Arena::grow() {
  // Slabs double, so that a small memory takes little and a large one few mappings.
  const std::size_t wanted = std::clamp(held_, kFirstSlab, kLargestSlab);
  const std::size_t n_blocks = std::max<std::size_t>(1, wanted / block_bytes_);
  std::size_t n_bytes = n_blocks * block_bytes_;
  n_bytes = n_bytes >= kHugePage ? (n_bytes + kHugePage - 1) / kHugePage * kHugePage : n_bytes;
  slabs_.reserve(slabs_.size() + 1);
  std::size_t n_all = n_bytes / block_bytes_;
  for (const Slab& slab : slabs_) n_all += slab.n_bytes / block_bytes_;
  free_.reserve(n_all);
  std::uint8_t* base = map(n_bytes);
  if (base == nullptr) throw std::bad_alloc();
  advise(base, n_bytes);
  const bool locked = lock_ && lock_memory(base, n_bytes);
  slabs_.push_back({base, n_bytes, locked});
  held_ += n_bytes;
  if (locked) locked_ += n_bytes;
  for (std::size_t n = n_bytes / block_bytes_; n-- > 0;) free_.push_back(base + n * block_bytes_);
}

}  // namespace sm

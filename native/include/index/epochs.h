// Epoch-based reclamation: readers never wait, and a writer learns when nobody can see what it took away.
// K. Fraser, "Practical lock-freedom", 2004, section 5.2.3.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>

namespace sm {

class Epochs {
  static constexpr std::uint64_t kFree = 0;
  struct alignas(64) Slot {
    std::atomic<std::uint64_t> at{kFree};
  };

 public:
  // While one lives, nothing that its thread can reach is zeroed or freed.
  class Reader {
   public:
    explicit Reader(Epochs& epochs) noexcept : slot_(epochs.enter()) {}
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader() { slot_.at.store(kFree, std::memory_order_seq_cst); }

   private:
    Slot& slot_;
  };

  // Begin a new epoch after taking something away: who enters from now on cannot reach it.
  std::uint64_t advance() noexcept { return now_.fetch_add(1, std::memory_order_seq_cst) + 1; }

  // No reader is left that entered before `epoch` began.
  bool passed(std::uint64_t epoch) const noexcept {
    for (const Slot& slot : slots_) {
      const std::uint64_t at = slot.at.load(std::memory_order_seq_cst);
      if (at != kFree && at < epoch) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t kSlots = 64;

  // Sequentially consistent on purpose: what a reader loads after this is at least as new as what a writer took away
  // before it found the slot free.
  Slot& enter() noexcept {
    std::size_t n = std::hash<std::thread::id>{}(std::this_thread::get_id());
    for (std::size_t tries = 1;; ++tries, ++n) {
      Slot& slot = slots_[n % kSlots];
      std::uint64_t expected = kFree;
      if (slot.at.compare_exchange_strong(expected, now_.load(std::memory_order_seq_cst), std::memory_order_seq_cst)) {
        return slot;
      }
      if (tries % kSlots == 0) std::this_thread::yield();
    }
  }

  std::atomic<std::uint64_t> now_{1};
  Slot slots_[kSlots];
};

}  // namespace sm

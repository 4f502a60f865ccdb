// A query and a row as the index keeps them. Private to src/index.
#pragma once

#include <cstddef>
#include <cstdint>

#include "index/index.h"
#include "index/quantize.h"

namespace sm {

struct Index::Query {
  alignas(64) std::int8_t high[kMaxStride];
  alignas(64) std::int16_t wide[kMaxStride];
  alignas(64) std::uint8_t signs[kMaxStride / 8];
  std::int32_t bias;
  float to_cosine_high;  // what a score of the high plane is multiplied with
  double to_cosine;      // the same for rescored ones
  bool fits;
  std::size_t n_used;  // bytes of `high`

  Query(const float* query, const Index& index) noexcept;
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query();  // leaves nothing on the stack
};

struct Index::Row {
  alignas(64) std::uint8_t high[kMaxStride];
  alignas(64) std::int8_t low[kMaxStride];
  bool is_fine;
  std::size_t n_used;  // bytes of each

  Row(const float* row, const Index& index) noexcept;
  Row(const std::int8_t* row, const Index& index) noexcept;
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;
  ~Row();  // leaves nothing on the stack
};

// Bit d of the result is set where element d of a biased row is not negative.
void pack_signs(const std::uint8_t* high, std::int64_t n_dims, std::int64_t n_bytes, std::uint8_t* signs) noexcept;

}  // namespace sm

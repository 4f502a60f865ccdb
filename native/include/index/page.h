// A page of 64 vectors and what is known of them. Readers and the writer meet in `live` alone.
//
// A row is written while its bit in `live` is clear, and published by setting it (release). It is taken away by clearing
// the bit, and zeroed and used again only when no reader is left that may have seen it: so no reader ever sees half a row.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "scan/scan.h"

namespace sm {

// What filters ask about. `project` and `source` are row ids of the store and below 2^31; `time` is in Unix seconds.
struct Attributes {
  std::int32_t project = 0;
  std::int32_t source = 0;
  std::uint8_t trust = 0;
  std::int64_t time = 0;
};

struct List;

struct alignas(64) Page {
  std::atomic<std::uint64_t> live{0};
  std::atomic<std::uint64_t> fine{0};  // rows that the low plane completes to 16 bits
  std::uint64_t used = 0;              // writer only: rows that are live or not yet zeroed
  List* list = nullptr;                // writer only: where the page belongs
  std::size_t number = 0;              // writer only: its place among all pages
  bool is_open = false;                // writer only: it is among its list's open pages
  std::uint8_t* high = nullptr;        // [64][stride], x ^ 0x80
  std::int8_t* low = nullptr;          // [64][stride]; null without the fine plane
  std::uint8_t* signs = nullptr;       // [64][sign_bytes]; null without the plane of signs
  std::int64_t id[kPageRows] = {};
  std::int64_t time[kPageRows] = {};
  std::int32_t project[kPageRows] = {};
  std::int32_t source[kPageRows] = {};
  std::uint8_t trust[kPageRows] = {};
};

}  // namespace sm

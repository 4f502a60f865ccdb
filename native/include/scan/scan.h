// Family scan: one signed query against a page of rows stored as u8 (x ^ 0x80, that is x + 128).
//
// The biased form lets VNNI multiply without a sign fix per row: sum (x + 128) * q = sum x * q + 128 * sum q, and the last
// term is one constant per query. A page has kPageRows rows at a stride that is a multiple of kRowAlign bytes and at most
// kMaxStride; what lies between a row's end and the stride is any byte, because the query is zero there.
//
// Bounds: 255 * 128 * 4,096 = 133,693,440 < 2^31, so int32 sums are exact at every stride, for queries with -128, too.
#pragma once

#include <cstdint>

namespace sm {

constexpr int kPageRows = 64;  // one bit of a 64-bit word per row
constexpr std::int64_t kRowAlign = 64;
constexpr std::int64_t kMaxStride = 4096;

struct ScanU8Args {
  const std::uint8_t* rows;   // [kPageRows][stride], aligned to kRowAlign
  const std::int8_t* query;   // [stride], zero beyond the dimensions, aligned to kRowAlign
  std::int64_t stride;
  std::int32_t bias;          // 128 * sum of the query
  std::uint64_t wanted;       // bit r: row r is read; the others need not be touched
  std::int32_t threshold;     // a row is reported if its score is above
  const std::uint8_t* next;   // the page that is scanned next; null: nothing is prefetched, as for pages in a cache
  std::int32_t* scores;       // [kPageRows], written at least where the result has a bit
};

// Bit r: row r is wanted and scores above the threshold.
using ScanU8 = std::uint64_t (*)(const ScanU8Args&) noexcept;

std::uint64_t sm_scan_u8_serial(const ScanU8Args& args) noexcept;
std::uint64_t sm_scan_u8_avx2(const ScanU8Args& args) noexcept;        // x86-64 builds only, as the next two
std::uint64_t sm_scan_u8_avxvnni(const ScanU8Args& args) noexcept;
std::uint64_t sm_scan_u8_avx512vnni(const ScanU8Args& args) noexcept;
std::uint64_t sm_scan_u8_neon(const ScanU8Args& args) noexcept;        // arm64 builds only, as the next two
std::uint64_t sm_scan_u8_neonsdot(const ScanU8Args& args) noexcept;
std::uint64_t sm_scan_u8_neonusdot(const ScanU8Args& args) noexcept;   // needs I8MM

}  // namespace sm

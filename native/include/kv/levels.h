// T0: the blocks of a q8_0 cache without loss, a channel after the other, and their scales.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kv/kernels.h"

namespace sm::kv {

// q: n rows of `channels` elements. Empty where either is 0.
std::vector<std::uint8_t> encode_q8(const std::int8_t* q, std::size_t n, std::size_t channels);

// Throws Damaged; `out` holds anything then.
void decode_q8(const std::uint8_t* data, std::size_t n_bytes, std::size_t n, std::size_t channels, RansRun kernel,
               std::int8_t* out);

// words: the bits of float16, n rows of `blocks`.
std::vector<std::uint8_t> encode_scales(const std::uint16_t* words, std::size_t n, std::size_t blocks);

void decode_scales(const std::uint8_t* data, std::size_t n_bytes, std::size_t n, std::size_t blocks, RansRun kernel,
                   std::uint16_t* out);

}  // namespace sm::kv

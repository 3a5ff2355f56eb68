// SPDX-License-Identifier: Apache-2.0
#include "probe/pattern.hpp"

namespace alcove::probe {

namespace {

// Sebastiano Vigna's generator; the constants are its definition.
uint64_t next_word(uint64_t& state) {
    state += 0x9e3779b97f4a7c15;
    uint64_t word = state;
    word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
    word = (word ^ word >> 27) * 0x94d049bb133111eb;
    return word ^ word >> 31;
}

}  // namespace

Pattern::Pattern(uint64_t seed) {
    bytes_.reserve(kPeriod + kChunk);
    uint64_t word = 0;
    for (size_t i = 0; i < kPeriod; ++i) {
        word = i % 8 == 0 ? next_word(seed) : word >> 8;
        bytes_.push_back(static_cast<uint8_t>(word));
    }
    for (size_t i = 0; i < kChunk; ++i)
        bytes_.push_back(bytes_[i]);
}

}  // namespace alcove::probe

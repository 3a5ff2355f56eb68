// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 over whole blocks of 64 bytes, with a running state that is a plain value: it can be copied, stored
// and taken up again, which the library's digest objects can not. SGX measures enclaves in such blocks, and
// an enclave whose measurement is not finished yet can be paged out.
//
// Source: FIPS 180-4.
#pragma once

#include <array>
#include <cstdint>

#include "crypto/digest.hpp"
#include "support/bytes.hpp"

namespace alcove::crypto {

class Sha256Blocks {
  public:
    static constexpr size_t kBlockSize = 64;

    // Eight words and the number of blocks so far, as they lie in memory.
    struct State {
        std::array<uint32_t, 8> words;
        uint64_t blocks;
        bool operator==(const State&) const = default;
    };

    Sha256Blocks();
    explicit Sha256Blocks(const State& state) : state_(state) {}

    void update(ByteView blocks);  // a multiple of kBlockSize
    Sha256Value finish() const;    // of everything so far; more can follow
    const State& state() const { return state_; }

  private:
    State state_;
};

}  // namespace alcove::crypto

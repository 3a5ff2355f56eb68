// SPDX-License-Identifier: Apache-2.0
//
// What tests look at in the file that some guest's memory is.
#pragma once

#include <gtest/gtest.h>

#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::memory {

inline constexpr uint64_t kPage = 4_KiB;

inline Bytes content(const Fd& file, uint64_t offset, size_t length) {
    Bytes bytes(length);
    EXPECT_TRUE(sys::read_exact_at(file, bytes, offset));
    return bytes;
}

inline uint64_t bytes_in_use(const Fd& file) {
    return static_cast<uint64_t>(sys::stat(file).value().st_blocks) * 512;
}

}  // namespace alcove::memory

// SPDX-License-Identifier: Apache-2.0
//
// "Reserved fields must be zero."
#pragma once

#include <algorithm>

#include "sgx/spec.hpp"
#include "support/bytes.hpp"

namespace alcove::sgx {

inline bool is_zero(ByteView bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

template <typename... Fields>
bool all_zero(const Fields&... fields) {
    return (is_zero(fields) && ...);
}

inline bool has_reserved(const SECINFO& secinfo) {
    return (secinfo.FLAGS & secinfo::kReserved) != 0 || !all_zero(secinfo.RESERVED);
}

// W without R.
inline bool is_write_only(uint64_t flags) {
    return (flags & secinfo::W) != 0 && (flags & secinfo::R) == 0;
}

inline PageType page_type(const SECINFO& secinfo) {
    return static_cast<PageType>(secinfo::PT::get(secinfo.FLAGS));
}

}  // namespace alcove::sgx

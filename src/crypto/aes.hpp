// SPDX-License-Identifier: Apache-2.0
//
// AES with keys of 128 bits in the two modes that SGX uses: CMAC (NIST SP 800-38B) to derive keys and sign
// reports, GCM (NIST SP 800-38D) to put pages where others can reach them. Cannot fail for want of anything
// but the library itself, whose absence ends the process.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>

#include "support/bytes.hpp"

namespace alcove::crypto {

using AesKey = std::array<uint8_t, 16>;
using AesTag = std::array<uint8_t, 16>;
using GcmNonce = std::array<uint8_t, 12>;  // never twice under one key

// The nonce of this value of a counter.
GcmNonce gcm_nonce(uint64_t counter);

// Over the parts one behind the other.
AesTag aes_cmac(const AesKey& key, std::initializer_list<ByteView> parts);

// `into` is as long as `plain`; `associated` is authenticated beside it.
AesTag aes_gcm_seal(const AesKey& key, const GcmNonce& nonce, ByteView associated, ByteView plain,
                    MutableByteView into);
// False, and zeros in `into`, unless everything is as it was sealed.
[[nodiscard]] bool aes_gcm_open(const AesKey& key, const GcmNonce& nonce, ByteView associated,
                                ByteView sealed, const AesTag& tag, MutableByteView into);

// Takes the same time whatever the difference.
bool equal_in_constant_time(ByteView a, ByteView b);

}  // namespace alcove::crypto

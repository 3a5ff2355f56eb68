// SPDX-License-Identifier: Apache-2.0
//
// The 32 platform configuration registers of one enclave (nitro.md 4.4): SHA-384 values that can be extended
// and locked, never set back. PCR0 to 15 are locked from the start and hold what was measured; 16 to 31 start
// as zeros and belong to the enclave.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "api/attestor_messages.hpp"
#include "crypto/digest.hpp"
#include "support/bytes.hpp"

namespace alcove::attestation {

using PcrValue = crypto::Sha384Value;
using api::attestor::NsmStatus;

class PcrBank {
  public:
    static constexpr uint32_t kCount = api::attestor::kPcrCount;
    static constexpr uint32_t kFirstOfEnclave = 16;

    PcrBank() = default;
    // From a stored state; nothing when PCR0 to 15 are not all locked in it.
    static std::optional<PcrBank> restore(const std::array<PcrValue, kCount>& values, uint32_t locked);

    // Before the enclave runs: the value of one of PCR0 to 15. Later indices are our own mistake.
    void set_measured(uint32_t index, const PcrValue& value);

    // What the enclave may do. InvalidIndex, ReadOnlyIndex, or Success.
    NsmStatus extend(uint32_t index, ByteView data);  // new = H(old || data)
    NsmStatus lock(uint32_t index);                   // of a locked one: ReadOnlyIndex
    NsmStatus lock_below(uint32_t range);             // 0 to range - 1; succeeds when they are locked already

    bool is_locked(uint32_t index) const { return index < kCount && (locked_ >> index & 1) != 0; }
    uint32_t locked() const { return locked_; }   // bit n: PCRn
    const PcrValue& value(uint32_t index) const;  // index < kCount
    const std::array<PcrValue, kCount>& values() const { return values_; }

  private:
    std::array<PcrValue, kCount> values_{};
    uint32_t locked_ = 0xffff;
};

}  // namespace alcove::attestation

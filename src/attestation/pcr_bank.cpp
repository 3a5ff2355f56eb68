// SPDX-License-Identifier: Apache-2.0
#include "attestation/pcr_bank.hpp"

namespace alcove::attestation {

namespace {
constexpr uint32_t kMeasuredMask = (uint32_t{1} << PcrBank::kFirstOfEnclave) - 1;
}

std::optional<PcrBank> PcrBank::restore(const std::array<PcrValue, kCount>& values, uint32_t locked) {
    if ((locked & kMeasuredMask) != kMeasuredMask) return std::nullopt;
    PcrBank bank;
    bank.values_ = values;
    bank.locked_ = locked;
    return bank;
}

void PcrBank::set_measured(uint32_t index, const PcrValue& value) {
    ALCOVE_CHECK(index < kFirstOfEnclave, "only PCR0 to 15 are measured");
    values_[index] = value;
}

NsmStatus PcrBank::extend(uint32_t index, ByteView data) {
    if (index >= kCount) return NsmStatus::InvalidIndex;
    if (is_locked(index)) return NsmStatus::ReadOnlyIndex;
    values_[index] = crypto::sha384({values_[index], data});
    return NsmStatus::Success;
}

NsmStatus PcrBank::lock(uint32_t index) {
    if (index >= kCount) return NsmStatus::InvalidIndex;
    if (is_locked(index)) return NsmStatus::ReadOnlyIndex;
    locked_ |= uint32_t{1} << index;
    return NsmStatus::Success;
}

NsmStatus PcrBank::lock_below(uint32_t range) {
    if (range > kCount) return NsmStatus::InvalidIndex;
    for (uint32_t index = 0; index < range; ++index)
        locked_ |= uint32_t{1} << index;
    return NsmStatus::Success;
}

const PcrValue& PcrBank::value(uint32_t index) const {
    ALCOVE_CHECK(index < kCount, "one of 32 PCRs");
    return values_[index];
}

}  // namespace alcove::attestation

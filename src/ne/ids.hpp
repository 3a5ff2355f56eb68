// SPDX-License-Identifier: Apache-2.0
//
// The numbers a primary and its enclaves are known by, as types that do not mix. Each converts to its integer
// by number() only, and back by name.
#pragma once

#include <cstdint>
#include <type_traits>

namespace alcove::ne {

enum class SlotUid : uint64_t {};  // the handle of one enclave; 0 is none
enum class Cid : uint64_t {};      // vsock context id; 0 is none, or "choose one"
enum class VcpuId : uint32_t {};   // of the primary: APIC id and Linux CPU number, which are equal

template <typename Id>
requires std::is_enum_v<Id>
constexpr auto number(Id id) {
    return static_cast<std::underlying_type_t<Id>>(id);
}
// From the integers of requests. Every number is one; whether it names something is for the rules.
constexpr SlotUid to_slot_uid(uint64_t value) {
    return static_cast<SlotUid>(value);
}
constexpr Cid to_cid(uint64_t value) {
    return static_cast<Cid>(value);
}
constexpr VcpuId to_vcpu_id(uint32_t value) {
    return static_cast<VcpuId>(value);
}

}  // namespace alcove::ne

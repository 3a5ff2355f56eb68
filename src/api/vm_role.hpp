// SPDX-License-Identifier: Apache-2.0
//
// What a VM is for. The processes that run VMs are the same for both roles; what differs follows from this:
//
//                  Enclave                        Primary
//     boots        a measured image               an image, as a mere container of kernel and ramdisk
//     devices      virtio-mmio, NSM               PCI, disks, networks, an identity in SMBIOS
//     attestor     a connection of its own        none
//     console      in debug mode only             always
//     CID          4 or more, chosen              3: what a parent is to its enclaves
//     reset        ends it                        begins another life of it
#pragma once

#include <cstdint>
#include <string_view>

#include "api/limits.hpp"

namespace alcove::api {

enum class VmRole : uint32_t { Enclave = 0, Primary = 1 };

inline constexpr uint64_t kParentCid = 3;

constexpr bool is_role(uint32_t value) {
    return value <= static_cast<uint32_t>(VmRole::Primary);
}
constexpr std::string_view role_name(VmRole role) {
    return role == VmRole::Primary ? "primary" : "enclave";
}
constexpr bool is_cid_of(VmRole role, uint64_t cid) {
    return role == VmRole::Primary ? cid == kParentCid : is_guest_cid(cid);
}
// An enclave has no disks.
constexpr bool is_disk_count_of(VmRole role, uint32_t count) {
    return count <= (role == VmRole::Primary ? kMaxDisks : 0);
}

}  // namespace alcove::api

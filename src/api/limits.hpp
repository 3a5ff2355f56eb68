// SPDX-License-Identifier: Apache-2.0
//
// How much of anything one VM can have. Every process that is told such a number checks it against these,
// whoever told it.
#pragma once

#include <cstdint>

#include "support/bits.hpp"

namespace alcove::api {

inline constexpr uint32_t kMachineVersion = 1;
inline constexpr uint32_t kMaxVcpus = 32;
inline constexpr uint32_t kSmallPage = 4096;
inline constexpr uint32_t kHugePage = 2 * 1024 * 1024;
inline constexpr uint64_t kMinMemoryBytes = 2_MiB;  // assembly guests of the tests live in this
inline constexpr uint64_t kMaxMemoryBytes = 512_GiB;
inline constexpr uint64_t kMaxImageBytes = 32_GiB;
// Of an enclave: 0 to 2 are reserved (VIRTIO 1.2, 5.10.4), 3 is its parent; the all-ones CID is "any".
inline constexpr uint64_t kMinGuestCid = 4;
inline constexpr uint64_t kMaxGuestCid = 0xfffffffe;
inline constexpr uint32_t kMaxHostCpus = 1024;
inline constexpr uint32_t kMaxDisks = 8;
inline constexpr uint32_t kMaxNetworks = 3;
inline constexpr uint32_t kMaxEpcSections = 8;  // Linux enumerates no more (arch/x86/kernel/cpu/sgx)
// The VMM of slot n runs as user and group kFirstVmmUid + n.
inline constexpr uint32_t kFirstVmmUid = 60000;
inline constexpr uint32_t kVmmUidCount = 1000;

constexpr bool is_page_size(uint32_t bytes) {
    return bytes == kSmallPage || bytes == kHugePage;
}
constexpr bool is_memory_size(uint64_t bytes, uint32_t page_size) {
    return bytes >= kMinMemoryBytes && bytes <= kMaxMemoryBytes && is_aligned<uint64_t>(bytes, page_size);
}
// One thread, or two that are siblings, in each core of a guest; the last core may have one where others have
// two.
constexpr bool is_threads_per_core(uint32_t threads, uint32_t vcpu_count) {
    return threads == 1 || (threads == 2 && vcpu_count > 1);
}
constexpr bool is_guest_cid(uint64_t cid) {
    return cid >= kMinGuestCid && cid <= kMaxGuestCid;
}

}  // namespace alcove::api

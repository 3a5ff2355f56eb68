// SPDX-License-Identifier: Apache-2.0
//
// The ioctls whose argument is a counted list (CPUID entries, MSRs, routes). Debian 12's linux/kvm.h declares
// those structures with an empty member that has a size in C++ and none in C, so that offsets and ioctl
// numbers come out wrong here. This is their layout as the kernel has it: two 32-bit words, then the entries.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "support/bytes.hpp"

namespace alcove::kvm {

struct ListHeader {
    uint32_t count;
    uint32_t padding;
};
static_assert(sizeof(ListHeader) == 8);

inline constexpr unsigned long kGetSupportedCpuid = _IOWR(KVMIO, 0x05, ListHeader);
inline constexpr unsigned long kSetCpuid2 = _IOW(KVMIO, 0x90, ListHeader);
inline constexpr unsigned long kSetGsiRouting = _IOW(KVMIO, 0x6a, ListHeader);
// struct kvm_xsave ends with an empty array, with the same effect.
using XsaveBytes = std::array<uint8_t, 4096>;
inline constexpr unsigned long kGetXsave = _IOR(KVMIO, 0xa4, XsaveBytes);
inline constexpr unsigned long kSetXsave = _IOW(KVMIO, 0xa5, XsaveBytes);
inline constexpr unsigned long kGetMsrs = _IOWR(KVMIO, 0x88, ListHeader);
inline constexpr unsigned long kSetMsrs = _IOW(KVMIO, 0x89, ListHeader);

template <typename Entry>
Bytes encode_list(const std::vector<Entry>& entries) {
    const ListHeader header{.count = static_cast<uint32_t>(entries.size()), .padding = 0};
    Bytes buffer(sizeof header + entries.size() * sizeof(Entry));
    std::memcpy(buffer.data(), &header, sizeof header);
    if (!entries.empty())
        std::memcpy(buffer.data() + sizeof header, entries.data(), entries.size() * sizeof(Entry));
    return buffer;
}

// As many entries as the header says, no more than the buffer holds.
template <typename Entry>
std::vector<Entry> decode_list(ByteView buffer) {
    ListHeader header{};
    std::memcpy(&header, buffer.data(), sizeof header);
    const size_t room = (buffer.size() - sizeof header) / sizeof(Entry);
    std::vector<Entry> entries(header.count < room ? header.count : room);
    if (!entries.empty())
        std::memcpy(entries.data(), buffer.data() + sizeof header, entries.size() * sizeof(Entry));
    return entries;
}

}  // namespace alcove::kvm

// SPDX-License-Identifier: Apache-2.0
//
// What the processor of one VM can do with SGX: the limits that leaves check and CPUID tells. Made from a
// Configuration (configuration.hpp) and the machine's XSAVE layout.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sgx/spec_enclave.hpp"

namespace alcove::sgx {

// CPUID 0DH: where a component of XCR0 lies in the standard form.
struct XsaveComponent {
    unsigned bit;  // >= 2
    uint32_t offset;
    uint32_t size;
};

using LaunchHash = std::array<uint64_t, 4>;  // IA32_SGXLEPUBKEYHASH0 to 3
// What the registers hold after a reset of real processors: Intel's launch key (SDM vol. 4).
inline constexpr LaunchHash kIntelLaunchHash{0xa605'3e05'1270'b7ac, 0x6cfb'e8ba'8b3b'413d,
                                             0xc491'6d99'f2b3'735d, 0xd4f8'c059'09f9'bb3b};

// XFRM of machine version 1: x87, SSE, AVX, as cpu/cpuid_baseline.cpp lays them out.
inline constexpr uint64_t kMachineXfrm = xcr0::X87 | xcr0::SSE | xcr0::AVX;

struct Features {
    bool sgx1 = true;
    bool sgx2 = true;
    uint32_t miscselect = miscselect::EXINFO;
    uint64_t attributes = 0;                   // FLAGS that a SECS may ask for
    uint64_t xfrm = xcr0::X87 | xcr0::SSE;     // likewise
    std::vector<XsaveComponent> components{};  // those of xfrm from bit 2 on
    // Enclaves outside 64-bit mode are not offered: with 0 every size is too large.
    uint8_t max_enclave_size_not64 = 0;  // powers of two
    uint8_t max_enclave_size_64 = 36;
    LaunchHash launch_hash = kIntelLaunchHash;
    bool launch_hash_writable = true;

    // The area for these components. At most a page for all that xfrm has (Configuration sees to that), so it
    // lies in the first page of a state save frame.
    uint32_t xsave_size(uint64_t of_xfrm) const;
};

}  // namespace alcove::sgx

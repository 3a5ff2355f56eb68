// SPDX-License-Identifier: Apache-2.0
//
// The SGX of a primary VM, as launch messages carry it: what its processor and its EPC are. Who asked for it
// in which words is sgx/configuration.hpp's.
#pragma once

#include <array>

#include "api/limits.hpp"
#include "api/vm_role.hpp"
#include "support/endian.hpp"

namespace alcove::api {

struct EpcSection {
    static constexpr uint64_t kAnywhere = ~uint64_t{0};

    Le64 base;      // guest physical, a multiple of 1 MiB; kAnywhere: the VMM places it
    Le32 size_mib;  // 0: there is none
    Le32 node;      // of NUMA, as the guest is told
};
static_assert(sizeof(EpcSection) == 16);

using SgxRootSecret = std::array<uint8_t, 16>;

// All zero: no SGX.
struct Sgx {
    static constexpr uint32_t kSgx1 = 1;
    static constexpr uint32_t kSgx2 = 2;
    static constexpr uint32_t kLaunchHashWritable = 4;
    static constexpr uint32_t kProvisionKey = 8;
    static constexpr uint32_t kBalloon = 16;   // the guest can be asked to give EPC back
    static constexpr uint32_t kHardware = 32;  // by the host's processors, with their EPC and keys

    // Those that there are, then those that there are not, which are all zero.
    std::array<EpcSection, kMaxEpcSections> sections;
    std::array<Le64, 4> launch_hash;  // IA32_SGXLEPUBKEYHASH0 to 3
    Le32 flags;
    Le32 budget_mib;   // how much EPC is in memory; the rest is in a spill file. 0: all is in memory
    Le32 balloon_mib;  // what the guest is asked for, less than the EPC; only with kBalloon
    // What all keys of its enclaves come from. Zero until the broker has had it from alcove-attestor.
    SgxRootSecret root{};

    bool is_there() const { return sections[0].size_mib != 0; }
    bool has_spill_file() const { return budget_mib != 0; }
    bool has_balloon() const { return (flags & kBalloon) != 0; }
    // Of a message: what sgx::check_balloon() says to people.
    bool can_have_balloon(uint64_t mib) const;
    bool is_hardware() const { return (flags & kHardware) != 0; }
    bool has_root() const { return is_there() && !is_hardware(); }
    uint64_t epc_bytes() const;
    uint64_t resident_bytes() const;  // of it, in the host's memory at most
    // What it comes with of the host's: /dev/sgx_vepc for each section, and /dev/sgx_provision.
    uint32_t epc_devices() const;
    bool has_provision_device() const { return is_hardware() && (flags & kProvisionKey) != 0; }
};
static_assert(sizeof(Sgx) == 188);

// Each number by itself, no gap, at most kMaxMemoryBytes together, no budget above that and none of hardware,
// a balloon with a budget only, and none of an enclave.
bool is_sgx_of(VmRole role, const Sgx& sgx);

}  // namespace alcove::api

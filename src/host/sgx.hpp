// SPDX-License-Identifier: Apache-2.0
//
// The SGX that the host's processors have. Alcove does not need it; what there is, is told.
//
// Source: SDM vol. 3D, "CPUID"; Linux, Documentation/ABI/stable/sysfs-devices-node (x86/sgx_total_bytes).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "host/units.hpp"

namespace alcove::host {

struct SgxHardware {
    struct Section {
        uint64_t base = 0;  // physical
        uint64_t size = 0;
        std::optional<NumaNode> node{};  // where it can be told
    };
    struct Node {
        NumaNode node;
        uint64_t total_bytes = 0;
    };

    bool present = false;  // offered by the processor; firmware may still have turned it off
    bool sgx1 = false;
    bool sgx2 = false;
    bool launch_control = false;      // the launch key's hash can be written
    bool enclave_device = false;      // /dev/sgx_enclave: the kernel's driver serves programs of this host
    bool virtual_epc_device = false;  // /dev/sgx_vepc: KVM can give EPC to VMs
    std::vector<Section> sections{};
    std::vector<Node> nodes{};  // as the kernel counts, where it does
};

struct CpuidAnswer {
    uint32_t eax = 0;
    uint32_t ebx = 0;
    uint32_t ecx = 0;
    uint32_t edx = 0;
};
using Cpuid = std::function<CpuidAnswer(uint32_t leaf, uint32_t subleaf)>;
Cpuid this_processor();

// `nodes` are the host's. `root` stands in front of every path: "" on a host, a directory in tests.
SgxHardware read_sgx(const std::vector<NumaNode>& nodes, const Cpuid& cpuid = this_processor(),
                     const std::string& root = "");

}  // namespace alcove::host

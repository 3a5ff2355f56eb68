// SPDX-License-Identifier: Apache-2.0
//
// The counters of all parts of a running VMM, as `inspect` asks for them.
#pragma once

#include <vector>

#include "api/vmm_messages.hpp"
#include "machine/machine.hpp"
#include "ne/device.hpp"
#include "nsm/device.hpp"
#include "virtio/blk.hpp"
#include "virtio/net.hpp"
#include "vmm/ne_backend.hpp"
#include "vsock/device.hpp"
#include "vsock/fabric_backend.hpp"
#include "vsock/host_backend.hpp"

namespace alcove::vmm {

struct StatisticsSources {
    const machine::Machine& machine;
    const vsock::VsockDevice& vsock;
    const vsock::HostBackend& host_backend;
    const vsock::FabricBackend* fabric;  // where there is one
    const nsm::NsmDevice* nsm;           // an enclave's
    std::vector<const virtio::BlockDevice*> disks;
    std::vector<const virtio::NetDevice*> networks;
    const ne::Device* ne_device;  // both of a primary VM that may carve
    const NeBackend* ne_backend;
    uint64_t console_bytes;
};

// On the event loop's thread. At most Statistics::kMaxEntries.
std::vector<api::vmm::StatisticsEntry> collect_statistics(const StatisticsSources& sources);

}  // namespace alcove::vmm

// SPDX-License-Identifier: Apache-2.0
//
// What the VMM of a primary VM has beyond what every VM has: an identity, disks, and the NE device if it may
// carve enclaves. Its devices are PCI functions on fixed slots, part of the machine version:
//
//     0       host bridge
//     1       free
//     2       the Nitro Enclaves device (its place in a Nitro parent)
//     3       vsock
//     4       entropy
//     5       network
//     8-15    disks, in the order they were named in
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "api/vm_id.hpp"
#include "api/vmm_messages.hpp"
#include "machine/machine.hpp"
#include "ne/pci_function.hpp"
#include "support/fd.hpp"
#include "virtio/blk.hpp"
#include "vmm/ne_backend.hpp"

namespace alcove::vmm {

namespace slots {
inline constexpr uint8_t kVsock = 3;
inline constexpr uint8_t kEntropy = 4;
inline constexpr uint8_t kFirstDisk = 8;
}  // namespace slots

// The board's asset tag is the VM's id; the UUID is made from it, the same in every life.
boot::SystemIdentity identity_of(const api::VmId& id);

// The primary as the NE device's rules see it: `ram` is its memory, the rest its launch order's.
ne::Parent parent_of(const api::vmm::Launch& launch, const memory::GuestMemory& ram);

class PrimaryDevices {
  public:
    // What a descriptor was opened for is what its disk can do. The loop is borrowed.
    static Result<std::unique_ptr<PrimaryDevices>> create(EventLoop& loop, std::vector<Fd> disks);

    Result<void> add_to(machine::Machine& machine);
    const std::vector<std::unique_ptr<virtio::BlockDevice>>& disks() const { return disks_; }

    // The NE device. The machine is borrowed until it has ended; `line_wanted` asks the shim for a line to
    // alcoved.
    Result<void> add_enclaves(EventLoop& loop, machine::Machine& machine, ne::Parent parent,
                              std::function<void()> line_wanted);
    NeBackend* enclaves() { return ne_backend_.get(); }  // nullptr: there is no such device
    const ne::Device* ne_device() const { return ne_device_; }

    // The machine has ended. `done` is called when no enclave of it has anything left: at once, or from the
    // loop as soon as alcoved says so.
    void release(std::function<void()> done);

  private:
    std::vector<std::unique_ptr<virtio::BlockDevice>> disks_;
    std::unique_ptr<NeBackend> ne_backend_;
    ne::Device* ne_device_ = nullptr;  // the machine's
};

}  // namespace alcove::vmm

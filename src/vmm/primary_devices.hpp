// SPDX-License-Identifier: Apache-2.0
//
// What the VMM of a primary VM has beyond what every VM has: an identity, and disks. Its devices are PCI
// functions on fixed slots, part of the machine version:
//
//     0       host bridge
//     1       free
//     2       the Nitro Enclaves device (its place in a Nitro parent)
//     3       vsock
//     4       entropy
//     5       network
//     8-15    disks, in the order they were named in
#pragma once

#include <memory>
#include <vector>

#include "api/vm_id.hpp"
#include "machine/machine.hpp"
#include "support/fd.hpp"
#include "virtio/blk.hpp"

namespace alcove::vmm {

namespace slots {
inline constexpr uint8_t kVsock = 3;
inline constexpr uint8_t kEntropy = 4;
inline constexpr uint8_t kFirstDisk = 8;
}  // namespace slots

// The board's asset tag is the VM's id; the UUID is made from it, the same in every life.
boot::SystemIdentity identity_of(const api::VmId& id);

class PrimaryDevices {
  public:
    // What a descriptor was opened for is what its disk can do. The loop is borrowed.
    static Result<std::unique_ptr<PrimaryDevices>> create(EventLoop& loop, std::vector<Fd> disks);

    Result<void> add_to(machine::Machine& machine);
    const std::vector<std::unique_ptr<virtio::BlockDevice>>& disks() const { return disks_; }

  private:
    std::vector<std::unique_ptr<virtio::BlockDevice>> disks_;
};

}  // namespace alcove::vmm

// SPDX-License-Identifier: Apache-2.0
//
// What the VMM of a primary VM has beyond what every VM has: an identity, disks, networks, and the NE device
// if it may carve enclaves. Its devices are PCI functions on fixed slots, part of the machine version:
//
//     0       host bridge
//     1       the balloon of an EPC that has one
//     2       the Nitro Enclaves device (its place in a Nitro parent)
//     3       vsock
//     4       entropy
//     5-7     networks, in the order they were named in
//     8-15    disks, in the order they were named in
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "api/network.hpp"
#include "api/vm_id.hpp"
#include "api/vmm_messages.hpp"
#include "machine/machine.hpp"
#include "ne/pci_function.hpp"
#include "support/fd.hpp"
#include "virtio/blk.hpp"
#include "virtio/net.hpp"
#include "vmm/epc_balloon.hpp"
#include "vmm/ne_backend.hpp"

namespace alcove::vmm {

namespace slots {
inline constexpr uint8_t kEpcBalloon = 1;
inline constexpr uint8_t kVsock = 3;
inline constexpr uint8_t kEntropy = 4;
inline constexpr uint8_t kFirstNetwork = 5;
inline constexpr uint8_t kFirstDisk = 8;
static_assert(kFirstNetwork + api::kMaxNetworks <= kFirstDisk);
}  // namespace slots

// The board's asset tag is the VM's id; the UUID is made from it, the same in every life.
boot::SystemIdentity identity_of(const api::VmId& id);

// The primary as the NE device's rules see it: `ram` is its memory, the rest its launch order's.
ne::Parent parent_of(const api::vmm::Launch& launch, const memory::GuestMemory& ram);

class PrimaryDevices {
  public:
    struct Given {
        std::vector<Fd> disks;  // what one was opened for is what the disk can do
        api::Networks networks{};
        std::vector<Fd> network_links;          // of each network that there is
        std::optional<uint64_t> epc_balloon{};  // bytes that the guest is asked for; nothing: there is none
    };
    // The loop is borrowed.
    static Result<std::unique_ptr<PrimaryDevices>> create(EventLoop& loop, Given given);

    Result<void> add_to(machine::Machine& machine);
    std::vector<const virtio::BlockDevice*> disks() const;
    std::vector<const virtio::NetDevice*> networks() const;
    EpcBalloon* epc_balloon() { return epc_balloon_.get(); }  // nullptr: there is none

    // At the guest's end: another life may go on with the same links.
    void hand_on_links();

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
    struct Port {
        std::unique_ptr<virtio::NetworkLink> link;
        std::unique_ptr<virtio::NetDevice> device;
    };
    static Result<Port> open_port(EventLoop& loop, const api::Network& network, Fd descriptor);

    std::vector<std::unique_ptr<virtio::BlockDevice>> disks_;
    std::unique_ptr<EpcBalloon> epc_balloon_;
    std::unique_ptr<NeBackend> ne_backend_;
    ne::Device* ne_device_ = nullptr;  // the machine's
    std::vector<Port> ports_;
};

}  // namespace alcove::vmm

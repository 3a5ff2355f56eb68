// SPDX-License-Identifier: Apache-2.0
#include "vmm/primary_devices.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>

#include "crypto/digest.hpp"
#include "virtio/stream_link.hpp"
#include "virtio/tap_link.hpp"

namespace alcove::vmm {

namespace {

Result<virtio::BlockFile> open_disk(Fd file) {
    const int flags = ::fcntl(file.get(), F_GETFL);
    if (flags < 0) return fail_errno(errno, "fcntl of a disk");
    const auto access = (flags & O_ACCMODE) == O_RDWR ? virtio::BlockFile::Access::ReadWrite
                                                      : virtio::BlockFile::Access::ReadOnly;
    return virtio::BlockFile::create(std::move(file), access);
}

}  // namespace

boot::SystemIdentity identity_of(const api::VmId& id) {
    boot::SystemIdentity identity{.asset_tag = id.text(), .uuid = {}};
    const auto digest = crypto::sha256(as_byte_view(id.text()));
    std::copy_n(digest.begin(), identity.uuid.size(), identity.uuid.begin());
    // RFC 9562, 5.8: version 8, made in a way of the maker's own.
    identity.uuid[6] = static_cast<uint8_t>((identity.uuid[6] & 0x0f) | 0x80);
    identity.uuid[8] = static_cast<uint8_t>((identity.uuid[8] & 0x3f) | 0x80);
    return identity;
}

ne::Parent parent_of(const api::vmm::Launch& launch, const memory::GuestMemory& ram) {
    ne::Parent parent;
    for (const auto& mapped : ram.mapped_regions())
        parent.ram.push_back(mapped.region.range);
    parent.backing_page = launch.page_size;
    for (uint32_t i = 0; i < launch.vcpu_count; ++i)
        parent.core_of_vcpu.push_back(i / launch.threads_per_core);
    parent.max_ram_pieces = machine::MemorySlots::most_pieces(ram.total_size());
    return parent;
}

Result<PrimaryDevices::Port> PrimaryDevices::open_port(EventLoop& loop, const api::Network& network,
                                                       Fd descriptor) {
    Port port;
    if (network.kind == static_cast<uint8_t>(api::NetworkKind::Tap)) {
        port.link = TRY(virtio::TapLink::create(loop, std::move(descriptor)));
    } else {
        port.link = TRY(virtio::StreamLink::create(loop, std::move(descriptor)));
    }
    port.device = std::make_unique<virtio::NetDevice>(loop, *port.link,
                                                      virtio::NetDevice::Settings{.mac = network.mac});
    return port;
}

Result<std::unique_ptr<PrimaryDevices>> PrimaryDevices::create(EventLoop& loop, Given given) {
    auto devices = std::make_unique<PrimaryDevices>();
    for (auto& file : given.disks) {
        const std::string name = "disk" + std::to_string(devices->disks_.size());
        auto backing = TRY(open_disk(std::move(file)).context(name));
        auto disk = TRY(virtio::BlockDevice::create(loop, std::move(backing), name));
        devices->disks_.push_back(std::move(disk));
    }
    for (size_t i = 0; i < given.network_links.size(); ++i) {
        const std::string name = "network" + std::to_string(i);
        auto port =
            TRY(open_port(loop, given.networks.at(i), std::move(given.network_links[i])).context(name));
        devices->ports_.push_back(std::move(port));
    }
    if (given.epc_balloon) devices->epc_balloon_ = std::make_unique<EpcBalloon>(loop, *given.epc_balloon);
    return devices;
}

Result<void> PrimaryDevices::add_to(machine::Machine& machine) {
    if (epc_balloon_ != nullptr) TRY(machine.add_virtio_pci(slots::kEpcBalloon, epc_balloon_->device()));
    uint8_t slot = slots::kFirstNetwork;
    for (const auto& port : ports_)
        TRY(machine.add_virtio_pci(slot++, *port.device));
    slot = slots::kFirstDisk;
    for (const auto& disk : disks_)
        TRY(machine.add_virtio_pci(slot++, *disk));
    return {};
}

Result<void> PrimaryDevices::add_enclaves(EventLoop& loop, machine::Machine& machine, ne::Parent parent,
                                          std::function<void()> line_wanted) {
    TRY(parent.check());
    ne_backend_ = std::make_unique<NeBackend>(
        loop, machine, std::move(parent),
        NeLine::Callbacks{.wanted = std::move(line_wanted),
                          .slot_changed = [this] { ne_device_->slot_changed(); }});
    auto function = TRY(ne::PciFunction::create(
        {.loop = loop, .backend = *ne_backend_, .interrupts = machine.message_interrupts()}));
    ne_device_ = &function->device();
    machine.add_pci(ne::kPciSlot, std::move(function));
    return {};
}

void PrimaryDevices::release(std::function<void()> done) {
    if (ne_backend_ == nullptr) return done();
    ne_backend_->machine_ended();
    ne_device_->release(std::move(done));
}

std::vector<const virtio::BlockDevice*> PrimaryDevices::disks() const {
    std::vector<const virtio::BlockDevice*> disks;
    for (const auto& disk : disks_)
        disks.push_back(disk.get());
    return disks;
}

std::vector<const virtio::NetDevice*> PrimaryDevices::networks() const {
    std::vector<const virtio::NetDevice*> networks;
    for (const auto& port : ports_)
        networks.push_back(port.device.get());
    return networks;
}

void PrimaryDevices::hand_on_links() {
    for (const auto& port : ports_)
        port.link->hand_on();
}

}  // namespace alcove::vmm

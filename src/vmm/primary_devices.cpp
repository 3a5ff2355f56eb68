// SPDX-License-Identifier: Apache-2.0
#include "vmm/primary_devices.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>

#include "crypto/digest.hpp"

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

Result<std::unique_ptr<PrimaryDevices>> PrimaryDevices::create(EventLoop& loop, std::vector<Fd> disks) {
    auto devices = std::make_unique<PrimaryDevices>();
    for (auto& file : disks) {
        const std::string name = "disk" + std::to_string(devices->disks_.size());
        auto backing = TRY(open_disk(std::move(file)).context(name));
        auto disk = TRY(virtio::BlockDevice::create(loop, std::move(backing), name));
        devices->disks_.push_back(std::move(disk));
    }
    return devices;
}

Result<void> PrimaryDevices::add_to(machine::Machine& machine) {
    uint8_t slot = slots::kFirstDisk;
    for (const auto& disk : disks_)
        TRY(machine.add_virtio_pci(slot++, *disk));
    return {};
}

}  // namespace alcove::vmm

// SPDX-License-Identifier: Apache-2.0
#include "kvm/vm.hpp"

#include <cerrno>

#include <sys/ioctl.h>

#include "kvm/kvm.hpp"
#include "kvm/list_ioctl.hpp"
#include "support/bytes.hpp"

namespace alcove::kvm {

namespace {

// KVM gives a VM up whose guest did what it cannot go on from (an SMI, with no memory where its state would
// go): every request is EIO from then on, and what was attached goes with the VM.
bool was_given_up() {
    return errno == EIO;
}

}  // namespace

Result<int> Vm::check_extension(uint32_t capability) const {
    const int value = ::ioctl(fd_.get(), KVM_CHECK_EXTENSION, static_cast<unsigned long>(capability));
    if (value < 0) return refused("KVM_CHECK_EXTENSION");
    return value;
}

Result<void> Vm::enable_capability(uint32_t capability, uint64_t argument) const {
    kvm_enable_cap request{};
    request.cap = capability;
    request.args[0] = argument;
    if (::ioctl(fd_.get(), KVM_ENABLE_CAP, &request) < 0) return refused("KVM_ENABLE_CAP");
    return {};
}

Result<void> Vm::set_memory_slot(const MemorySlot& slot) const {
    kvm_userspace_memory_region region{};
    region.slot = slot.slot;
    region.flags = slot.flags;
    region.guest_phys_addr = slot.guest_address;
    region.memory_size = slot.size;
    region.userspace_addr = slot.host_address;
    if (::ioctl(fd_.get(), KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return refused("KVM_SET_USER_MEMORY_REGION");
    return {};
}

Result<void> Vm::set_tss_address(uint64_t guest_address) const {
    if (::ioctl(fd_.get(), KVM_SET_TSS_ADDR, guest_address) < 0) return refused("KVM_SET_TSS_ADDR");
    return {};
}

Result<void> Vm::set_identity_map_address(uint64_t guest_address) const {
    if (::ioctl(fd_.get(), KVM_SET_IDENTITY_MAP_ADDR, &guest_address) < 0)
        return refused("KVM_SET_IDENTITY_MAP_ADDR");
    return {};
}

Result<void> Vm::create_irqchip() const {
    if (::ioctl(fd_.get(), KVM_CREATE_IRQCHIP, 0UL) < 0) return refused("KVM_CREATE_IRQCHIP");
    return {};
}

Result<void> Vm::create_pit() const {
    kvm_pit_config config{};
    config.flags = KVM_PIT_SPEAKER_DUMMY;
    if (::ioctl(fd_.get(), KVM_CREATE_PIT2, &config) < 0) return refused("KVM_CREATE_PIT2");
    return {};
}

Result<Vcpu> Vm::create_vcpu(uint32_t apic_id) const {
    Fd fd(::ioctl(fd_.get(), KVM_CREATE_VCPU, static_cast<unsigned long>(apic_id)));
    if (!fd.is_open()) return refused("KVM_CREATE_VCPU");
    return Vcpu::create(std::move(fd), vcpu_mmap_size_);
}

Result<void> Vm::trap_msrs(std::span<const MsrRange> ranges) const {
    ALCOVE_CHECK(ranges.size() <= KVM_MSR_FILTER_MAX_RANGES, "what KVM takes");
    TRY(enable_capability(KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER));
    kvm_msr_filter filter{};
    filter.flags = KVM_MSR_FILTER_DEFAULT_ALLOW;
    // A clear bit is a denied register. KVM copies the bitmaps.
    std::vector<Bytes> bitmaps;
    for (size_t i = 0; i < ranges.size(); ++i) {
        bitmaps.emplace_back((ranges[i].count + 7) / 8, uint8_t{0});
        filter.ranges[i].flags = ranges[i].accesses;
        filter.ranges[i].base = ranges[i].first;
        filter.ranges[i].nmsrs = ranges[i].count;
        filter.ranges[i].bitmap = bitmaps.back().data();
    }
    if (::ioctl(fd_.get(), KVM_X86_SET_MSR_FILTER, &filter) < 0) return refused("KVM_X86_SET_MSR_FILTER");
    return {};
}

Result<void> Vm::attach_irqfd(const EventFd& event, uint32_t gsi) const {
    kvm_irqfd request{};
    request.fd = static_cast<uint32_t>(event.fd().get());
    request.gsi = gsi;
    if (::ioctl(fd_.get(), KVM_IRQFD, &request) < 0) return refused("KVM_IRQFD");
    return {};
}

Result<void> Vm::detach_irqfd(const EventFd& event, uint32_t gsi) const {
    kvm_irqfd request{};
    request.fd = static_cast<uint32_t>(event.fd().get());
    request.gsi = gsi;
    request.flags = KVM_IRQFD_FLAG_DEASSIGN;
    if (::ioctl(fd_.get(), KVM_IRQFD, &request) < 0 && !was_given_up()) return refused("KVM_IRQFD");
    return {};
}

Result<void> Vm::set_gsi_routing(const std::vector<kvm_irq_routing_entry>& entries) const {
    if (::ioctl(fd_.get(), kSetGsiRouting, encode_list(entries).data()) < 0)
        return refused("KVM_SET_GSI_ROUTING");
    return {};
}

Result<void> Vm::ioeventfd(const EventFd& event, uint64_t guest_address, std::optional<uint32_t> value,
                           uint32_t flags) const {
    kvm_ioeventfd request{};
    request.addr = guest_address;
    request.fd = event.fd().get();
    request.flags = flags;
    if (value) {  // without it a length of 0 stands for every width
        request.datamatch = *value;
        request.len = sizeof *value;
        request.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
    }
    const bool detaches = (flags & KVM_IOEVENTFD_FLAG_DEASSIGN) != 0;
    if (::ioctl(fd_.get(), KVM_IOEVENTFD, &request) < 0 && !(detaches && was_given_up()))
        return refused("KVM_IOEVENTFD");
    return {};
}

Result<void> Vm::attach_ioeventfd(const EventFd& event, uint64_t guest_address, uint32_t value) const {
    return ioeventfd(event, guest_address, value, 0);
}

Result<void> Vm::detach_ioeventfd(const EventFd& event, uint64_t guest_address, uint32_t value) const {
    return ioeventfd(event, guest_address, value, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

Result<void> Vm::attach_any_ioeventfd(const EventFd& event, uint64_t guest_address) const {
    return ioeventfd(event, guest_address, std::nullopt, 0);
}

Result<void> Vm::detach_any_ioeventfd(const EventFd& event, uint64_t guest_address) const {
    return ioeventfd(event, guest_address, std::nullopt, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

}  // namespace alcove::kvm

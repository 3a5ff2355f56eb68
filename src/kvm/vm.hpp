// SPDX-License-Identifier: Apache-2.0
//
// One virtual machine of KVM's: memory slots, the in-kernel interrupt controllers, and the eventfds that
// carry interrupts in (irqfd) and doorbells out (ioeventfd). See kvm.hpp for how calls fail.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <linux/kvm.h>

#include "kvm/vcpu.hpp"
#include "support/event_fd.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::kvm {

struct MemorySlot {
    uint32_t slot;           // address space in the upper 16 bits
    uint32_t flags;          // KVM_MEM_*
    uint64_t guest_address;  // page-aligned
    uint64_t size;           // bytes; 0 removes the slot
    uint64_t host_address;   // stays mapped for as long as the slot is there
};

class Vm {
  public:
    Vm(Fd fd, size_t vcpu_mmap_size) : fd_(std::move(fd)), vcpu_mmap_size_(vcpu_mmap_size) {}

    Result<int> check_extension(uint32_t capability) const;
    Result<void> enable_capability(uint32_t capability, uint64_t argument = 0) const;

    Result<void> set_memory_slot(const MemorySlot& slot) const;
    // Where KVM-Intel keeps three pages of its own; unused by KVM-AMD but always set.
    Result<void> set_tss_address(uint64_t guest_address) const;
    Result<void> set_identity_map_address(uint64_t guest_address) const;
    Result<void> create_irqchip() const;  // PIC, IOAPIC and, with each vCPU, its LAPIC
    Result<void> create_pit() const;      // i8254, for kernels that tick by it before they know the LAPIC
    Result<Vcpu> create_vcpu(uint32_t apic_id) const;

    // Accesses to these registers end KVM_RUN (KVM_EXIT_X86_RDMSR, _WRMSR); all others are KVM's. Once,
    // before any vCPU runs; KVM takes at most 16 ranges.
    struct MsrRange {
        uint32_t first;
        uint32_t count;
        uint32_t accesses;  // KVM_MSR_FILTER_READ, _WRITE
    };
    Result<void> trap_msrs(std::span<const MsrRange> ranges) const;

    // Each signal of the eventfd is an edge at interrupt line `gsi`.
    Result<void> attach_irqfd(const EventFd& event, uint32_t gsi) const;
    Result<void> detach_irqfd(const EventFd& event, uint32_t gsi) const;
    // Replaces the whole table of what interrupt lines stand for.
    Result<void> set_gsi_routing(const std::vector<kvm_irq_routing_entry>& entries) const;
    // A 32-bit write of `value` at the address signals the eventfd instead of ending KVM_RUN.
    Result<void> attach_ioeventfd(const EventFd& event, uint64_t guest_address, uint32_t value) const;
    Result<void> detach_ioeventfd(const EventFd& event, uint64_t guest_address, uint32_t value) const;
    // The same for a write of any width and value. Detaching from a VM that KVM has given up succeeds.
    Result<void> attach_any_ioeventfd(const EventFd& event, uint64_t guest_address) const;
    Result<void> detach_any_ioeventfd(const EventFd& event, uint64_t guest_address) const;

  private:
    Result<void> ioeventfd(const EventFd& event, uint64_t guest_address, std::optional<uint32_t> value,
                           uint32_t flags) const;

    Fd fd_;
    size_t vcpu_mmap_size_;
};

}  // namespace alcove::kvm

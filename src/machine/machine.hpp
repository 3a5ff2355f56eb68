// SPDX-License-Identifier: Apache-2.0
//
// A virtual machine made of the parts below: memory, vCPUs, the chipset, virtio devices. This folder alone
// composes; nothing in it knows what the machine is for.
//
//     create() ──► add devices ──► load() ──► start() ──► running ──► ended (once, with a reason)
//                                                            └─ stop() ─┘
//
// Everything but the constructor's arguments belongs to the thread of the event loop. The guest ends on a
// vCPU's thread; the machine then stops its devices and vCPUs on the loop's thread and calls `ended`.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/stop_reason.hpp"
#include "boot/loader.hpp"
#include "bus/address_bus.hpp"
#include "chipset/i8042.hpp"
#include "chipset/platform_ports.hpp"
#include "chipset/serial_16550.hpp"
#include "cpu/cpuid_baseline.hpp"
#include "cpu/vcpu_thread.hpp"
#include "kvm/kvm.hpp"
#include "kvm/vm.hpp"
#include "machine/carvable.hpp"
#include "machine/idle_watch.hpp"
#include "machine/memory_slots.hpp"
#include "machine/message_routes.hpp"
#include "machine/wiring.hpp"
#include "memory/guest_memory.hpp"
#include "pci/pci_bus.hpp"
#include "sgx_hardware/hardware_sgx.hpp"
#include "sgx_vm/sgx_vm.hpp"
#include "support/event_loop.hpp"
#include "virtio/device.hpp"
#include "virtio/mmio_transport.hpp"
#include "virtio/pci_transport.hpp"

namespace alcove::machine {

inline constexpr uint32_t kMaxVcpus = 32;
inline constexpr uint64_t kMinMemory = 8_MiB;

// What a primary VM has beyond an enclave: PCI, an identity, memory that can be taken from it.
struct PrimaryShape {
    boot::SystemIdentity identity;
    uint64_t memory_block = 0;  // of one memory slot; 0: MemorySlots::block_for() the memory
};

struct MachinePlan {
    Fd kvm;  // /dev/kvm
    Fd ram;  // a file of memory_bytes, reserved
    uint64_t memory_bytes = 0;
    uint32_t vcpu_count = 0;
    uint32_t threads_per_core = 1;  // 2 only where the host threads behind neighbouring vCPUs are siblings
    boot::Discovery discovery = boot::Discovery::Acpi;         // how the kernel is told of the devices
    std::optional<PrimaryShape> primary{};                     // with Discovery::Acpi only
    std::optional<sgx_vm::SgxPlan> sgx{};                      // in software
    std::optional<sgx_hardware::HardwarePlan> hardware_sgx{};  // or by the host's processors
    // Ends with Halted soon after every vCPU has halted with its interrupts off: within two periods of
    // IdleWatch. Without, such a machine stays until it is stopped.
    bool ends_when_halted = false;
    // Called on each vCPU's thread before it runs the guest; an error ends the machine. May be empty.
    std::function<Result<void>(uint32_t vcpu)> vcpu_begins;
    // Each byte the guest sends to its serial port; called on vCPU threads, one at a time. Empty: dropped.
    chipset::Serial16550::Sink console;
};

struct MachineEnd {
    api::StopReason reason;
    std::optional<uint32_t> vcpu;  // which one brought it about
    std::string detail;            // for people
};

class Machine : public Carvable {
  public:
    using EndedHandler = std::function<void(const MachineEnd&)>;  // on the loop's thread, exactly once

    // Errors: MachineConfig, KvmUnable, KvmRefused, and those of memory.
    static Result<std::unique_ptr<Machine>> create(MachinePlan plan, EventLoop& loop);
    ~Machine() override;  // on the loop's thread
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    // Before load(). The device takes the next virtio-mmio window and interrupt; it is borrowed.
    Result<void> add_virtio(virtio::VirtioDevice& device);
    // The same behind a PCI function, in a primary VM. Slots are 1 to 31.
    Result<void> add_virtio_pci(uint8_t slot, virtio::VirtioDevice& device);
    // Any other function. It is the machine's from here on, because its interrupt lines are.
    void add_pci(uint8_t slot, std::unique_ptr<pci::Function> function);
    bus::MessageInterrupts& message_interrupts() { return *message_routes_; }  // of a primary VM

    // `inputs.platform` is filled here.
    Result<void> load(boot::BootInputs inputs);
    Result<void> start(EndedHandler ended);
    // Ends the guest at its next exit; `ended` follows with HostRequest, or with the guest's own reason if
    // that came first.
    void stop();

    // Ends the guest with DeviceError.
    void give_up(std::string detail) override;

    // Carvable.
    void with_vcpus_parked(std::function<void()> work) override;
    Result<void> remove_memory(memory::GuestRange range) override { return memory_slots_->remove(range); }
    Result<void> restore_memory(memory::GuestRange range) override { return memory_slots_->restore(range); }
    Result<void> reserve_memory(std::span<const memory::GuestRange> ranges) override;
    const std::shared_ptr<memory::GuestMemory>& memory() const override { return memory_; }

    sgx_vm::SgxBackend* sgx() { return sgx_.get(); }         // null without
    sgx_vm::SgxVm* software_sgx() { return software_sgx_; }  // likewise, and where processors do it

    const std::vector<std::unique_ptr<cpu::VcpuThread>>& vcpus() const { return vcpus_; }
    const std::vector<std::unique_ptr<virtio::MmioTransport>>& transports() const { return transports_; }
    const std::vector<std::unique_ptr<virtio::PciTransport>>& pci_transports() const {
        return pci_transports_;
    }

  private:
    Machine(kvm::Kvm kvm, kvm::Vm vm, std::shared_ptr<memory::GuestMemory> memory, EventLoop& loop)
        : loop_(loop),
          kvm_(std::move(kvm)),
          vm_(std::move(vm)),
          memory_(std::move(memory)),
          doorbells_(vm_) {}

    Result<void> add_memory_slots(const std::optional<PrimaryShape>& shape);
    Result<void> disable_quirks(const MachinePlan& plan);
    Result<void> add_sgx(MachinePlan& plan);
    Result<void> add_software_sgx(const MachinePlan& plan, sgx::Sections sections);
    Result<void> add_hardware_sgx(sgx_hardware::HardwarePlan plan, sgx::Sections sections);
    Result<void> add_pci_bus(const PrimaryShape& shape);
    Result<void> add_chipset(chipset::Serial16550::Sink console);
    Result<void> add_vcpus(cpu::Topology topology);
    void stop_devices();
    void end_from_vcpu(MachineEnd end);
    void finish(const MachineEnd& end);
    void park_for_next_work();
    void run_parked_work();
    void look_into_enclaves_later();
    void look_for_halt_later();
    Result<bool> is_idle();
    void end_if_halted();  // with its vCPUs parked, as the next
    Result<bool> has_halted() const;
    // A task for the loop that does nothing when the machine is gone by then.
    std::function<void()> if_there(std::function<void(Machine&)> task) const;

    EventLoop& loop_;
    kvm::Kvm kvm_;
    kvm::Vm vm_;
    std::shared_ptr<memory::GuestMemory> memory_;
    Fd ram_;  // of a primary VM
    IoeventfdDoorbells doorbells_;
    uint32_t next_slot_ = 0;  // of devices; RAM's come behind them
    std::optional<MemorySlots> memory_slots_;
    sgx_hardware::KernelCalls hardware_calls_;
    std::unique_ptr<sgx_vm::SgxBackend> sgx_;  // null without; behind the memory it looks into
    sgx_vm::SgxVm* software_sgx_ = nullptr;    // the same, if it is that

    bus::AddressBus io_bus_;
    bus::AddressBus mmio_bus_;
    std::unique_ptr<IrqfdLine> serial_line_;
    std::unique_ptr<chipset::Serial16550> serial_;
    std::unique_ptr<chipset::I8042> i8042_;
    std::unique_ptr<chipset::AcpiRegisters> acpi_registers_;
    std::unique_ptr<chipset::PanicPort> panic_port_;
    std::vector<std::unique_ptr<IrqfdLine>> virtio_lines_;
    std::vector<std::unique_ptr<virtio::MmioTransport>> transports_;
    std::unique_ptr<MessageRoutes> message_routes_;
    std::vector<std::unique_ptr<virtio::PciTransport>> pci_transports_;
    std::vector<std::unique_ptr<pci::Function>> pci_functions_;
    std::unique_ptr<pci::PciBus> pci_bus_;  // behind the functions on it
    boot::Platform platform_;

    std::optional<IdleWatch> idle_watch_;  // of a machine that ends when it has halted

    std::deque<std::function<void()>> parked_works_;
    std::atomic<size_t> vcpus_to_park_{0};  // counted down by the vCPU threads; the last one posts the work

    std::function<Result<void>(uint32_t vcpu)> vcpu_begins_;
    EndedHandler ended_;
    bool finished_ = false;
    std::atomic<bool> ending_{false};  // set by the first end, from any thread: exchange decides who it is
    // Tasks of the loop hold this weakly (if_there()).
    std::shared_ptr<Machine*> self_ = std::make_shared<Machine*>(this);
    std::vector<std::unique_ptr<cpu::VcpuThread>> vcpus_;  // last: their threads use everything above
};

}  // namespace alcove::machine

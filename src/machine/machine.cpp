// SPDX-License-Identifier: Apache-2.0
#include "machine/machine.hpp"

#include <array>
#include <utility>

#include "cpu/cpuid_baseline.hpp"
#include "cpu/initial_state.hpp"
#include "memory/layout.hpp"
#include "support/bits.hpp"
#include "virtio/spec.hpp"

namespace alcove::machine {

namespace {

namespace layout = memory::layout;

// Interrupt lines of the virtio-mmio windows, in their order. 4 is the serial port's; 1, 8 and 12 to 15 have
// had fixed meanings since the PC/AT and some kernels still treat them so.
constexpr std::array<uint32_t, layout::kVirtioMmioMax> kVirtioGsis = {5, 6, 7, 9, 10, 11, 16, 17};

Result<void> check_plan(const MachinePlan& plan) {
    if (plan.vcpu_count == 0 || plan.vcpu_count > kMaxVcpus)
        return fail(ErrorCode::MachineConfig,
                    "a machine has 1 to 32 vCPUs, not " + std::to_string(plan.vcpu_count));
    if (plan.memory_bytes < kMinMemory || !is_aligned<uint64_t>(plan.memory_bytes, 4_KiB))
        return fail(ErrorCode::MachineConfig, "memory has to be whole pages and at least 8 MiB");
    return {};
}

}  // namespace

Result<std::unique_ptr<Machine>> Machine::create(MachinePlan plan, EventLoop& loop) {
    TRY(check_plan(plan));
    auto kvm = TRY(kvm::Kvm::create(std::move(plan.kvm)));
    auto vm = TRY(kvm.create_vm());
    auto memory = TRY(memory::GuestMemory::create(plan.ram, layout::ram_regions(plan.memory_bytes)));
    std::unique_ptr<Machine> machine(new Machine(std::move(kvm), std::move(vm), std::move(memory), loop));

    TRY(machine->vm_.set_identity_map_address(layout::kKvmIdentityMap));
    TRY(machine->vm_.set_tss_address(layout::kKvmTss));
    TRY(machine->vm_.create_irqchip());
    machine->platform_.discovery = plan.discovery;
    machine->platform_.vcpu_count = plan.vcpu_count;
    if (plan.discovery == boot::Discovery::CommandLine) {
        TRY(machine->vm_.create_pit());
    }
    TRY(machine->add_memory_slots());
    TRY(machine->add_chipset(std::move(plan.console)));
    TRY(machine->add_vcpus(plan.vcpu_count));
    return machine;
}

Machine::~Machine() {
    ending_ = true;
    for (auto& transport : transports_)
        transport->stop();  // lets vCPUs go that wait for a device
}

Result<void> Machine::add_memory_slots() {
    for (const auto& [region, host_address] : memory_->mapped_regions())
        TRY(vm_.set_memory_slot({.slot = next_slot_++,
                                 .flags = 0,
                                 .guest_address = region.range.base.value(),
                                 .size = region.range.size,
                                 .host_address = host_address}));
    return {};
}

Result<void> Machine::add_chipset(chipset::Serial16550::Sink console) {
    const auto end = [this](api::StopReason reason) {
        end_from_vcpu({.reason = reason, .vcpu = std::nullopt, .detail = {}});
    };
    serial_line_ = TRY(IrqfdLine::create(vm_, boot::kSerialGsi));
    serial_ = std::make_unique<chipset::Serial16550>(std::move(console), *serial_line_);
    i8042_ = std::make_unique<chipset::I8042>(end);
    acpi_registers_ =
        std::make_unique<chipset::AcpiRegisters>(boot::kAcpiSleepTypeS5, boot::kAcpiResetValue, end);
    panic_port_ = std::make_unique<chipset::PanicPort>(end);
    io_bus_.add(boot::kSerialPort, 8, *serial_);
    io_bus_.add(chipset::I8042::kDataPort, 1, i8042_->data_port());
    io_bus_.add(chipset::I8042::kCommandPort, 1, i8042_->command_port());
    io_bus_.add(boot::kAcpiSleepControlPort, chipset::AcpiRegisters::kSize, *acpi_registers_);
    io_bus_.add(boot::kPanicPort, 1, *panic_port_);
    return {};
}

Result<void> Machine::add_vcpus(uint32_t count) {
    const auto supported = TRY(kvm_.supported_cpuid());
    const auto baseline = TRY(cpu::make_cpuid_baseline(supported, {.vcpu_count = count}));
    for (uint32_t i = 0; i < count; ++i) {
        auto vcpu = TRY(vm_.create_vcpu(i));
        TRY(vcpu.set_cpuid(cpu::cpuid_for(baseline, i)));
        TRY(cpu::set_platform_state(vcpu));
        const auto failed = [this, i](api::StopReason reason, std::string detail) {
            end_from_vcpu({.reason = reason, .vcpu = i, .detail = std::move(detail)});
        };
        vcpus_.push_back(std::make_unique<cpu::VcpuThread>(
            std::move(vcpu), i, cpu::VcpuThread::Buses{.io = io_bus_, .mmio = mmio_bus_}, failed));
    }
    return {};
}

Result<void> Machine::add_virtio(virtio::VirtioDevice& device) {
    const size_t index = transports_.size();
    ALCOVE_CHECK(index < layout::kVirtioMmioMax, "a machine has at most 8 virtio-mmio windows");
    const uint64_t base = layout::kVirtioMmioBase + index * layout::kVirtioMmioStride;
    auto line = TRY(IrqfdLine::create(vm_, kVirtioGsis[index]));
    auto transport = TRY(virtio::MmioTransport::create({.loop = &loop_,
                                                        .loop_thread = std::this_thread::get_id(),
                                                        .memory = memory_,
                                                        .base = memory::GuestAddress(base),
                                                        .line = line.get(),
                                                        .doorbells = &doorbells_},
                                                       device));
    // The registers can be read without leaving the guest; writes still come to us.
    TRY(vm_.set_memory_slot({.slot = next_slot_++,
                             .flags = KVM_MEM_READONLY,
                             .guest_address = base,
                             .size = virtio::mmio::kWindowSize,
                             .host_address = transport->register_page_host_address()}));
    mmio_bus_.add(base, virtio::mmio::kWindowSize, *transport);
    platform_.virtio_mmio.push_back({.base = static_cast<uint32_t>(base),
                                     .size = static_cast<uint32_t>(virtio::mmio::kWindowSize),
                                     .gsi = kVirtioGsis[index]});
    virtio_lines_.push_back(std::move(line));
    transports_.push_back(std::move(transport));
    return {};
}

Result<void> Machine::load(boot::BootInputs inputs) {
    inputs.platform = platform_;
    const auto entry = TRY(boot::load_boot(*memory_, inputs));
    return cpu::set_entry_state(vcpus_.front()->vcpu(), entry);
}

Result<void> Machine::start(EndedHandler ended) {
    ended_ = std::move(ended);
    for (auto& vcpu : vcpus_)
        vcpu->start();
    return {};
}

void Machine::stop() {
    if (ending_.exchange(true)) return;
    finish({.reason = api::StopReason::HostRequest, .vcpu = std::nullopt, .detail = {}});
}

void Machine::end_from_vcpu(MachineEnd end) {
    if (ending_.exchange(true)) return;
    loop_.post([weak = std::weak_ptr(self_), end = std::move(end)] {
        if (const auto self = weak.lock()) (*self)->finish(end);
    });
}

void Machine::finish(const MachineEnd& end) {
    if (std::exchange(finished_, true)) return;
    for (auto& transport : transports_)
        transport->stop();
    for (auto& vcpu : vcpus_)
        vcpu->request_stop();
    for (auto& vcpu : vcpus_)
        vcpu->join();
    if (ended_) ended_(end);
}

}  // namespace alcove::machine

// SPDX-License-Identifier: Apache-2.0
#include "machine/machine.hpp"

#include <array>
#include <chrono>
#include <utility>

#include "cpu/cpuid_baseline.hpp"
#include "cpu/initial_state.hpp"
#include "memory/layout.hpp"
#include "memory/page_mover.hpp"
#include "pci/spec.hpp"
#include "support/bits.hpp"
#include "virtio/spec.hpp"

namespace alcove::machine {

namespace {

namespace layout = memory::layout;

// Interrupt lines of the virtio-mmio windows, in their order. 4 is the serial port's; 1, 8 and 12 to 15 have
// had fixed meanings since the PC/AT and some kernels still treat them so.
constexpr std::array<uint32_t, layout::kVirtioMmioMax> kVirtioGsis = {5, 6, 7, 9, 10, 11, 16, 17};

// Memory slots: those of devices, then RAM's.
constexpr uint32_t kFirstRamSlot = 16;
constexpr uint64_t kOneBlock = uint64_t{1} << 62;  // RAM that nobody takes from is one slot a region
// KVM_X86_QUIRK_SLOT_ZAP_ALL, Linux 6.12, arch/x86/include/uapi/asm/kvm.h: newer than Debian 12's headers.
constexpr uint64_t kQuirkSlotZapAll = 1U << 7;

Result<void> check_plan(const MachinePlan& plan) {
    if (plan.vcpu_count == 0 || plan.vcpu_count > kMaxVcpus)
        return fail(ErrorCode::MachineConfig,
                    "a machine has 1 to 32 vCPUs, not " + std::to_string(plan.vcpu_count));
    if (plan.memory_bytes < kMinMemory || !is_aligned<uint64_t>(plan.memory_bytes, 4_KiB))
        return fail(ErrorCode::MachineConfig, "memory has to be whole pages and at least 8 MiB");
    if (plan.threads_per_core == 0 || plan.threads_per_core > plan.vcpu_count)
        return fail(ErrorCode::MachineConfig, "a core of a machine has 1 or more of its vCPUs");
    if (plan.sgx && plan.hardware_sgx)
        return fail(ErrorCode::MachineConfig, "a machine's SGX is software or hardware, not both");
    if (!plan.primary) return {};
    if (plan.discovery != boot::Discovery::Acpi)
        return fail(ErrorCode::MachineConfig, "a primary VM tells its kernel of its devices by ACPI");
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
    machine->vcpu_begins_ = std::move(plan.vcpu_begins);
    if (plan.ends_when_halted) machine->idle_watch_.emplace();
    machine->platform_.discovery = plan.discovery;
    machine->platform_.vcpu_count = plan.vcpu_count;
    if (plan.discovery == boot::Discovery::CommandLine) {
        TRY(machine->vm_.create_pit());
    }
    TRY(machine->disable_quirks(plan));
    if (plan.sgx || plan.hardware_sgx) {
        TRY(machine->add_sgx(plan));
    }
    TRY(machine->add_memory_slots(plan.primary));
    TRY(machine->add_chipset(std::move(plan.console)));
    if (plan.primary) {
        machine->ram_ = std::move(plan.ram);
        TRY(machine->add_pci_bus(*plan.primary));
    }
    TRY(machine->add_vcpus({.vcpu_count = plan.vcpu_count, .threads_per_core = plan.threads_per_core}));
    return machine;
}

Machine::~Machine() {
    ending_ = true;
    stop_devices();
}

// Lets vCPUs go that wait for a device.
void Machine::stop_devices() {
    for (auto& transport : transports_)
        transport->stop();
    for (auto& transport : pci_transports_)
        transport->stop();
}

Result<void> Machine::add_memory_slots(const std::optional<PrimaryShape>& shape) {
    uint64_t block = kOneBlock;
    if (shape)
        block =
            shape->memory_block != 0 ? shape->memory_block : MemorySlots::block_for(memory_->total_size());
    const auto set = [this](kvm::MemorySlot slot) -> Result<void> {
        TRY(vm_.set_memory_slot(slot));
        if (software_sgx_ == nullptr) return {};
        slot.slot = kvm::slot_of(kvm::View::Protected, slot.slot);  // RAM is in both views
        return vm_.set_memory_slot(slot);
    };
    memory_slots_ = TRY(MemorySlots::create(set, memory_->mapped_regions(), block, kFirstRamSlot));
    return {};
}

Result<void> Machine::disable_quirks(const MachinePlan& plan) {
    uint64_t unwanted = 0;
    // Deleting one slot would throw away the mappings of all, as kernels before 6.11 do anyway.
    if (plan.primary) unwanted |= kQuirkSlotZapAll;
    // KVM would write over instructions of enclaves that look like hypercalls.
    if (plan.sgx) unwanted |= KVM_X86_QUIRK_FIX_HYPERCALL_INSN;
    const auto known = static_cast<uint64_t>(TRY(vm_.check_extension(KVM_CAP_DISABLE_QUIRKS2)));
    if (plan.sgx && (known & KVM_X86_QUIRK_FIX_HYPERCALL_INSN) == 0)
        return fail(ErrorCode::KvmUnable,
                    "this host's KVM writes over a guest's hypercall instructions, also those in enclaves "
                    "(Linux 5.19 and later can be told not to)");
    unwanted &= known;
    if (unwanted == 0) return {};
    return vm_.enable_capability(KVM_CAP_DISABLE_QUIRKS2, unwanted);
}

Result<void> Machine::add_sgx(MachinePlan& plan) {
    const auto configuration = plan.sgx ? plan.sgx->configuration : plan.hardware_sgx->configuration;
    std::vector<memory::GuestRange> ram;
    for (const auto& mapped : memory_->mapped_regions())
        ram.push_back(mapped.region.range);
    // The layout is the machine version's, whoever runs the enclaves.
    auto sections = TRY(
        sgx::place_sections(configuration, ram, layout::device_ranges(), layout::kSgxPrivate.base.value()));
    TRY(plan.sgx ? add_software_sgx(plan, std::move(sections))
                 : add_hardware_sgx(std::move(*plan.hardware_sgx), std::move(sections)));
    const auto slots = sgx_->slots(next_slot_);
    for (const auto& slot : slots)
        TRY(vm_.set_memory_slot(slot));
    next_slot_ += static_cast<uint32_t>(sgx_->sections().size());
    platform_.ram_bytes = memory_->total_size();
    for (size_t i = 0; i < sgx_->sections().size(); ++i)
        platform_.epc.push_back({.base = sgx_->sections()[i].base.value(),
                                 .size = sgx_->sections()[i].size,
                                 .node = configuration.epc[i].node});
    return {};
}

Result<void> Machine::add_software_sgx(const MachinePlan& plan, sgx::Sections sections) {
    auto sgx = TRY(sgx_vm::SgxVm::create(vm_, *plan.sgx, std::move(sections), memory_,
                                         layout::kSgxPrivate.base, plan.vcpu_count));
    ALCOVE_CHECK(sgx->private_end() < layout::kSgxPrivate.end(), "room for every vCPU");
    software_sgx_ = sgx.get();
    sgx_ = std::move(sgx);
    return {};
}

Result<void> Machine::add_hardware_sgx(sgx_hardware::HardwarePlan plan, sgx::Sections sections) {
    const auto supported = TRY(kvm_.supported_cpuid());
    sgx_ = TRY(sgx_hardware::HardwareSgx::create(hardware_calls_, vm_, std::move(plan), std::move(sections),
                                                 supported));
    return {};
}

Result<void> Machine::add_pci_bus(const PrimaryShape& shape) {
    message_routes_ = TRY(MessageRoutes::create(vm_));
    pci_bus_ = std::make_unique<pci::PciBus>(
        pci::PciBus::Windows{.mmio32 = layout::kPciMmio32, .mmio64 = layout::kPciMmio64}, &doorbells_);
    const auto add = [this](const memory::GuestRange& range, bus::BusDevice& device) {
        mmio_bus_.add(range.base.value(), range.size, device);
    };
    add(layout::kPciEcam, pci_bus_->ecam());
    add(layout::kPciMmio32, pci_bus_->mmio32());
    add(layout::kPciMmio64, pci_bus_->mmio64());
    io_bus_.add(pci::config_ports::kBase, pci::config_ports::kSize, pci_bus_->ports());
    platform_.pci = {.ecam = layout::kPciEcam.base.value(),
                     .window32 = static_cast<uint32_t>(layout::kPciMmio32.base.value()),
                     .window32_size = static_cast<uint32_t>(layout::kPciMmio32.size),
                     .window64 = layout::kPciMmio64.base.value(),
                     .window64_size = layout::kPciMmio64.size};
    platform_.identity = shape.identity;
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

Result<void> Machine::add_vcpus(cpu::Topology topology) {
    const auto supported = TRY(kvm_.supported_cpuid());
    auto baseline = TRY(cpu::make_cpuid_baseline(supported, topology));
    if (sgx_) sgx_->extend_cpuid(baseline, supported);
    for (uint32_t i = 0; i < topology.vcpu_count; ++i) {
        auto vcpu = TRY(vm_.create_vcpu(i));
        TRY(vcpu.set_cpuid(cpu::cpuid_for(baseline, i)));
        TRY(cpu::set_platform_state(vcpu));
        const auto failed = [this, i](api::StopReason reason, std::string detail) {
            end_from_vcpu({.reason = reason, .vcpu = i, .detail = std::move(detail)});
        };
        vcpus_.push_back(std::make_unique<cpu::VcpuThread>(
            std::move(vcpu), i, cpu::VcpuThread::Buses{.io = io_bus_, .mmio = mmio_bus_}, failed));
        if (sgx_) {
            auto handler = TRY(sgx_->make_vcpu(vcpus_.back()->vcpu(), i));
            vcpus_.back()->set_exit_handler(std::move(handler));
        }
    }
    if (software_sgx_ != nullptr && topology.vcpu_count > 1)
        software_sgx_->watch().start(
            [this] { loop_.post(if_there([](Machine& self) { self.look_into_enclaves_later(); })); },
            [this](uint32_t vcpu) { vcpus_[vcpu]->kick(); });
    return {};
}

void Machine::look_into_enclaves_later() {
    loop_.after(sgx_vm::EnclaveWatch::kPeriod, if_there([](Machine& self) {
                    if (!self.finished_ && self.software_sgx_->watch().look())
                        self.look_into_enclaves_later();
                }));
}

void Machine::look_for_halt_later() {
    loop_.after(IdleWatch::kPeriod, if_there([](Machine& self) {
                    if (self.finished_) return;
                    const auto idle = self.is_idle();
                    if (!idle) return self.give_up(idle.error().to_string());
                    if (*idle && self.parked_works_.empty())
                        self.with_vcpus_parked([&self] { self.end_if_halted(); });
                    self.look_for_halt_later();
                }));
}

Result<bool> Machine::is_idle() {
    std::vector<std::chrono::nanoseconds> used;
    for (const auto& vcpu : vcpus_)
        used.push_back(TRY(vcpu->cpu_time()));
    return idle_watch_->idle(used);
}

// All vCPUs are looked at while all of them are parked: one by one, a halted one could have been woken by
// another before that one halted.
void Machine::end_if_halted() {
    const auto halted = has_halted();
    if (!halted) return give_up(halted.error().to_string());
    if (!*halted) return;
    end_from_vcpu({.reason = api::StopReason::Halted,
                   .vcpu = std::nullopt,
                   .detail = "every vCPU halted with interrupts off"});
}

Result<bool> Machine::has_halted() const {
    for (const auto& vcpu : vcpus_)
        if (!TRY(vcpu->halted_for_good())) return false;
    return true;
}

std::function<void()> Machine::if_there(std::function<void(Machine&)> task) const {
    return [weak = std::weak_ptr(self_), task = std::move(task)] {
        if (const auto self = weak.lock()) task(**self);
    };
}

Result<void> Machine::add_virtio(virtio::VirtioDevice& device) {
    const size_t index = transports_.size();
    ALCOVE_CHECK(index < layout::kVirtioMmioMax, "a machine has at most 8 virtio-mmio windows");
    const uint64_t base = layout::kVirtioMmioBase + index * layout::kVirtioMmioStride;
    auto line = TRY(IrqfdLine::create(vm_, kVirtioGsis[index]));
    auto transport = TRY(virtio::MmioTransport::create({.loop = &loop_,
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

Result<void> Machine::add_virtio_pci(uint8_t slot, virtio::VirtioDevice& device) {
    auto transport = TRY(virtio::PciTransport::create(
        {.loop = &loop_, .memory = memory_, .interrupts = message_routes_.get()}, device));
    pci_bus_->add(slot, *transport);
    pci_transports_.push_back(std::move(transport));
    return {};
}

void Machine::add_pci(uint8_t slot, std::unique_ptr<pci::Function> function) {
    pci_bus_->add(slot, *function);
    pci_functions_.push_back(std::move(function));
}

Result<void> Machine::load(boot::BootInputs inputs) {
    inputs.platform = platform_;
    const auto entry = TRY(boot::load_boot(*memory_, inputs));
    return cpu::set_entry_state(vcpus_.front()->vcpu(), entry);
}

Result<void> Machine::start(EndedHandler ended) {
    ended_ = std::move(ended);
    for (auto& vcpu : vcpus_)
        vcpu->start([this, index = vcpu->index()]() -> Result<void> {
            if (!vcpu_begins_) return {};
            return vcpu_begins_(index);
        });
    if (idle_watch_) look_for_halt_later();
    return {};
}

void Machine::stop() {
    if (ending_.exchange(true)) return;
    finish({.reason = api::StopReason::HostRequest, .vcpu = std::nullopt, .detail = {}});
}

void Machine::give_up(std::string detail) {
    end_from_vcpu(
        {.reason = api::StopReason::DeviceError, .vcpu = std::nullopt, .detail = std::move(detail)});
}

Result<void> Machine::reserve_memory(std::span<const memory::GuestRange> ranges) {
    uint64_t expected = 0;
    for (const auto& present : memory_slots_->present())
        expected += present.size;
    std::vector<memory::FileRange> parts;
    for (const auto& range : ranges) {
        expected += range.size;
        for (const auto& [region, address] : memory_->mapped_regions())
            if (region.range.contains(range.base))
                parts.push_back(
                    {.offset = region.file_offset + (range.base.value() - region.range.base.value()),
                     .length = range.size});
    }
    return memory::reserve_missing(ram_, expected, parts);
}

void Machine::with_vcpus_parked(std::function<void()> work) {
    if (ending_) return;
    parked_works_.push_back(std::move(work));
    if (parked_works_.size() == 1) park_for_next_work();
}

void Machine::park_for_next_work() {
    vcpus_to_park_ = vcpus_.size();
    for (auto& vcpu : vcpus_)
        vcpu->request_park([this] {
            if (vcpus_to_park_.fetch_sub(1) != 1) return;
            loop_.post(if_there([](Machine& self) { self.run_parked_work(); }));
        });
}

void Machine::run_parked_work() {
    if (finished_) return;
    parked_works_.front()();
    for (auto& vcpu : vcpus_)
        vcpu->release();
    parked_works_.pop_front();
    if (!parked_works_.empty() && !ending_) park_for_next_work();
}

void Machine::end_from_vcpu(MachineEnd end) {
    if (ending_.exchange(true)) return;
    loop_.post(if_there([end = std::move(end)](Machine& self) { self.finish(end); }));
}

void Machine::finish(const MachineEnd& end) {
    if (std::exchange(finished_, true)) return;
    stop_devices();
    for (auto& vcpu : vcpus_)
        vcpu->request_stop();
    for (auto& vcpu : vcpus_)
        vcpu->join();
    if (ended_) ended_(end);
}

}  // namespace alcove::machine

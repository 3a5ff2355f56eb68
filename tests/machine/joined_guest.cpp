// SPDX-License-Identifier: Apache-2.0
#include "tests/machine/joined_guest.hpp"

#include <fcntl.h>

#include "support/mapping.hpp"
#include "support/system.hpp"
#include "vsock/device.hpp"
#include "vsock/fabric_backend.hpp"

namespace alcove::tests {

namespace {

constexpr uint8_t kVsockSlot = 3;
constexpr std::chrono::milliseconds kLookEvery(5);

Result<Mapping> map_file(const std::string& path) {
    const auto file = TRY(sys::open(path, O_RDONLY));
    const auto size = TRY(sys::file_size(file));
    return Mapping::read_only(file, size);
}

}  // namespace

Result<void> run_joined_guest(JoinedGuest guest) {
    const auto kernel = TRY(map_file(guest.kernel));
    const auto initrd = TRY(map_file(guest.initrd));
    boot::BootInputs inputs;
    inputs.kernel = kernel.bytes();
    inputs.ramdisks.push_back(initrd.bytes());
    inputs.command_line = guest.command_line;

    auto loop = TRY(EventLoop::create());
    machine::MachinePlan plan;
    plan.kvm = TRY(sys::open("/dev/kvm", O_RDWR));
    plan.ram = TRY(sys::memfd("joined-ram"));
    TRY(sys::truncate(plan.ram, guest.memory_bytes));
    plan.memory_bytes = guest.memory_bytes;
    plan.vcpu_count = 1;
    const bool is_primary = guest.cid == vsock::Cid::Parent;
    if (is_primary)
        plan.primary = {.identity = {.asset_tag = "i-0123456789abcdef0", .uuid = {}}};
    else
        plan.discovery = boot::discovery_for(guest.command_line);
    plan.console = guest.console;

    std::unique_ptr<machine::Machine> machine;
    vsock::FabricBackend fabric(
        *loop, {.guest_cid = guest.cid, .link = {}, .on_peer_gone = [&](vsock::Cid) { machine->stop(); }});
    vsock::VsockDevice device(*loop, guest.cid, {&fabric});
    machine = TRY(machine::Machine::create(std::move(plan), *loop));
    if (is_primary)
        TRY(machine->add_virtio_pci(kVsockSlot, device));
    else
        TRY(machine->add_virtio(device));
    TRY(machine->load(std::move(inputs)));
    TRY(machine->start([&](const machine::MachineEnd&) { loop->stop(); }));
    TRY(fabric.join(guest.peer, std::move(guest.end)));
    loop->after(guest.deadline, [&] { machine->stop(); });
    const std::function<void()> look = [&] {
        guest.held(fabric.buffered_bytes());
        loop->after(kLookEvery, look);
    };
    if (guest.held) look();
    TRY(loop->run());
    machine.reset();
    return {};
}

}  // namespace alcove::tests

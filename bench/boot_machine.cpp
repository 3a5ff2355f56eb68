// SPDX-License-Identifier: Apache-2.0
//
// boot_machine KERNEL INITRD COMMAND_LINE VCPUS MIB [DISK]: one machine with a serial port on standard output
// and an entropy device, nothing else: our side of boot_vs_qemu_microvm. With a disk it is a primary VM,
// whose devices are PCI functions: our side of primary_boot_vs_qemu_q35.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include "machine/machine.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"
#include "virtio/blk.hpp"
#include "virtio/rng.hpp"

namespace {

using namespace alcove;

Result<Mapping> map_file(const char* path) {
    const auto file = TRY(sys::open(path, O_RDONLY));
    const auto size = TRY(sys::file_size(file));
    return Mapping::read_only(file, size);
}

// As in a launch: all memory is reserved, while the guest begins.
class MemoryFiller {
  public:
    MemoryFiller(Fd ram, uint64_t bytes)
        : thread_([ram = std::move(ram), bytes] {
              const auto filled = sys::allocate(ram, 0, 0, bytes);
              if (!filled) std::_Exit(1);
          }) {}
    ~MemoryFiller() { thread_.join(); }
    MemoryFiller(const MemoryFiller&) = delete;
    MemoryFiller& operator=(const MemoryFiller&) = delete;

  private:
    std::thread thread_;
};

constexpr uint8_t kRngSlot = 4;
constexpr uint8_t kDiskSlot = 8;

Result<void> run(char** argv, const char* disk_path) {
    const auto kernel = TRY(map_file(argv[1]));
    const auto initrd = TRY(map_file(argv[2]));
    TRY(cpu::VcpuThread::install_kick_signal());
    auto loop = TRY(EventLoop::create());
    machine::MachinePlan plan;
    plan.kvm = TRY(sys::open("/dev/kvm", O_RDWR));
    plan.ram = TRY(sys::memfd("bench-ram"));
    plan.memory_bytes = std::strtoull(argv[5], nullptr, 10) << 20;
    plan.vcpu_count = static_cast<uint32_t>(std::strtoul(argv[4], nullptr, 10));
    TRY(sys::truncate(plan.ram, plan.memory_bytes));
    const MemoryFiller filler(TRY(sys::duplicate(plan.ram.get())), plan.memory_bytes);
    plan.console = [](uint8_t byte) {
        if (::write(STDOUT_FILENO, &byte, 1) != 1) std::_Exit(1);
    };
    if (disk_path != nullptr)
        plan.primary = {.identity = {.asset_tag = "i-0123456789abcdef0", .uuid = {1}}, .memory_block = 0};
    virtio::RngDevice rng(*loop);
    std::unique_ptr<virtio::BlockDevice> disk;
    auto machine = TRY(machine::Machine::create(std::move(plan), *loop));
    if (disk_path != nullptr) {
        auto raw = TRY(sys::open(disk_path, O_RDWR));
        auto file = TRY(virtio::BlockFile::create(std::move(raw), virtio::BlockFile::Access::ReadWrite));
        disk = TRY(virtio::BlockDevice::create(*loop, std::move(file), "bench"));
        TRY(machine->add_virtio_pci(kRngSlot, rng));
        TRY(machine->add_virtio_pci(kDiskSlot, *disk));
    } else {
        TRY(machine->add_virtio(rng));
    }
    boot::BootInputs inputs;
    inputs.kernel = kernel.bytes();
    inputs.ramdisks.push_back(initrd.bytes());
    inputs.command_line = argv[3];
    TRY(machine->load(std::move(inputs)));
    TRY(machine->start([&](const machine::MachineEnd&) { loop->stop(); }));
    return loop->run();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 6 && argc != 7) {
        std::fputs("usage: boot_machine KERNEL INITRD COMMAND_LINE VCPUS MIB [DISK]\n", stderr);
        return 2;
    }
    const auto result = run(argv, argc == 7 ? argv[6] : nullptr);
    if (!result) std::fprintf(stderr, "boot_machine: %s\n", result.error().to_string().c_str());
    return result ? 0 : 1;
}

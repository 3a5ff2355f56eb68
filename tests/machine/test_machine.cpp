// SPDX-License-Identifier: Apache-2.0
#include "tests/machine/test_machine.hpp"

#include <cstdlib>
#include <filesystem>
#include <thread>

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "support/guarded.hpp"
#include "support/system.hpp"
#include "virtio/blk.hpp"

namespace alcove::tests {

namespace {

constexpr std::chrono::milliseconds kTimeToGoOn{200};

const boot::SystemIdentity kIdentity{.asset_tag = "i-0123456789abcdef0",
                                     .uuid = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};

Mark mark(machine::Machine& machine) {
    Mark mark{.runs = machine.vcpus().front()->counters().runs, .asynchronous_exits = 0, .evictions = 0};
    if (machine.software_sgx() == nullptr) return mark;
    mark.evictions = machine.software_sgx()->spill_statistics().evictions;
    for (const auto& enclave : machine.software_sgx()->engine().report().enclaves)
        mark.asynchronous_exits += enclave.asynchronous_exits;
    return mark;
}

void lose_epc(machine::Machine& machine) {
    machine.with_vcpus_parked([&machine] {
        const auto dropped = machine.sgx()->drop();
        ALCOVE_CHECK(dropped.has_value(), "all vCPUs leave their enclaves");
    });
}

// What VMMs do to a guest whose memory is broken: ours does not. So the vCPU is found by the name that KVM
// gives its file. It is inside an enclave, and the call waits until KVM_RUN returns for some reason.
void fail_machine(machine::Machine& machine, const std::stop_token& ended) {
    namespace fs = std::filesystem;
    constexpr uint64_t kFatal = uint64_t{0b10110010} << 56;  // IA32_MCi_STATUS: VAL, UC, EN, PCC
    constexpr uint64_t kInProgress = 4;                      // IA32_MCG_STATUS: MCIP
    const auto is_inside = [&machine] {
        const auto report = machine.software_sgx()->engine().report();
        return !report.enclaves.empty() && report.enclaves[0].threads_inside == 1;
    };
    while (!ended.stop_requested() && !is_inside())
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // EENTER, then KVM_RUN
    kvm_x86_mce failure{};
    failure.status = kFatal;
    failure.mcg_status = kInProgress;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
        std::error_code ignored;
        if (fs::read_symlink(entry, ignored) != "anon_inode:kvm-vcpu:0") continue;
        const int vcpu = std::stoi(entry.path().filename());
        ALCOVE_CHECK(::ioctl(vcpu, KVM_X86_SET_MCE, &failure) == 0, "a bank for it");
    }
}

}  // namespace

std::optional<std::string> find_test_file(const std::string& name) {
    const char* folder = std::getenv("ALCOVE_TEST_FILES");
    const std::string path = std::string(folder != nullptr ? folder : ".") + "/" + name;
    if (::access(path.c_str(), R_OK) != 0) return std::nullopt;
    return path;
}

Result<Mapping> map_test_file(const std::string& name) {
    const auto path = find_test_file(name);
    if (!path) return fail(ErrorCode::NotFound, "test file " + name);
    const auto file = TRY(sys::open(*path, O_RDONLY));
    const auto size = TRY(sys::file_size(file));
    return Mapping::read_only(file, size);
}

Result<GuestRun> run_guest(const GuestOptions& options) {
    TRY(cpu::VcpuThread::install_kick_signal());
    const auto kernel = TRY(map_test_file(options.kernel));
    Mapping initrd;
    boot::BootInputs inputs;
    inputs.kernel = kernel.bytes();
    inputs.command_line = options.command_line;
    if (options.initrd) {
        initrd = TRY(map_test_file(*options.initrd));
        inputs.ramdisks.push_back(initrd.bytes());
    }

    auto loop = TRY(EventLoop::create());
    machine::MachinePlan plan;
    plan.kvm = TRY(sys::open("/dev/kvm", O_RDWR));
    plan.ram = TRY(sys::memfd("test-ram"));
    TRY(sys::truncate(plan.ram, options.memory_bytes));
    plan.memory_bytes = options.memory_bytes;
    plan.vcpu_count = options.vcpus;
    plan.discovery = boot::discovery_for(options.command_line);
    plan.ends_when_halted = options.ends_when_halted;
    Guarded<std::string> console;
    std::unique_ptr<machine::Machine> machine;
    std::jthread hardware;
    GuestRun run;
    const Fd spill = TRY(sys::memfd("spill"));
    plan.console = [&](uint8_t byte) {
        if (byte == kMark) {
            run.marks.push_back(mark(*machine));
            return;
        }
        const auto [stop, drop, check, spill_reached, call] = console.with([&](std::string& text) {
            text.push_back(static_cast<char>(byte));
            const auto reached = [&](const std::string& end) { return !end.empty() && text.ends_with(end); };
            return std::tuple(reached(options.stop_at), reached(options.drop_epc_at),
                              reached(options.machine_check_at), reached(options.spill_at),
                              reached(options.call_at));
        });
        if (stop) loop->post([&] { machine->stop(); });
        if (drop) loop->post([&] { lose_epc(*machine); });
        if (check)
            hardware = std::jthread([&](const std::stop_token& ended) { fail_machine(*machine, ended); });
        if (spill_reached) options.on_spill(spill);
        if (call) loop->post([&] { loop->after(kTimeToGoOn, [&] { options.call(*machine, *loop); }); });
    };
    if (options.sgx) {
        plan.sgx = {.configuration = *options.sgx, .root = {1, 2, 3}};
        if (options.sgx->population == sgx::Population::Oversubscribe)
            plan.sgx->spill = TRY(sys::duplicate(spill.get()));
    }
    if (options.disk) plan.primary = {.identity = kIdentity};
    virtio::RngDevice rng(*loop);
    std::unique_ptr<virtio::BlockDevice> disk;
    machine = TRY(machine::Machine::create(std::move(plan), *loop));
    if (options.disk) {
        auto file = TRY(sys::open(*options.disk, O_RDWR));
        auto backing = TRY(virtio::BlockFile::create(std::move(file), virtio::BlockFile::Access::ReadWrite));
        disk = TRY(virtio::BlockDevice::create(*loop, std::move(backing), "test-disk"));
        TRY(machine->add_virtio_pci(3, *disk));
        TRY(machine->add_virtio_pci(4, rng));
    } else if (options.with_rng) {
        TRY(machine->add_virtio(rng));
    }
    TRY(machine->load(std::move(inputs)));

    bool timed_out = false;
    TRY(machine->start([&](const machine::MachineEnd& end) {
        if (!timed_out) run.end = end;
        loop->stop();
    }));
    loop->after(options.deadline, [&] {
        timed_out = true;
        machine->stop();
    });
    TRY(loop->run());
    hardware = {};
    for (const auto& vcpu : machine->vcpus())
        run.kvm_runs += vcpu->counters().runs;
    if (machine->software_sgx() != nullptr) {
        run.sgx = machine->software_sgx()->engine().report();
        run.spill = machine->software_sgx()->spill_statistics();
        const auto broken = machine->software_sgx()->engine().find_inconsistency();
        if (broken) return fail(ErrorCode::Internal, "EPCM: " + *broken);
    }
    machine.reset();
    run.console = console.with([](std::string& text) { return std::move(text); });
    return run;
}

}  // namespace alcove::tests

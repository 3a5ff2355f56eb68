// SPDX-License-Identifier: Apache-2.0
#include "machine/guest_trial.hpp"

#include <fcntl.h>

#include "machine/machine.hpp"
#include "machine/trial_verdict.hpp"
#include "support/guarded.hpp"
#include "support/system.hpp"

namespace alcove::machine {

namespace {

using Clock = TrialConsole::Clock;

constexpr uint64_t kMemory = 32_MiB;

// That of check.S, as fast as this processor runs it.
Clock::duration time_own_loop() {
    uint32_t left = kTrialLoopTurns;
    const auto began = Clock::now();
    asm volatile("1: dec %0\n jnz 1b" : "+r"(left) : : "cc");
    return Clock::now() - began;
}

// Why the guest did not say `done`, if it did not.
Result<std::string> run(const std::string& kvm_device, ByteView check_guest, std::chrono::seconds patience,
                        Guarded<TrialConsole>& console) {
    TRY(cpu::VcpuThread::install_kick_signal());
    const auto loop = TRY(EventLoop::create());
    MachinePlan plan;
    plan.kvm = TRY(sys::open(kvm_device, O_RDWR));
    plan.ram = TRY(sys::memfd("check-guest"));
    TRY(sys::truncate(plan.ram, kMemory));
    plan.memory_bytes = kMemory;
    plan.vcpu_count = 1;
    plan.console = [&console](uint8_t byte) {
        console.with([byte](TrialConsole& it) { it.take(byte, Clock::now()); });
    };
    const auto machine = TRY(Machine::create(std::move(plan), *loop));
    boot::BootInputs inputs;
    inputs.kernel = check_guest;
    TRY(machine->load(std::move(inputs)));

    std::string trouble;
    bool late = false;
    TRY(machine->start([&](const MachineEnd& end) {
        trouble = late ? "it did not end in " + std::to_string(patience.count()) + " s"
                       : std::string(api::stop_reason_name(end.reason)) +
                             (end.detail.empty() ? "" : ": " + end.detail);
        loop->stop();
    }));
    loop->after(patience, [&] {
        late = true;
        machine->stop();
    });
    TRY(loop->run());
    return trouble;
}

host::GuestTrial try_once(const std::string& kvm_device, ByteView check_guest,
                          std::chrono::seconds patience) {
    Guarded<TrialConsole> console;
    const auto ended = run(kvm_device, check_guest, patience, console);
    return console.with([&](const TrialConsole& said) {
        return judge_trial(said, ended ? *ended : ended.error().to_string(), time_own_loop());
    });
}

}  // namespace

host::GuestTrial try_guest(const std::string& kvm_device, ByteView check_guest,
                           std::chrono::seconds patience) {
    auto trial = try_once(kvm_device, check_guest, patience);
    // A busy machine may have held the loop up; one that emulates does so again.
    if (trial.failed_step == kLoopStep && trial.timed_loop)
        trial = try_once(kvm_device, check_guest, patience);
    return trial;
}

}  // namespace alcove::machine

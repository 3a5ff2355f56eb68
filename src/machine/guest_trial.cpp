// SPDX-License-Identifier: Apache-2.0
#include "machine/guest_trial.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include <fcntl.h>

#include "machine/machine.hpp"
#include "support/guarded.hpp"
#include "support/system.hpp"

namespace alcove::machine {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kMemory = 32_MiB;
constexpr int kExits = 1000;  // of the step "exits" of check.S
constexpr size_t kMaxOutput = 4096;

// What the guest said, and when it began and ended the two steps that are timed from here: a step's name is
// on the console before it starts, its result after it.
struct Console {
    std::string text;
    std::optional<Clock::time_point> step_began;
    std::optional<Clock::duration> exits;
    std::optional<Clock::duration> loop;

    void take(uint8_t byte) {
        if (text.size() >= kMaxOutput) return;
        if (step_began) {
            auto& time = text.ends_with("exits ") ? exits : loop;
            time = Clock::now() - *step_began;
            step_began.reset();
        }
        text.push_back(static_cast<char>(byte));
        if (text.ends_with("exits ") || text.ends_with("loop ")) step_began = Clock::now();
    }
};

// The line it did not finish, or the first one that says `failed`.
std::string failed_step(std::string_view text) {
    while (!text.empty()) {
        const size_t end = text.find('\n');
        const std::string_view line = text.substr(0, end);
        if (end == std::string_view::npos || line.ends_with(" failed"))
            return std::string(line.substr(0, line.find(' ')));
        text.remove_prefix(end + 1);
    }
    return "";
}

host::GuestTrial conclude(const Console& console, const std::string& trouble) {
    host::GuestTrial trial;
    trial.failed_step = failed_step(console.text);
    const bool finished = console.text.ends_with("\ndone\n");
    trial.ran = finished && trial.failed_step.empty() ? host::Answer::Yes : host::Answer::No;
    if (trial.ran == host::Answer::No)
        trial.reason = finished ? "the guest computed something wrong" : trouble;
    if (console.exits) trial.plain_exit = *console.exits / kExits;
    trial.timed_loop = console.loop;
    return trial;
}

// Why the guest did not say `done`, if it did not.
Result<std::string> run(const std::string& kvm_device, ByteView check_guest, std::chrono::seconds patience,
                        Guarded<Console>& console) {
    TRY(cpu::VcpuThread::install_kick_signal());
    const auto loop = TRY(EventLoop::create());
    MachinePlan plan;
    plan.kvm = TRY(sys::open(kvm_device, O_RDWR));
    plan.ram = TRY(sys::memfd("check-guest"));
    TRY(sys::truncate(plan.ram, kMemory));
    plan.memory_bytes = kMemory;
    plan.vcpu_count = 1;
    plan.console = [&console](uint8_t byte) { console.with([byte](Console& it) { it.take(byte); }); };
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

}  // namespace

host::GuestTrial try_guest(const std::string& kvm_device, ByteView check_guest,
                           std::chrono::seconds patience) {
    Guarded<Console> console;
    const auto ended = run(kvm_device, check_guest, patience, console);
    return console.with(
        [&](const Console& said) { return conclude(said, ended ? *ended : ended.error().to_string()); });
}

}  // namespace alcove::machine

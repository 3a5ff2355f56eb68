// SPDX-License-Identifier: Apache-2.0
#include "cpu/vcpu_thread.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <utility>

#include <pthread.h>

#include "support/bytes.hpp"

namespace alcove::cpu {

namespace {

constexpr uint64_t kInterruptFlag = 1U << 9;  // RFLAGS.IF

int kick_signal() {
    return SIGRTMIN;
}

void count(std::atomic<uint64_t>& counter) {
    // One writer: a plain add needs no locked instruction.
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

// ", instruction c4 e2 f1 f7 d8 ..." when KVM says which one it could not emulate. Kernel documentation,
// virt/kvm/api, "KVM_EXIT_INTERNAL_ERROR".
std::string instruction_of(const kvm_run& area) {
    const auto& failure = area.emulation_failure;
    const bool given = failure.suberror == KVM_INTERNAL_ERROR_EMULATION && failure.ndata >= 3 &&
                       (failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) != 0;
    if (!given) return "";
    std::string text = ", instruction";
    for (size_t i = 0; i < std::min<size_t>(failure.insn_size, sizeof failure.insn_bytes); ++i) {
        char byte[4];
        std::snprintf(byte, sizeof byte, " %02x", failure.insn_bytes[i]);
        text += byte;
    }
    return text;
}

std::string describe(const kvm_run& area, const kvm::Vcpu& vcpu) {
    char text[200];
    const auto registers = vcpu.registers();
    const unsigned long long rip = registers ? registers->rip : 0;
    if (area.exit_reason == KVM_EXIT_INTERNAL_ERROR)
        std::snprintf(text, sizeof text, "KVM internal error, suberror %u, rip 0x%llx%s",
                      area.internal.suberror, rip, instruction_of(area).c_str());
    else if (area.exit_reason == KVM_EXIT_FAIL_ENTRY)
        std::snprintf(text, sizeof text, "entry failed, hardware reason 0x%llx, rip 0x%llx",
                      static_cast<unsigned long long>(area.fail_entry.hardware_entry_failure_reason), rip);
    else
        std::snprintf(text, sizeof text, "KVM exit reason %u, rip 0x%llx", area.exit_reason, rip);
    return text;
}

}  // namespace

Result<void> VcpuThread::install_kick_signal() {
    struct sigaction action {};
    action.sa_handler = [](int) {};  // only its arrival matters: it ends KVM_RUN
    if (::sigaction(kick_signal(), &action, nullptr) < 0) return fail_errno(errno, "sigaction");
    return {};
}

VcpuThread::VcpuThread(kvm::Vcpu vcpu, uint32_t index, Buses buses, FailedHandler failed)
    : vcpu_(std::move(vcpu)), index_(index), buses_(buses), failed_(std::move(failed)) {}

VcpuThread::~VcpuThread() {
    request_stop();
    join();
}

void VcpuThread::start(std::function<Result<void>()> begin) {
    thread_ = std::thread([this, begin = std::move(begin)] {
        char name[16];
        std::snprintf(name, sizeof name, "vcpu%u", index_);
        ::pthread_setname_np(::pthread_self(), name);
        const auto begun = begin();
        if (!begun) return failed_(api::StopReason::DeviceError, begun.error().to_string());
        loop();
    });
}

void VcpuThread::request_stop() {
    stopping_ = true;
    parking_.stop();
}

// The flag in the run area ends a KVM_RUN that is about to begin, the signal one that is under way.
void VcpuThread::direct(Parking::Guest direction) {
    const bool leave = direction == Parking::Guest::Leave;
    vcpu_.request_exit(leave);
    if (leave) kick();
}

void VcpuThread::kick() {
    if (thread_.joinable()) ::pthread_kill(thread_.native_handle(), kick_signal());
}

void VcpuThread::join() {
    if (thread_.joinable()) thread_.join();
}

Result<bool> VcpuThread::halted_for_good() const {
    const auto state = TRY(vcpu_.mp_state());
    if (state == KVM_MP_STATE_UNINITIALIZED || state == KVM_MP_STATE_INIT_RECEIVED) return true;
    if (state != KVM_MP_STATE_HALTED) return false;
    const auto registers = TRY(vcpu_.registers());
    if ((registers.rflags & kInterruptFlag) != 0) return false;
    const auto events = TRY(vcpu_.events());
    return events.nmi.injected == 0 && events.nmi.pending == 0 && events.smi.pending == 0;
}

Result<std::chrono::nanoseconds> VcpuThread::cpu_time() {
    if (!thread_.joinable()) return std::chrono::nanoseconds(0);
    clockid_t clock = 0;
    timespec used{};
    const int error = ::pthread_getcpuclockid(thread_.native_handle(), &clock);
    if (error != 0) return fail_errno(error, "pthread_getcpuclockid");
    if (::clock_gettime(clock, &used) < 0) return fail_errno(errno, "clock_gettime of a vCPU's thread");
    return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

void VcpuThread::loop() {
    while (!stopping_) {
        const auto outcome = vcpu_.run();
        count(counters_.runs);
        if (!outcome) {
            failed_(api::StopReason::VcpuError, outcome.error().to_string());
            return;
        }
        // After an exit KVM may have an access to complete yet, and does so before it is interrupted.
        const bool goes_on = *outcome == kvm::RunOutcome::Interrupted ? handle_interruption() : handle_exit();
        if (!goes_on) return;
    }
}

bool VcpuThread::handle_interruption() {
    parking_.wait();
    if (!exit_handler_) return true;
    const auto done = exit_handler_->interrupted();
    if (!done) failed_(api::StopReason::VcpuError, done.error().to_string());
    return done.has_value();
}

bool VcpuThread::handle_exit() {
    if (!exit_handler_) return handle_ordinary_exit();
    const auto answer = exit_handler_->handle();
    if (!answer) {
        failed_(api::StopReason::VcpuError, answer.error().to_string());
        return false;
    }
    if (*answer == ExitHandler::Answer::NotMine) return handle_ordinary_exit();
    count(counters_.other);
    return true;
}

bool VcpuThread::handle_ordinary_exit() {
    const auto& area = vcpu_.run_area();
    switch (area.exit_reason) {
        case KVM_EXIT_IO:
            handle_io();
            return true;
        case KVM_EXIT_MMIO:
            handle_mmio();
            return true;
        case KVM_EXIT_INTR:
        case KVM_EXIT_IRQ_WINDOW_OPEN:
            count(counters_.other);
            return true;
        case KVM_EXIT_SHUTDOWN:
            count(counters_.other);
            failed_(api::StopReason::TripleFault, "triple fault");
            return false;
        default:
            count(counters_.other);
            failed_(api::StopReason::VcpuError, describe(area, vcpu_));
            return false;
    }
}

void VcpuThread::handle_io() {
    count(counters_.io);
    const auto io = vcpu_.run_area().io;
    auto data = vcpu_.io_data();
    // A string instruction repeats the access `count` times at one port.
    for (uint32_t i = 0; i < io.count; ++i) {
        const auto element = data.subspan(size_t{i} * io.size, io.size);
        const bool claimed = io.direction == KVM_EXIT_IO_OUT ? buses_.io.write(io.port, element)
                                                             : buses_.io.read(io.port, element);
        if (!claimed) count(counters_.unclaimed);
    }
}

void VcpuThread::handle_mmio() {
    count(counters_.mmio);
    auto& mmio = vcpu_.run_area().mmio;
    ALCOVE_CHECK(mmio.len <= sizeof mmio.data, "KVM gives at most 8 bytes at once");
    const bool claimed = mmio.is_write != 0
                             ? buses_.mmio.write(mmio.phys_addr, ByteView(mmio.data, mmio.len))
                             : buses_.mmio.read(mmio.phys_addr, MutableByteView(mmio.data, mmio.len));
    if (!claimed) count(counters_.unclaimed);
}

}  // namespace alcove::cpu

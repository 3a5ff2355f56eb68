// SPDX-License-Identifier: Apache-2.0
//
// The thread of one vCPU: enters the guest, gives register accesses to the buses, and says when it cannot
// go on. It runs until it is stopped or the guest ends; another thread stops or parks it, wherever it is.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "api/stop_reason.hpp"
#include "bus/address_bus.hpp"
#include "cpu/exit_handler.hpp"
#include "cpu/parking.hpp"
#include "kvm/vcpu.hpp"
#include "support/result.hpp"

namespace alcove::cpu {

// Counters of one vCPU. Written by its thread only, read by any: relaxed, they order nothing.
struct VcpuCounters {
    std::atomic<uint64_t> runs{0};  // returns of KVM_RUN
    std::atomic<uint64_t> io{0};
    std::atomic<uint64_t> mmio{0};
    std::atomic<uint64_t> other{0};
    std::atomic<uint64_t> unclaimed{0};  // register accesses that no device answered
};

class VcpuThread {
  public:
    struct Buses {
        const bus::AddressBus& io;    // ports
        const bus::AddressBus& mmio;  // guest-physical addresses
    };
    // Called on the vCPU's thread when it cannot go on.
    using FailedHandler = std::function<void(api::StopReason, std::string detail)>;

    // Blocks the kick signal's default action in this process: call once before any thread is made.
    static Result<void> install_kick_signal();

    VcpuThread(kvm::Vcpu vcpu, uint32_t index, Buses buses, FailedHandler failed);
    ~VcpuThread();  // stops and joins

    // Before start().
    void set_exit_handler(std::unique_ptr<ExitHandler> handler) { exit_handler_ = std::move(handler); }

    // `begin` comes first on the new thread; its error ends the vCPU before it ran.
    void start(std::function<Result<void>()> begin);
    void request_stop();  // any thread; returns at once
    void join();

    // Takes the vCPU out of the guest and holds it there, with no register access half done, so that memory
    // slots can be changed. `parked` is called once it is held, on its thread, or not at all when the thread
    // ends first. One request at a time, each ended by release(); any thread.
    void request_park(std::function<void()> parked) { parking_.request(std::move(parked)); }
    void release() { parking_.release(); }
    // Interrupts KVM_RUN once, or not, if the vCPU is just not in there. By the thread that starts and joins.
    void kick();

    // While the vCPU is parked, by any thread: whether no interrupt can make it go on. It has halted with its
    // interrupts off and no NMI or SMI is on its way to it, or it was never started. Only an NMI, an SMI or
    // another vCPU's INIT would move it yet.
    Result<bool> halted_for_good() const;
    // What the thread has used since it began. By the thread that starts and joins; zero before start().
    Result<std::chrono::nanoseconds> cpu_time();

    kvm::Vcpu& vcpu() { return vcpu_; }  // before start() only
    const VcpuCounters& counters() const { return counters_; }
    uint32_t index() const { return index_; }

  private:
    void loop();
    void direct(Parking::Guest direction);
    bool handle_exit();  // false: the thread ends
    bool handle_interruption();
    bool handle_ordinary_exit();
    void handle_io();
    void handle_mmio();

    kvm::Vcpu vcpu_;
    uint32_t index_;
    Buses buses_;
    FailedHandler failed_;
    VcpuCounters counters_;
    std::unique_ptr<ExitHandler> exit_handler_;  // may be null
    // Set once by request_stop(), read by the loop: sequentially consistent.
    std::atomic<bool> stopping_{false};

    Parking parking_{[this](Parking::Guest direction) { direct(direction); }};
    std::thread thread_;
};

}  // namespace alcove::cpu

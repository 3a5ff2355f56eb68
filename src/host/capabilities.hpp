// SPDX-License-Identifier: Apache-2.0
//
// What this host can do for VMs, as plain data: what `alcove host check` shows, and what decides between
// the local KVM and the embedded host. "Usable" is tried, not asked: a /dev/kvm that opens and runs tiny
// guests may still emulate every instruction and fail on an ordinary one, so the fields under `guest` are
// filled by whoever ran a guest.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "support/result.hpp"

namespace alcove::host {

enum class Answer : uint8_t {
    NotTried,
    No,
    Yes,
};

// What a small guest with paging, SSE, BMI2 and a loop did.
struct GuestTrial {
    Answer ran = Answer::NotTried;
    // Of the guest, when it did not get past one: "bmi2"; "loop" also when that takes far too long.
    std::string failed_step;
    std::string reason;  // KVM's words, or why no guest was tried
    std::optional<std::chrono::nanoseconds> timed_loop;
    std::optional<std::chrono::nanoseconds> plain_exit;
};

struct KvmCapabilities {
    Answer device_exists = Answer::NotTried;  // /dev/kvm
    Answer device_opens = Answer::NotTried;
    std::string open_error;
    std::optional<int> api_version;
    uint32_t max_vcpus = 0;
    Answer hardware_assisted = Answer::NotTried;  // the CPU has VMX or SVM
    Answer second_view = Answer::NotTried;        // address space 1 through SMM
    Answer immediate_exit = Answer::NotTried;
    Answer irqfd = Answer::NotTried;
    Answer ioeventfd = Answer::NotTried;
    GuestTrial guest;

    // Whether an ordinary guest runs here. NotTried counts as no.
    bool usable() const { return guest.ran == Answer::Yes; }
};

struct HostCapabilities {
    Answer core_scheduling = Answer::NotTried;  // prctl PR_SCHED_CORE
    Answer smt_active = Answer::NotTried;
    KvmCapabilities kvm;
};

// Asks the kernel whether it has core scheduling (CONFIG_SCHED_CORE). Kernel documentation,
// admin-guide/hw-vuln/core-scheduling.
Answer probe_core_scheduling();

// Opens /dev/kvm and asks what can be asked without making a VM. The `guest` part stays NotTried.
KvmCapabilities probe_kvm_device(const std::string& path = "/dev/kvm");

// Whether nothing is behind the device: it is not there, or no module serves it. One that this user may not
// open is not absent.
bool kvm_is_absent(const std::string& path);

// Everything above but the guest trial.
HostCapabilities probe_host_capabilities();

}  // namespace alcove::host

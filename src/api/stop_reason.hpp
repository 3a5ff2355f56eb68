// SPDX-License-Identifier: Apache-2.0
//
// Why a VM ended. The VMM tells the first group, the launcher finds out the second. Numbers and names are
// contract: both are stored and printed.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace alcove::api {

enum class StopReason : uint16_t {
    I8042Reset = 1,   // the guest pulsed the reset line (Linux with reboot=k)
    AcpiReset = 2,    // the guest wrote the ACPI reset register
    PowerOff = 3,     // the guest entered ACPI S5
    TripleFault = 4,  // or KVM_EXIT_SHUTDOWN for another reason
    GuestPanic = 5,   // the guest said that it panicked
    VcpuError = 6,    // KVM could not go on: internal error, failed entry, emulation failure
    HostRequest = 7,  // the operator stopped it, and the VMM did so in order
    DeviceError = 8,  // the VMM could not go on for another reason, which its text names
    Halted = 9,       // an enclave's guest halted every vCPU with interrupts off: nothing can wake it

    Killed = 32,         // the operator's stop had to be forced
    VmmCrashed = 33,     // the VMM ended by a signal, or without a word
    LaunchFailed = 34,   // it never ran: image, memory or VMM were refused
    RestartFailed = 35,  // of a primary VM: it was reset, and its next life was refused
};

// "i8042_reset"; "unknown" for a number without a name.
std::string_view stop_reason_name(StopReason reason);
// The checked way from a number of a message; only reasons that a VMM may tell.
std::optional<StopReason> stop_reason_from_vmm(uint16_t value);
// The guest asked to begin anew, which a primary VM then does.
constexpr bool is_reset(StopReason reason) {
    return reason == StopReason::I8042Reset || reason == StopReason::AcpiReset;
}
// The checked way from any stored number.
std::optional<StopReason> stop_reason_from(uint16_t value);

}  // namespace alcove::api

// SPDX-License-Identifier: Apache-2.0
#include "api/stop_reason.hpp"

#include <algorithm>
#include <iterator>

namespace alcove::api {

namespace {

struct ReasonEntry {
    StopReason reason;
    std::string_view name;
    bool vmm_may_tell;
};

constexpr ReasonEntry kReasons[] = {
    {StopReason::I8042Reset, "i8042_reset", true},
    {StopReason::AcpiReset, "acpi_reset", true},
    {StopReason::PowerOff, "power_off", true},
    {StopReason::TripleFault, "triple_fault", true},
    {StopReason::GuestPanic, "guest_panic", true},
    {StopReason::VcpuError, "vcpu_error", true},
    {StopReason::HostRequest, "host_request", true},
    {StopReason::DeviceError, "device_error", true},
    {StopReason::Halted, "halted", true},
    {StopReason::Killed, "killed", false},
    {StopReason::VmmCrashed, "vmm_crashed", false},
    {StopReason::LaunchFailed, "launch_failed", false},
    {StopReason::RestartFailed, "restart_failed", false},
};

const ReasonEntry* find(uint16_t value) {
    const auto* found = std::ranges::find(
        kReasons, value, [](const ReasonEntry& entry) { return static_cast<uint16_t>(entry.reason); });
    return found == std::end(kReasons) ? nullptr : found;
}

}  // namespace

std::string_view stop_reason_name(StopReason reason) {
    const auto* entry = find(static_cast<uint16_t>(reason));
    return entry == nullptr ? "unknown" : entry->name;
}

std::optional<StopReason> stop_reason_from_vmm(uint16_t value) {
    const auto* entry = find(value);
    if (entry == nullptr || !entry->vmm_may_tell) return std::nullopt;
    return entry->reason;
}

std::optional<StopReason> stop_reason_from(uint16_t value) {
    const auto* entry = find(value);
    if (entry == nullptr) return std::nullopt;
    return entry->reason;
}

}  // namespace alcove::api

// SPDX-License-Identifier: Apache-2.0
#include "chipset/platform_ports.hpp"

#include <algorithm>
#include <utility>

#include "support/bits.hpp"

namespace alcove::chipset {

namespace {
// ACPI 6.5, table 4.19: sleep control register.
using SleepType = Field<uint8_t, 4, 2>;
using SleepEnable = Field<uint8_t, 5, 5>;

constexpr uint8_t kPanicked = 0x01;
}  // namespace

AcpiRegisters::AcpiRegisters(uint8_t sleep_type_s5, uint8_t reset_value, EndHandler end)
    : sleep_type_s5_(sleep_type_s5), reset_value_(reset_value), end_(std::move(end)) {}

void AcpiRegisters::read(uint64_t /*offset*/, MutableByteView data) {
    std::ranges::fill(data, uint8_t{0});  // never asleep, never woken
}

void AcpiRegisters::write(uint64_t offset, ByteView data) {
    for (size_t i = 0; i < data.size(); ++i) {
        const uint64_t at = offset + i;
        if (at == kSleepControl && SleepEnable::get(data[i]) != 0 &&
            SleepType::get(data[i]) == sleep_type_s5_)
            end_(api::StopReason::PowerOff);
        if (at == kReset && data[i] == reset_value_) end_(api::StopReason::AcpiReset);
    }
}

PanicPort::PanicPort(EndHandler end) : end_(std::move(end)) {}

void PanicPort::read(uint64_t /*offset*/, MutableByteView data) {
    std::ranges::fill(data, uint8_t{0xff});
    data[0] = kPanicked;
}

void PanicPort::write(uint64_t /*offset*/, ByteView data) {
    if ((data[0] & kPanicked) != 0) end_(api::StopReason::GuestPanic);
}

}  // namespace alcove::chipset

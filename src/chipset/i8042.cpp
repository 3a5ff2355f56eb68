// SPDX-License-Identifier: Apache-2.0
#include "chipset/i8042.hpp"

#include <algorithm>
#include <utility>

namespace alcove::chipset {

namespace {

enum Command : uint8_t {
    ReadControl = 0x20,
    WriteControl = 0x60,
    TestAuxiliary = 0xa9,
    SelfTest = 0xaa,
    TestKeyboard = 0xab,
    PulseReset = 0xfe,
};
constexpr uint8_t kSelfTestPassed = 0x55;
constexpr uint8_t kPortFaulty = 0x01;  // clock line stuck low: nothing is plugged in
constexpr uint8_t kStatusOutputFull = 0x01;
constexpr uint8_t kStatusSystemFlag = 0x04;

}  // namespace

I8042::I8042(EndHandler end) : end_(std::move(end)) {}

void I8042::reset() {
    state_.with([](State& state) { state = {}; });
}

void I8042::start_command(uint8_t command) {
    if (command == PulseReset) {
        end_(api::StopReason::I8042Reset);
        return;
    }
    state_.with([&](State& state) {
        const auto answer = [&](uint8_t value) {
            state.output = value;
            state.output_full = true;
        };
        state.command = 0;
        switch (command) {
            case ReadControl:
                answer(state.control);
                break;
            case SelfTest:
                answer(kSelfTestPassed);
                break;
            case TestKeyboard:
                answer(0);
                break;
            case TestAuxiliary:
                answer(kPortFaulty);
                break;
            case WriteControl:
                state.command = command;
                break;
            default:
                break;  // enabling and disabling of devices that are not there
        }
    });
}

void I8042::DataPort::read(uint64_t /*offset*/, MutableByteView data) {
    std::ranges::fill(data, uint8_t{0xff});
    data[0] = owner_.state_.with([](State& state) {
        state.output_full = false;
        return std::exchange(state.output, uint8_t{0});
    });
}

void I8042::DataPort::write(uint64_t /*offset*/, ByteView data) {
    owner_.state_.with([&](State& state) {
        if (std::exchange(state.command, uint8_t{0}) == WriteControl) state.control = data[0];
    });
}

void I8042::CommandPort::read(uint64_t /*offset*/, MutableByteView data) {
    std::ranges::fill(data, uint8_t{0xff});
    data[0] = owner_.state_.with([](const State& state) {
        return static_cast<uint8_t>(kStatusSystemFlag | (state.output_full ? kStatusOutputFull : 0));
    });
}

void I8042::CommandPort::write(uint64_t /*offset*/, ByteView data) {
    owner_.start_command(data[0]);
}

}  // namespace alcove::chipset

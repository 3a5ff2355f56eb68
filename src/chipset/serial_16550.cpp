// SPDX-License-Identifier: Apache-2.0
#include "chipset/serial_16550.hpp"

#include <utility>

namespace alcove::chipset {

namespace {

// Register offsets; with the divisor latch open (LCR.DLAB), 0 and 1 are DLL and DLM.
constexpr uint64_t kThr = 0;
constexpr uint64_t kIer = 1;
constexpr uint64_t kIirFcr = 2;
constexpr uint64_t kLcr = 3;
constexpr uint64_t kMcr = 4;
constexpr uint64_t kLsr = 5;
constexpr uint64_t kMsr = 6;
constexpr uint64_t kScr = 7;

constexpr uint8_t kIerThrEmpty = 0x02;
constexpr uint8_t kIirNone = 0x01;
constexpr uint8_t kIirThrEmpty = 0x02;
constexpr uint8_t kIirFifos = 0xc0;
constexpr uint8_t kFcrEnable = 0x01;
constexpr uint8_t kLcrDlab = 0x80;
constexpr uint8_t kMcrLoop = 0x10;
constexpr uint8_t kLsrThrAndTransmitterEmpty = 0x60;
constexpr uint8_t kMsrCtsDsrDcd = 0xb0;

}  // namespace

Serial16550::Serial16550(Sink sink, bus::InterruptLine& interrupt)
    : sink_(std::move(sink)), interrupt_(interrupt) {}

void Serial16550::reset() {
    registers_.with([](Registers& registers) { registers = {}; });
}

uint8_t Serial16550::read_register(Registers& registers, uint64_t offset) const {
    const bool divisor = (registers.LCR & kLcrDlab) != 0;
    switch (offset) {
        case kThr:
            return divisor ? registers.DLL : uint8_t{0};  // RBR: nothing is ever received
        case kIer:
            return divisor ? registers.DLM : registers.IER;
        case kIirFcr: {
            const uint8_t fifos = (registers.FCR & kFcrEnable) != 0 ? kIirFifos : uint8_t{0};
            const bool pending = registers.thr_empty_pending && (registers.IER & kIerThrEmpty) != 0;
            if (pending) registers.thr_empty_pending = false;
            return static_cast<uint8_t>(fifos | (pending ? kIirThrEmpty : kIirNone));
        }
        case kLcr:
            return registers.LCR;
        case kMcr:
            return registers.MCR;
        case kLsr:
            return kLsrThrAndTransmitterEmpty;
        case kMsr:
            // In loop-back the modem outputs come back as inputs (DTR RTS OUT1 OUT2 -> DSR CTS RI DCD):
            // drivers find the port by it.
            if ((registers.MCR & kMcrLoop) != 0) {
                const unsigned mcr = registers.MCR;
                return static_cast<uint8_t>((mcr & 0x0c) << 4 | (mcr & 0x01) << 5 | (mcr & 0x02) << 3);
            }
            return kMsrCtsDsrDcd;
        case kScr:
            return registers.SCR;
        default:
            return 0xff;
    }
}

bool Serial16550::write_register(Registers& registers, uint64_t offset, uint8_t value) const {
    const bool divisor = (registers.LCR & kLcrDlab) != 0;
    switch (offset) {
        case kThr:
            if (divisor) {
                registers.DLL = value;
                return false;
            }
            if ((registers.MCR & kMcrLoop) == 0 && sink_) sink_(value);
            // Sent at once: the holding register is empty again.
            registers.thr_empty_pending = true;
            return (registers.IER & kIerThrEmpty) != 0;
        case kIer: {
            if (divisor) {
                registers.DLM = value;
                return false;
            }
            const bool rises = (value & kIerThrEmpty) != 0 && (registers.IER & kIerThrEmpty) == 0;
            registers.IER = value & 0x0f;
            if (rises) registers.thr_empty_pending = true;
            return rises;
        }
        case kIirFcr:
            registers.FCR = value;
            return false;
        case kLcr:
            registers.LCR = value;
            return false;
        case kMcr:
            registers.MCR = value & 0x1f;
            return false;
        case kScr:
            registers.SCR = value;
            return false;
        default:
            return false;  // LSR and MSR are for reading
    }
}

// An access wider than a byte touches the registers behind the first as well, as on an 8-bit bus.
void Serial16550::read(uint64_t offset, MutableByteView data) {
    registers_.with([&](Registers& registers) {
        for (size_t i = 0; i < data.size(); ++i)
            data[i] = read_register(registers, offset + i);
    });
}

void Serial16550::write(uint64_t offset, ByteView data) {
    const bool rises = registers_.with([&](Registers& registers) {
        bool any = false;
        for (size_t i = 0; i < data.size(); ++i)
            any = write_register(registers, offset + i, data[i]) || any;
        return any;
    });
    if (rises) interrupt_.trigger();
}

}  // namespace alcove::chipset

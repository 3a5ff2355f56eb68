// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "chipset/i8042.hpp"
#include "chipset/platform_ports.hpp"
#include "chipset/serial_16550.hpp"

namespace alcove::chipset {
namespace {

using api::StopReason;

class CountingLine : public bus::InterruptLine {
  public:
    void trigger() override { ++count; }
    int count = 0;
};

uint8_t read(bus::BusDevice& device, uint64_t offset) {
    uint8_t value = 0;
    device.read(offset, {&value, 1});
    return value;
}

void write(bus::BusDevice& device, uint64_t offset, uint8_t value) {
    device.write(offset, {&value, 1});
}

struct SerialTest : testing::Test {
    std::string sent;
    CountingLine line;
    Serial16550 serial{[this](uint8_t byte) { sent.push_back(static_cast<char>(byte)); }, line};
};

TEST_F(SerialTest, BytesGoToTheSinkInOrder) {
    for (const char c : std::string("hi\n"))
        write(serial, 0, static_cast<uint8_t>(c));

    EXPECT_EQ(sent, "hi\n");
    EXPECT_EQ(read(serial, 5), 0x60);
    EXPECT_EQ(line.count, 0);
}

TEST_F(SerialTest, EmptyHoldingRegisterInterruptsOnceUntilIirIsRead) {
    write(serial, 1, 0x02);
    EXPECT_EQ(line.count, 1);
    EXPECT_EQ(read(serial, 2) & 0x0f, 0x02);
    EXPECT_EQ(read(serial, 2) & 0x0f, 0x01);

    write(serial, 0, 'x');

    EXPECT_EQ(line.count, 2);
    EXPECT_EQ(read(serial, 2) & 0x0f, 0x02);
}

TEST_F(SerialTest, DriversFindA16550AByFifoAndLoopBack) {
    write(serial, 2, 0x01);
    EXPECT_EQ(read(serial, 2) & 0xc0, 0xc0);
    write(serial, 4, 0x1a);  // loop, OUT2, RTS

    EXPECT_EQ(read(serial, 6) & 0xf0, 0x90);
    write(serial, 0, 'x');
    EXPECT_EQ(sent, "");
}

TEST_F(SerialTest, TheDivisorLatchHidesDataAndIer) {
    write(serial, 3, 0x80);
    write(serial, 0, 0x01);
    write(serial, 1, 0x02);
    EXPECT_EQ(read(serial, 0), 0x01);
    write(serial, 3, 0x03);

    EXPECT_EQ(sent, "");
    EXPECT_EQ(read(serial, 1), 0x00);
}

TEST_F(SerialTest, AccessesOfEveryWidthStayInsideTheDevice) {
    Bytes wide(8, 0x41);
    serial.write(0, wide);
    serial.read(0, wide);
    EXPECT_EQ(sent, "A");
}

struct EndTest : testing::Test {
    std::vector<StopReason> ends;
    EndHandler handler = [this](StopReason reason) { ends.push_back(reason); };
};

TEST_F(EndTest, TheKeyboardControllerPulsesReset) {
    I8042 controller(handler);
    write(controller.command_port(), 0, 0xfe);

    EXPECT_EQ(ends, std::vector{StopReason::I8042Reset});
}

TEST_F(EndTest, TheKeyboardControllerPassesItsSelfTestAndIsEmpty) {
    I8042 controller(handler);
    EXPECT_EQ(read(controller.command_port(), 0), 0x04);

    write(controller.command_port(), 0, 0xaa);

    EXPECT_EQ(read(controller.command_port(), 0), 0x05);
    EXPECT_EQ(read(controller.data_port(), 0), 0x55);
    EXPECT_EQ(read(controller.command_port(), 0), 0x04);
    EXPECT_TRUE(ends.empty());
}

TEST_F(EndTest, TheControlByteIsReadBackAsWritten) {
    I8042 controller(handler);
    write(controller.command_port(), 0, 0x60);
    write(controller.data_port(), 0, 0x31);
    write(controller.command_port(), 0, 0x20);

    EXPECT_EQ(read(controller.data_port(), 0), 0x31);
}

TEST_F(EndTest, OnlyS5WithItsEnableBitPowersOff) {
    AcpiRegisters registers(5, 1, handler);
    write(registers, 0, 5 << 2);
    write(registers, 0, 1 << 5 | 4 << 2);
    EXPECT_TRUE(ends.empty());

    write(registers, 0, 1 << 5 | 5 << 2);

    EXPECT_EQ(ends, std::vector{StopReason::PowerOff});
}

TEST_F(EndTest, OnlyTheResetValueResets) {
    AcpiRegisters registers(5, 1, handler);
    write(registers, 4, 2);
    EXPECT_TRUE(ends.empty());

    write(registers, 4, 1);

    EXPECT_EQ(ends, std::vector{StopReason::AcpiReset});
}

TEST_F(EndTest, ThePanicPortTellsPanicsOnly) {
    PanicPort port(handler);
    EXPECT_EQ(read(port, 0), 1);
    write(port, 0, 2);
    EXPECT_TRUE(ends.empty());

    write(port, 0, 1);

    EXPECT_EQ(ends, std::vector{StopReason::GuestPanic});
}

}  // namespace
}  // namespace alcove::chipset

// SPDX-License-Identifier: Apache-2.0
#include "pci/pci_bus.hpp"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pci/function_fake.hpp"

namespace alcove::pci {
namespace {

using testing::ElementsAre;

constexpr uint16_t kMemory = command::MEMORY_SPACE;

class PciBusTest : public testing::Test {
  protected:
    PciBusTest() { bus_->add(2, function_); }

    FakeInterrupts interrupts_;
    FakeDoorbells doorbells_;
    FakeFunction function_{interrupts_};
    std::optional<PciBus> bus_{std::in_place, kFakeWindows, &doorbells_};
    FakeOs os_{*bus_, 2};
};

TEST_F(PciBusTest, TheHostBridgeIsAtSlot0) {
    FakeOs bridge(*bus_, 0);

    EXPECT_EQ(bridge.read_config(header::VendorID, 4), 0x00081b36U);
    EXPECT_EQ(bridge.read_config(header::RevisionID, 4), 0x06000000U);
    EXPECT_EQ(bridge.read_config(0x100, 4), 0xffffffffU) << "Linux asks whether there is extended space";
}

TEST_F(PciBusTest, AbsentFunctionsReadAsOnesAndTakeNothing) {
    FakeOs absent(*bus_, 3);
    absent.write_config(header::Command, 7, 2);
    EXPECT_EQ(absent.read_config(header::VendorID, 4), 0xffffffffU);
    EXPECT_EQ(absent.read_config_by_ports(header::VendorID, 2), 0xffffU);

    Bytes data(4, 0);
    bus_->ecam().read(ecam::Device::put(ecam::Function::put(0, 1), 2), data);
    EXPECT_EQ(data, Bytes(4, 0xff)) << "function 1 of a slot with one function";
}

TEST_F(PciBusTest, BothWaysOfAccessShowTheSame) {
    EXPECT_EQ(os_.read_config(header::VendorID, 4), 0xe4c11d0fU);
    EXPECT_EQ(os_.read_config_by_ports(header::VendorID, 4), 0xe4c11d0fU);
    EXPECT_EQ(os_.read_config_by_ports(header::DeviceID, 2), 0xe4c1U);
    EXPECT_EQ(os_.read_config_by_ports(header::RevisionID, 1), 1U);

    os_.write_config_by_ports(header::InterruptLine, 0x55, 1);
    EXPECT_EQ(os_.read_config(header::InterruptLine, 1), 0x55U);
    os_.write_config(header::Command, 0x0407, 2);
    EXPECT_EQ(os_.read_config_by_ports(header::Command, 2), 0x0407U);
}

TEST_F(PciBusTest, ConfigAddressIsThereAsLinuxProbesIt) {
    auto& ports = bus_->ports();
    Bytes word(4, 0);
    ports.write(0, Bytes{0, 0, 0, 0x80});
    ports.write(3, Bytes{1});
    ports.read(0, word);
    EXPECT_EQ(word, (Bytes{0, 0, 0, 0x80})) << "a byte is not for CONFIG_ADDRESS";
    ports.read(4, word);
    EXPECT_EQ(word, (Bytes{0x36, 0x1b, 0x08, 0}));

    Bytes byte(1, 0);
    ports.read(1, byte);
    EXPECT_EQ(byte, Bytes{0xff});
    ports.write(0, Bytes{0, 0, 0, 0});
    ports.read(4, word);
    EXPECT_EQ(word, Bytes(4, 0xff)) << "without the enable bit there is no configuration cycle";
    ports.write(0, Bytes{0, 0, 0, 0x81});
    ports.read(4, word);
    EXPECT_EQ(word, Bytes(4, 0xff)) << "no extended registers this way";
    ports.write(0, Bytes{0, 0, 1, 0x80});
    ports.read(4, word);
    EXPECT_EQ(word, Bytes(4, 0xff)) << "there is no bus 1";
}

TEST_F(PciBusTest, BarsHavePlacesFromTheStartAndAreSized) {
    EXPECT_EQ(os_.size_bar(0), 0x1000U);
    EXPECT_EQ(os_.size_bar(1), 0x1000U);
    EXPECT_EQ(os_.size_bar(2), 0x2000U);
    EXPECT_EQ(os_.size_bar(4), 0U);
    EXPECT_EQ(os_.bar_address(0), 0xc000'0000U);
    EXPECT_EQ(os_.bar_address(1), 0xc000'1000U);
    EXPECT_EQ(os_.bar_address(2), 0x70'0000'0000U);
}

TEST_F(PciBusTest, TwoFunctionsGetDifferentPlaces) {
    FakeFunction first(interrupts_);
    FakeFunction other(interrupts_);
    PciBus bus(kFakeWindows, nullptr);
    bus.add(1, first);
    bus.add(31, other);

    EXPECT_EQ(FakeOs(bus, 31).bar_address(0), 0xc000'2000U);
    EXPECT_EQ(FakeOs(bus, 31).bar_address(2), 0x70'0000'2000U);
}

TEST_F(PciBusTest, RegistersAnswerWhileMemorySpaceIsEnabled) {
    const uint64_t at = os_.bar_address(0);
    EXPECT_EQ(os_.read_memory(at + 8, 4), 0xffffffffU);
    os_.set_command(kMemory);
    EXPECT_EQ(os_.read_memory(at + 8, 4), 0x0b0a0908U);
    os_.write_memory(at + 8, 0x11223344, 4);
    os_.set_command(0);
    os_.write_memory(at + 8, 1, 4);

    EXPECT_THAT(function_.writes, ElementsAre(FakeFunction::Access{0, 8, {0x44, 0x33, 0x22, 0x11}}));
}

TEST_F(PciBusTest, AMovedBarAnswersAtItsNewPlaceOnly) {
    const uint64_t old = os_.bar_address(0);
    os_.set_command(kMemory);

    os_.move_bar(0, 0xc040'0000);

    EXPECT_EQ(os_.read_memory(old, 4), 0xffffffffU);
    EXPECT_EQ(os_.read_memory(0xc040'0000, 4), 0x03020100U);
    os_.move_bar(0, 0x1000);
    EXPECT_EQ(os_.read_memory(0xc040'0000, 4), 0xffffffffU) << "outside of the windows nothing answers";
    os_.move_bar(0, old);
    EXPECT_EQ(os_.read_memory(old, 4), 0x03020100U);
}

TEST_F(PciBusTest, A64BitBarMayMoveBelow4GiB) {
    os_.set_command(kMemory);
    os_.move_bar(2, 0xc080'0000);

    EXPECT_EQ(os_.read_memory(0xc080'0001, 1), 1U);
}

TEST_F(PciBusTest, SizingWithDecodingOnDisturbsNobody) {
    os_.set_command(kMemory);
    os_.write_config(header::BaseAddress, 0xffffffff, 4);
    EXPECT_EQ(os_.read_config(header::BaseAddress, 4), 0xfffff000U);
    os_.write_config(header::BaseAddress, 0xc000'0000, 4);

    EXPECT_EQ(os_.read_memory(0xc000'0000, 4), 0x03020100U);
}

TEST_F(PciBusTest, DoorbellsFollowTheirBar) {
    EXPECT_TRUE(doorbells_.attached().empty());
    os_.set_command(kMemory);
    EXPECT_TRUE(doorbells_.ring(0x70'0000'0010));
    EXPECT_EQ(function_.bell.drain(), 1U);

    os_.move_bar(2, 0xc080'0000);
    EXPECT_EQ(doorbells_.attached().size(), 1U);
    EXPECT_TRUE(doorbells_.ring(0xc080'0010));

    os_.set_command(0);
    EXPECT_TRUE(doorbells_.attached().empty());
}

TEST_F(PciBusTest, ADoorbellThatIsRefusedIsAnOrdinaryRegister) {
    FakeFunction other(interrupts_);
    PciBus bus(kFakeWindows, &doorbells_);
    bus.add(1, other);
    os_.set_command(kMemory);
    FakeOs os(bus, 1);
    os.set_command(kMemory);  // its bell would be at the same address

    EXPECT_EQ(doorbells_.attached().size(), 1U);
    os.write_memory(os.bar_address(2) + 0x10, 5, 2);
    EXPECT_EQ(other.bell.drain(), 1U);
    os.set_command(0);
    EXPECT_EQ(doorbells_.attached().size(), 1U) << "the other's stays";
}

TEST_F(PciBusTest, MsixWorksThroughItsCapability) {
    os_.enable_msix(0x30);
    function_.trigger(1);
    EXPECT_THAT(interrupts_.take_delivered(), ElementsAre(bus::Message{0xfee0'0000, 0x31}));

    os_.set_msix_control(msix::ENABLE | msix::FUNCTION_MASK);
    function_.trigger(0);
    EXPECT_TRUE(os_.is_pending(0));
    EXPECT_FALSE(os_.is_pending(1));
    os_.set_msix_control(msix::ENABLE);
    EXPECT_THAT(interrupts_.take_delivered(), ElementsAre(bus::Message{0xfee0'0000, 0x30}));

    EXPECT_TRUE(function_.writes.empty()) << "the device sees nothing of its table";
    os_.write_memory(os_.bar_address(1) + 0x40, 1, 4);
    EXPECT_EQ(function_.writes.size(), 1U) << "what is not table is the device's";
}

TEST_F(PciBusTest, BusMasteringOffHoldsMessages) {
    os_.enable_msix();
    os_.set_command(kMemory);
    function_.trigger(0);
    EXPECT_TRUE(os_.is_pending(0));

    os_.set_command(kMemory | command::BUS_MASTER);
    EXPECT_EQ(interrupts_.take_delivered().size(), 1U);
}

TEST_F(PciBusTest, CapabilitiesAreFound) {
    EXPECT_NE(os_.find_capability(capability_id::MsiX), 0);
    const uint8_t vendor = os_.find_capability(capability_id::VendorSpecific);
    EXPECT_EQ(os_.read_config(vendor + 3U, 1), 0x77U);
    EXPECT_EQ(os_.find_capability(0x10), 0) << "no PCI Express capability";
}

TEST_F(PciBusTest, ResetBringsBackTheFirstState) {
    os_.enable_msix();
    os_.move_bar(0, 0xc040'0000);
    os_.write_config_by_ports(header::InterruptLine, 9, 1);

    bus_->reset();

    EXPECT_EQ(function_.resets, 1);
    EXPECT_EQ(os_.read_config(header::Command, 2), 0U);
    EXPECT_EQ(os_.bar_address(0), 0xc000'0000U);
    EXPECT_EQ(os_.read_memory(0xc000'0000, 4), 0xffffffffU);
    EXPECT_TRUE(doorbells_.attached().empty());
    Bytes word(4, 1);
    bus_->ports().read(0, word);
    EXPECT_EQ(word, Bytes(4, 0)) << "CONFIG_ADDRESS";
    os_.enable_msix();
    function_.trigger(0);
    EXPECT_EQ(interrupts_.take_delivered().size(), 1U);
}

TEST_F(PciBusTest, TheEndOfTheBusGivesDoorbellsBack) {
    os_.set_command(kMemory);
    ASSERT_EQ(doorbells_.attached().size(), 1U);
    bus_.reset();

    EXPECT_TRUE(doorbells_.attached().empty());
}

TEST_F(PciBusTest, AccessesGoOnWhileAnotherVcpuMovesBars) {
    os_.set_command(kMemory);
    std::atomic<bool> done = false;
    std::atomic<int> wrong = 0;
    std::thread reader([&] {
        FakeOs other(*bus_, 2);
        while (!done) {
            const uint64_t value = other.read_memory(0xc000'0000, 4);
            if (value != 0x03020100U && value != 0xffffffffU) ++wrong;
        }
    });
    for (int i = 0; i < 2000; ++i)
        os_.move_bar(0, i % 2 == 0 ? 0xc040'0000 : 0xc000'0000);
    done = true;
    reader.join();

    EXPECT_EQ(wrong, 0);
}

TEST(PciBusDeathTest, MistakesInThePlanAreFound) {
    FakeInterrupts interrupts;
    FakeFunction function(interrupts);
    PciBus bus(kFakeWindows, nullptr);
    bus.add(2, function);

    EXPECT_DEATH(bus.add(2, function), "own slot");
    EXPECT_DEATH(bus.add(0, function), "own slot");
}

}  // namespace
}  // namespace alcove::pci

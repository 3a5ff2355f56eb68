// SPDX-License-Identifier: Apache-2.0
#include "ne/pci_function.hpp"

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ne/backend_fake.hpp"
#include "ne/driver_fake.hpp"
#include "pci/enumerator_fake.hpp"

namespace alcove::ne {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint32_t kFirstData = 0x40;
constexpr bus::Message kReply{.address = 0xfee0'0000, .data = kFirstData};
constexpr bus::Message kEvent{.address = 0xfee0'0000, .data = kFirstData + 1};

// BAR 3 as the driver maps it, wherever the operating system has put it.
class MappedBar : public bus::BusDevice {
  public:
    explicit MappedBar(pci::PciBus& bus, uint64_t address) : bus_(bus), address_(address) {}
    void read(uint64_t offset, MutableByteView data) override { window().read(at(offset), data); }
    void write(uint64_t offset, ByteView data) override { window().write(at(offset), data); }

  private:
    pci::BarWindow& window() { return bus_.mmio32(); }
    uint64_t at(uint64_t offset) { return address_ + offset - window().range().base.value(); }

    pci::PciBus& bus_;
    uint64_t address_;
};

class NePciFunctionTest : public testing::Test {
  protected:
    NePciFunctionTest() { bus_->add(kPciSlot, *function_); }

    void run() {
        while (loop_->run_once(std::chrono::milliseconds(0)).value() > 0) {
        }
    }
    // As the driver: memory and bus master on, vectors asked for, device off and on again.
    FakeDriver probe() {
        os_.enable_msix(kFirstData);
        bar_.emplace(*bus_, os_.bar_address(pci_id::BAR));
        FakeDriver driver(*bar_);
        driver.disable();
        EXPECT_TRUE(driver.is_off());
        EXPECT_TRUE(driver.enable());
        return driver;
    }

    std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
    FakeBackend backend_;
    pci::FakeInterrupts interrupts_;
    std::unique_ptr<PciFunction> function_ =
        PciFunction::create({.loop = *loop_, .backend = backend_, .interrupts = interrupts_}).value();
    std::optional<pci::PciBus> bus_{std::in_place, pci::kFakeWindows, nullptr};
    pci::FakeOs os_{*bus_, kPciSlot};
    std::optional<MappedBar> bar_;
};

TEST_F(NePciFunctionTest, IsWhatTheDriverLooksFor) {
    EXPECT_EQ(os_.read_config(pci::header::VendorID, 4), 0xe4c1'1d0fU);
    EXPECT_EQ(os_.read_config(pci::header::RevisionID, 4), 0x0780'0001U);
    EXPECT_EQ(function_->name(), "ne");
}

TEST_F(NePciFunctionTest, RegistersAreA32BitBar3AndBar2IsFree) {
    EXPECT_EQ(os_.size_bar(pci_id::BAR), 4_KiB);
    EXPECT_EQ(os_.read_config(pci::header::BaseAddress + 4 * pci_id::BAR, 4) & pci::base_address::kFlagBits,
              0U);
    for (const uint8_t absent : std::array<uint8_t, 4>{0, 1, 2, 5})
        EXPECT_EQ(os_.size_bar(absent), 0U) << int{absent};
}

TEST_F(NePciFunctionTest, HasTwoVectors) {
    const uint8_t capability = os_.find_capability(pci::capability_id::MsiX);
    ASSERT_NE(capability, 0);

    EXPECT_EQ(os_.read_config(capability + pci::msix::MessageControl, 2) & 0x7ffU, vector::kCount - 1U);
    EXPECT_EQ(os_.read_config(capability + 4U, 4) & 7U, PciFunction::kMsixBar);
}

TEST_F(NePciFunctionTest, ACommandsReplyIsVector0) {
    auto driver = probe();

    driver.command(SlotAlloc{});
    EXPECT_THAT(interrupts_.take_delivered(), IsEmpty());
    run();

    EXPECT_THAT(interrupts_.take_delivered(), ElementsAre(kReply));
    EXPECT_EQ(driver.rc(), 0);
    EXPECT_NE(driver.reply().slot_uid, 0U);
}

TEST_F(NePciFunctionTest, AnEventIsVector1) {
    auto driver = probe();
    driver.command(SlotCount{});
    run();
    interrupts_.take_delivered();

    function_->device().slot_changed();

    EXPECT_THAT(interrupts_.take_delivered(), ElementsAre(kEvent));
}

TEST_F(NePciFunctionTest, AReplyWaitsBehindAMask) {
    auto driver = probe();
    os_.write_msix_entry(vector::REPLY, pci::msix::VectorControl, pci::msix::MASKED);

    driver.command(SlotCount{});
    run();

    EXPECT_THAT(interrupts_.take_delivered(), IsEmpty());
    EXPECT_TRUE(os_.is_pending(vector::REPLY));
    os_.write_msix_entry(vector::REPLY, pci::msix::VectorControl, 0);
    EXPECT_THAT(interrupts_.take_delivered(), ElementsAre(kReply));
}

// The driver masks each vector while it moves it from CPU to CPU.
TEST_F(NePciFunctionTest, WhatWaitsBehindAMaskDoesNotOutliveItsPeriod) {
    auto driver = probe();
    driver.command(SlotCount{});
    run();
    interrupts_.take_delivered();
    for (const uint16_t one : {vector::REPLY, vector::EVENT})
        os_.write_msix_entry(one, pci::msix::VectorControl, pci::msix::MASKED);
    driver.command(SlotCount{});
    run();
    function_->device().slot_changed();
    ASSERT_TRUE(os_.is_pending(vector::REPLY));
    ASSERT_TRUE(os_.is_pending(vector::EVENT));

    driver.disable();
    EXPECT_FALSE(os_.is_pending(vector::REPLY));
    EXPECT_FALSE(os_.is_pending(vector::EVENT));
    run();
    ASSERT_TRUE(driver.enable());
    for (const uint16_t one : {vector::REPLY, vector::EVENT})
        os_.write_msix_entry(one, pci::msix::VectorControl, 0);
    run();

    EXPECT_THAT(interrupts_.take_delivered(), IsEmpty());
}

TEST_F(NePciFunctionTest, RegistersFollowTheirBar) {
    probe();
    os_.move_bar(pci_id::BAR, 0xc080'0000);

    FakeDriver old(*bar_);
    MappedBar moved(*bus_, 0xc080'0000);

    EXPECT_EQ(old.get<uint8_t>(reg::ENABLE), 0xff);
    EXPECT_EQ(FakeDriver(moved).get<uint8_t>(reg::ENABLE), ENABLE_ON);
}

TEST_F(NePciFunctionTest, WhatIsNoTableInItsBarIsNothing) {
    probe();
    const uint64_t behind = os_.bar_address(PciFunction::kMsixBar) + 0x100;

    os_.write_memory(behind, 1, 4);

    EXPECT_EQ(os_.read_memory(behind, 4), 0xffff'ffffU);
    EXPECT_EQ(backend_.executed(), 0U);
}

TEST_F(NePciFunctionTest, AResetReleasesWhatWasCarvedAndStartsOver) {
    auto driver = probe();
    driver.command(SlotAlloc{});
    run();
    ASSERT_EQ(backend_.table().slots().size(), 1U);
    interrupts_.take_delivered();

    bus_->reset();
    run();

    EXPECT_TRUE(backend_.table().slots().empty());
    EXPECT_EQ(os_.read_config(pci::header::Command, 2), 0U);
    auto again = probe();
    again.command(SlotCount{});
    run();
    EXPECT_THAT(interrupts_.take_delivered(), ElementsAre(kReply));
    EXPECT_EQ(again.reply().slot_count, 0U);
}

TEST_F(NePciFunctionTest, ItsLinesAreGivenBack) {
    EXPECT_EQ(interrupts_.lines(), vector::kCount);
    bus_.reset();
    function_.reset();
    EXPECT_EQ(interrupts_.lines(), 0U);
}

}  // namespace
}  // namespace alcove::ne

// SPDX-License-Identifier: Apache-2.0
#include "pci/msix_table.hpp"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pci/enumerator_fake.hpp"
#include "support/endian.hpp"

namespace alcove::pci {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr bus::Message kMessage{.address = 0xfee0'1000, .data = 0x4051};

class MsixTableTest : public testing::Test {
  protected:
    void write(uint16_t vector, uint32_t field, uint32_t value) {
        const Le32 wire = value;
        table_->table().write(uint64_t{16} * vector + field, object_bytes(wire));
    }
    uint64_t read(bus::BusDevice& block, uint64_t offset, size_t width) {
        std::array<uint8_t, 8> bytes{};
        block.read(offset, MutableByteView(bytes).first(width));
        return std::bit_cast<Le64>(bytes);
    }
    void program(uint16_t vector, const bus::Message& message) {
        write(vector, msix::MessageAddress, static_cast<uint32_t>(message.address));
        write(vector, msix::MessageUpperAddress, static_cast<uint32_t>(message.address >> 32));
        write(vector, msix::MessageData, message.data);
    }
    void unmask(uint16_t vector) { write(vector, msix::VectorControl, 0); }
    void mask(uint16_t vector) { write(vector, msix::VectorControl, 1); }
    void enable() { table_->set_control({.enable = true, .function_mask = false, .bus_master = true}); }
    uint64_t pending() { return read(table_->pending(), 0, 8); }

    FakeInterrupts interrupts_;
    std::unique_ptr<MsixTable> table_ = MsixTable::create(interrupts_, 3).value();
};

TEST_F(MsixTableTest, AnOpenVectorDeliversItsMessage) {
    program(1, kMessage);
    unmask(1);
    enable();

    table_->trigger(1);

    EXPECT_THAT(interrupts_.take_delivered(), ElementsAre(kMessage));
    EXPECT_EQ(pending(), 0U);
}

TEST_F(MsixTableTest, VectorsBeginMaskedAndReadBackWhatWasWritten) {
    program(2, kMessage);

    EXPECT_EQ(read(table_->table(), 0, 8), 0U);
    EXPECT_EQ(read(table_->table(), 12, 4), 1U);
    EXPECT_EQ(read(table_->table(), 32, 4), 0xfee0'1000U);
    EXPECT_EQ(read(table_->table(), 40, 8), 0x1'0000'4051U);
    EXPECT_EQ(read(table_->table(), 41, 1), 0x40U);
    EXPECT_EQ(read(table_->table(), 48, 4), 0xffffffffU) << "behind the last entry";
}

TEST_F(MsixTableTest, AMaskedVectorWaitsAndDeliversOnceWhenUnmasked) {
    program(0, kMessage);
    enable();
    table_->trigger(0);
    table_->trigger(0);
    EXPECT_THAT(interrupts_.take_delivered(), IsEmpty());
    EXPECT_EQ(pending(), 1U);

    unmask(0);

    EXPECT_THAT(interrupts_.take_delivered(), ElementsAre(kMessage));
    EXPECT_EQ(pending(), 0U);
}

TEST_F(MsixTableTest, AForgottenVectorDeliversNothingAndOthersStay) {
    program(0, kMessage);
    program(1, kMessage);
    enable();
    table_->trigger(0);
    table_->trigger(1);

    table_->forget_pending(0);
    EXPECT_EQ(pending(), 2U);
    unmask(0);
    EXPECT_THAT(interrupts_.take_delivered(), IsEmpty());

    table_->trigger(0);
    EXPECT_THAT(interrupts_.take_delivered(), ElementsAre(kMessage));
}

TEST_F(MsixTableTest, APendingVectorDeliversTheMessageOfItsUnmasking) {
    constexpr bus::Message kMoved{.address = 0xfee0'3000, .data = 0x4062};
    program(0, kMessage);
    unmask(0);
    enable();
    mask(0);
    table_->trigger(0);
    program(0, kMoved);

    unmask(0);

    EXPECT_THAT(interrupts_.take_delivered(), ElementsAre(kMoved));
}

TEST_F(MsixTableTest, TheFunctionMaskHoldsEveryVector) {
    program(0, kMessage);
    program(2, kMessage);
    unmask(0);
    unmask(2);
    table_->set_control({.enable = true, .function_mask = true, .bus_master = true});
    table_->trigger(0);
    table_->trigger(2);
    EXPECT_EQ(pending(), 5U);
    EXPECT_THAT(interrupts_.take_delivered(), IsEmpty());

    enable();

    EXPECT_EQ(interrupts_.take_delivered().size(), 2U);
}

TEST_F(MsixTableTest, AFunctionThatMayNotWriteToMemoryHoldsItsMessages) {
    program(0, kMessage);
    unmask(0);
    table_->set_control({.enable = true, .function_mask = false, .bus_master = false});
    table_->trigger(0);
    EXPECT_EQ(pending(), 1U);

    enable();

    EXPECT_EQ(interrupts_.take_delivered().size(), 1U);
}

TEST_F(MsixTableTest, DisabledMsixForgetsAndIgnores) {
    program(0, kMessage);
    enable();
    table_->trigger(0);
    table_->set_control({});
    table_->trigger(1);
    EXPECT_EQ(pending(), 0U);

    enable();
    unmask(0);

    EXPECT_THAT(interrupts_.take_delivered(), IsEmpty());
}

TEST_F(MsixTableTest, MaskingCostsNoNewRoute) {
    program(0, kMessage);
    unmask(0);
    enable();
    const size_t before = interrupts_.routes();

    mask(0);
    unmask(0);
    EXPECT_EQ(interrupts_.routes(), before);

    mask(0);
    program(0, {.address = 0xfee0'2000, .data = 1});
    EXPECT_EQ(interrupts_.routes(), before) << "a masked message is not told yet";
    unmask(0);
    EXPECT_EQ(interrupts_.routes(), before + 1);
}

TEST_F(MsixTableTest, AMessageToMemoryGoesNowhere) {
    program(0, {.address = 0x1000, .data = 0x41});
    program(1, {.address = 0x1'fee0'0000, .data = 0x41});
    unmask(0);
    unmask(1);
    enable();

    table_->trigger(0);
    table_->trigger(1);

    EXPECT_THAT(interrupts_.take_delivered(), IsEmpty());
    EXPECT_EQ(interrupts_.routes(), 0U);
    EXPECT_EQ(table_->counters().lost, 2U);
}

TEST_F(MsixTableTest, ARefusedRouteLosesInterruptsAndNothingElse) {
    program(0, kMessage);
    enable();
    interrupts_.refuse_routes(true);
    unmask(0);
    table_->trigger(0);
    interrupts_.refuse_routes(false);
    mask(0);
    program(0, {.address = 0xfee0'2000, .data = 1});
    unmask(0);
    table_->trigger(0);

    EXPECT_EQ(interrupts_.take_delivered().size(), 1U);
    EXPECT_EQ(table_->counters().lost, 1U);
}

TEST_F(MsixTableTest, NarrowAndUnalignedWritesDoNothing) {
    table_->table().write(0, Bytes{1});
    table_->table().write(0, Bytes{1, 2});
    table_->table().write(2, Bytes{1, 2, 3, 4});
    table_->table().write(4, Bytes{1, 2, 3, 4, 5, 6, 7, 8});
    table_->table().write(48, Bytes{1, 2, 3, 4});
    table_->pending().write(0, Bytes{0xff, 0xff, 0xff, 0xff});

    EXPECT_EQ(read(table_->table(), 0, 8), 0U);
    EXPECT_EQ(pending(), 0U);
    table_->table().write(8, Bytes{0x51, 0, 0, 0, 0, 0, 0, 0});
    EXPECT_EQ(read(table_->table(), 8, 8), 0x51U) << "eight at once are two registers";
}

TEST_F(MsixTableTest, ResetClosesEverythingAndKeepsTheLines) {
    program(0, kMessage);
    unmask(0);
    enable();
    mask(0);
    table_->trigger(0);

    table_->reset();

    EXPECT_EQ(pending(), 0U);
    EXPECT_EQ(read(table_->table(), 0, 8), 0U);
    EXPECT_EQ(read(table_->table(), 12, 4), 1U);
    EXPECT_EQ(interrupts_.lines(), 3U);
    table_.reset();
    EXPECT_EQ(interrupts_.lines(), 0U);
}

TEST_F(MsixTableTest, NoTriggerIsLostWhileAnotherThreadMasks) {
    program(0, kMessage);
    unmask(0);
    enable();
    constexpr size_t kTriggers = 20'000;
    size_t delivered = 0;
    size_t after_masking = 0;
    std::atomic<size_t> triggered = 0;  // by the device's thread, read here
    std::thread device([&] {
        for (size_t i = 0; i < kTriggers; ++i) {
            table_->trigger(0);
            triggered.store(i + 1);
        }
    });
    while (triggered < kTriggers) {
        mask(0);
        delivered += interrupts_.take_delivered().size();
        after_masking += interrupts_.take_delivered().size();
        unmask(0);
    }
    device.join();
    delivered += interrupts_.take_delivered().size();

    EXPECT_EQ(after_masking, 0U) << "masking has taken effect when its write returns";
    EXPECT_GT(delivered, 0U);
    EXPECT_EQ(pending(), 0U);
    const auto counters = table_->counters();
    EXPECT_EQ(counters.delivered, delivered);
    EXPECT_GE(counters.delivered + counters.held, kTriggers);
}

}  // namespace
}  // namespace alcove::pci

// SPDX-License-Identifier: Apache-2.0
#include "ne/device.hpp"

#include <cerrno>
#include <thread>

#include <gtest/gtest.h>

#include "ne/backend_fake.hpp"
#include "ne/driver_fake.hpp"

namespace alcove::ne {
namespace {

using std::chrono::seconds;

class NeDeviceTest : public testing::Test {
  protected:
    void run() {
        while (loop->run_once(std::chrono::milliseconds(0)).value() > 0) {
        }
    }
    // Probes as the driver does.
    void probe() {
        driver.disable();
        ASSERT_TRUE(driver.is_off());
        ASSERT_TRUE(driver.enable());
    }
    template <typename Body>
    Reply ask(const Body& body) {
        driver.command(body);
        run();
        return driver.reply();
    }

    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    FakeBackend backend;
    CountingLine reply_line;
    CountingLine event_line;
    Device::Clock::time_point now{};
    Device device{{.loop = *loop, .backend = backend, .reply_line = reply_line, .event_line = event_line},
                  [this] { return now; }};
    FakeDriver driver{device};
};

TEST_F(NeDeviceTest, EnableAndVersionTakeEffectAtOnce) {
    EXPECT_TRUE(driver.is_off());
    EXPECT_EQ(driver.get<uint16_t>(reg::VERSION), 0U);

    EXPECT_TRUE(driver.enable());
    driver.disable();

    EXPECT_TRUE(driver.is_off());
    EXPECT_EQ(backend.releases(), 0U);
}

TEST_F(NeDeviceTest, TheLowerVersionIsTaken) {
    driver.put<uint16_t>(reg::VERSION, 7);
    EXPECT_EQ(driver.get<uint16_t>(reg::VERSION), VERSION_MAX);
}

TEST_F(NeDeviceTest, ADriverWithoutAVersionIsNotLetIn) {
    driver.put<uint16_t>(reg::VERSION, 0);
    driver.put<uint8_t>(reg::ENABLE, ENABLE_ON);
    EXPECT_TRUE(driver.is_off());
}

TEST_F(NeDeviceTest, TheVersionInUseStaysWhileEnabled) {
    probe();
    driver.put<uint16_t>(reg::VERSION, 0);
    EXPECT_EQ(driver.get<uint16_t>(reg::VERSION), VERSION_MAX);
}

TEST_F(NeDeviceTest, OtherValuesOfEnableAreIgnored) {
    probe();
    driver.put<uint8_t>(reg::ENABLE, 2);
    EXPECT_FALSE(driver.is_off());
    driver.disable();
    driver.put<uint8_t>(reg::ENABLE, 0x81);
    EXPECT_TRUE(driver.is_off());
}

TEST_F(NeDeviceTest, ProbingRaisesNothing) {
    probe();
    device.slot_changed();
    run();

    EXPECT_EQ(reply_line.count(), 0U);
    EXPECT_EQ(event_line.count(), 0U);
    EXPECT_EQ(backend.executed(), 0U);
}

TEST_F(NeDeviceTest, ACommandIsAnsweredWithOneInterrupt) {
    probe();

    const auto reply = ask(SlotAlloc{});

    EXPECT_EQ(rc_of(reply), 0);
    EXPECT_NE(reply.slot_uid, 0U);
    EXPECT_EQ(reply.mem_regions, 128U);
    EXPECT_EQ(reply_line.count(), 1U);
}

TEST_F(NeDeviceTest, TheReplyIsCompleteBeforeTheInterruptAndNotBefore) {
    probe();
    backend.at_once = false;
    driver.command(SlotAlloc{});
    run();
    EXPECT_EQ(driver.reply().slot_uid, 0U);
    EXPECT_EQ(reply_line.count(), 0U);

    ASSERT_TRUE(backend.deliver());

    EXPECT_NE(driver.reply().slot_uid, 0U);
    EXPECT_EQ(reply_line.count(), 1U);
}

TEST_F(NeDeviceTest, OnlyTheReplysOwnBytesAreEverSet) {
    probe();
    ask(SlotAlloc{});

    for (uint64_t at = reg::RECV_DATA + sizeof(Reply); at < reg::kEnd; ++at)
        EXPECT_EQ(driver.get<uint8_t>(at), 0U) << at;
}

TEST_F(NeDeviceTest, UnknownCommandsAreAnsweredWithAnError) {
    probe();
    for (const uint32_t command : {0U, 12U, 0xffffffffU}) {
        driver.put<uint32_t>(reg::COMMAND, command);
        run();
        EXPECT_EQ(driver.rc(), -EOPNOTSUPP) << command;
    }
    EXPECT_EQ(reply_line.count(), 3U);
    EXPECT_EQ(backend.executed(), 0U);
}

TEST_F(NeDeviceTest, SendDataTakesEveryWidthAnywhere) {
    probe();
    driver.put<uint64_t>(reg::SEND_DATA, 0x1111111111111111);
    driver.put<uint8_t>(reg::SEND_DATA + 1, 0x22);
    driver.put<uint16_t>(reg::SEND_DATA + 3, 0x3344);
    driver.put<uint32_t>(reg::SEND_DATA + 5, 0x55667788);  // beyond the first 8 bytes

    EXPECT_EQ(driver.get<uint64_t>(reg::SEND_DATA), 0x6677883344112211U);
    EXPECT_EQ(driver.get<uint8_t>(reg::SEND_DATA + 8), 0x55U);
    driver.put<uint32_t>(reg::COMMAND, 10);
    run();
    EXPECT_EQ(std::get<SlotInfo>(backend.requests().back()).slot_uid, 0x6677883344112211U);
}

TEST_F(NeDeviceTest, AnAccessOverTheEndOfABufferTouchesOnlyWhatItMay) {
    probe();
    driver.put<uint64_t>(reg::EVTCNT, ~uint64_t{0});
    driver.put<uint64_t>(reg::RECV_DATA - 4, ~uint64_t{0});

    EXPECT_EQ(driver.get<uint64_t>(reg::EVTCNT), 0xffffffff00000000U);
    EXPECT_EQ(driver.get<uint64_t>(reg::RECV_DATA - 4), 0x00000000ffffffffU);
    EXPECT_EQ(driver.get<uint64_t>(reg::kEnd - 4), 0xffffffff00000000U);
    EXPECT_EQ(driver.get<uint32_t>(Device::kWindowSize - 4), 0xffffffffU);
}

TEST_F(NeDeviceTest, RegistersThatActTakeTheirOwnWidthOnly) {
    probe();
    driver.put<uint64_t>(reg::COMMAND, 4);
    driver.put<uint16_t>(reg::COMMAND, 4);
    driver.put<uint8_t>(reg::COMMAND, 4);
    driver.put<uint16_t>(reg::ENABLE, 0);
    driver.put<uint32_t>(reg::ENABLE, 0);
    run();

    EXPECT_EQ(backend.executed(), 0U);
    EXPECT_FALSE(driver.is_off());
    EXPECT_EQ(driver.get<uint32_t>(reg::ENABLE), 0x00010001U);  // reading takes any
}

TEST_F(NeDeviceTest, RecvDataAndEvtcntCanNotBeWritten) {
    probe();
    ask(SlotAlloc{});
    const auto reply = driver.reply();

    driver.put<uint64_t>(reg::RECV_DATA, ~uint64_t{0});
    driver.put<uint32_t>(reg::EVTCNT, ~uint32_t{0});

    EXPECT_EQ(as_text(object_bytes(driver.reply())), as_text(object_bytes(reply)));
    EXPECT_EQ(driver.get<uint32_t>(reg::EVTCNT), 1U);
}

TEST_F(NeDeviceTest, EvtcntCountsRepliesAndEventsOfThePeriod) {
    probe();
    ask(SlotCount{});
    ask(SlotCount{});
    device.slot_changed();
    EXPECT_EQ(driver.get<uint32_t>(reg::EVTCNT), 0x00010002U);
    EXPECT_EQ(event_line.count(), 1U);

    driver.disable();
    run();
    EXPECT_EQ(driver.get<uint32_t>(reg::EVTCNT), 0U);
}

TEST_F(NeDeviceTest, ASecondCommandWhileOneIsInHandIsIgnored) {
    probe();
    backend.at_once = false;
    driver.command(SlotAlloc{});
    driver.command(SlotCount{});
    run();
    driver.command(SlotCount{});
    run();
    ASSERT_TRUE(backend.deliver());
    run();

    EXPECT_EQ(backend.executed(), 1U);
    EXPECT_EQ(reply_line.count(), 1U);
    EXPECT_EQ(device.counters().ignored, 2U);
}

TEST_F(NeDeviceTest, ARequestIsCopiedWhenTheCommandIsWritten) {
    probe();
    driver.command(SlotInfo{.slot_uid = 5});
    driver.put<uint64_t>(reg::SEND_DATA, 6);
    run();

    EXPECT_EQ(std::get<SlotInfo>(backend.requests().back()).slot_uid, 5U);
}

TEST_F(NeDeviceTest, CommandsWhileOffAreIgnored) {
    driver.command(SlotAlloc{});
    run();

    EXPECT_EQ(backend.executed(), 0U);
    EXPECT_EQ(reply_line.count(), 0U);
}

TEST_F(NeDeviceTest, ALateReplyIsNotTakenForTheNextCommands) {
    probe();
    backend.at_once = false;
    driver.command(SlotAlloc{});
    run();
    now += seconds(120);  // the driver gives up
    driver.command(SlotCount{});
    run();
    EXPECT_EQ(backend.executed(), 1U);

    ASSERT_TRUE(backend.deliver());
    run();
    EXPECT_EQ(reply_line.count(), 0U);
    EXPECT_EQ(driver.reply().slot_uid, 0U);

    ASSERT_TRUE(backend.deliver());
    EXPECT_EQ(reply_line.count(), 1U);
    EXPECT_EQ(driver.reply().slot_count, 1U);
    EXPECT_EQ(device.counters().dropped, 1U);
}

TEST_F(NeDeviceTest, AReplyJustInTimeCountsAndOneJustTooLateDoesNot) {
    probe();
    backend.at_once = false;
    driver.command(SlotCount{});
    run();
    now += Device::kReplyWithin;
    ASSERT_TRUE(backend.deliver());
    EXPECT_EQ(reply_line.count(), 1U);

    driver.command(SlotCount{});
    run();
    now += Device::kReplyWithin + std::chrono::milliseconds(1);
    ASSERT_TRUE(backend.deliver());
    EXPECT_EQ(reply_line.count(), 1U);
}

TEST_F(NeDeviceTest, ACommandThatWaitedTooLongBehindAnotherIsNotCarriedOut) {
    probe();
    backend.at_once = false;
    driver.command(SlotAlloc{});
    run();
    now += seconds(120);
    driver.command(SlotAlloc{});
    now += seconds(120);
    ASSERT_TRUE(backend.deliver());
    run();

    EXPECT_EQ(backend.executed(), 1U);
    driver.command(SlotCount{});
    run();
    ASSERT_TRUE(backend.deliver());
    EXPECT_EQ(driver.reply().slot_count, 1U);
}

TEST_F(NeDeviceTest, DisablingReleasesEverythingBeforeItReadsAsOff) {
    probe();
    ask(SlotAlloc{});
    backend.at_once = false;
    driver.disable();
    run();
    EXPECT_EQ(backend.releases(), 1U);
    EXPECT_FALSE(driver.is_off());

    ASSERT_TRUE(backend.deliver_release());

    EXPECT_TRUE(driver.is_off());
    EXPECT_TRUE(backend.table().slots().empty());
    EXPECT_EQ(driver.reply().slot_uid, 0U);
    EXPECT_EQ(driver.get<uint64_t>(reg::SEND_DATA), 0U);
}

TEST_F(NeDeviceTest, AReplyOfAnEarlierPeriodIsDropped) {
    probe();
    backend.at_once = false;
    backend.keeps_old_done = true;
    driver.command(SlotAlloc{});
    run();
    driver.disable();
    run();
    ASSERT_TRUE(backend.deliver_release());
    ASSERT_TRUE(driver.enable());

    ASSERT_TRUE(backend.deliver());

    EXPECT_EQ(reply_line.count(), 0U);
    EXPECT_EQ(driver.reply().slot_uid, 0U);
}

TEST_F(NeDeviceTest, AReplyWhileReleasingIsDropped) {
    probe();
    backend.at_once = false;
    driver.command(SlotAlloc{});
    run();
    driver.disable();
    ASSERT_TRUE(backend.deliver());
    run();
    ASSERT_TRUE(backend.deliver_release());

    EXPECT_EQ(reply_line.count(), 0U);
    EXPECT_TRUE(driver.is_off());
}

TEST_F(NeDeviceTest, ACommandNotYetBegunIsForgottenByDisabling) {
    probe();
    driver.command(SlotAlloc{});
    driver.disable();
    EXPECT_TRUE(driver.is_off());
    ASSERT_TRUE(driver.enable());
    run();

    EXPECT_EQ(backend.executed(), 0U);
    EXPECT_EQ(reply_line.count(), 0U);
}

TEST_F(NeDeviceTest, EnablingBeforeTheReleaseIsOverWorksAndCommandsWait) {
    probe();
    ask(SlotAlloc{});
    backend.at_once = false;
    driver.disable();
    EXPECT_TRUE(driver.enable());
    driver.command(SlotCount{});
    run();
    EXPECT_EQ(backend.executed(), 1U);

    ASSERT_TRUE(backend.deliver_release());
    run();
    ASSERT_TRUE(backend.deliver());

    EXPECT_EQ(rc_of(driver.reply()), 0);
    EXPECT_EQ(driver.reply().slot_count, 0U);
    EXPECT_EQ(reply_line.count(), 2U);
}

// Masked. A vCPU ends the period when the loop is about to trigger.
class OvertakenLine : public bus::MaskableLine {
  public:
    explicit OvertakenLine(FakeDriver& driver) : driver_(driver) {}
    void trigger() override {
        driver_.disable();
        is_pending_ = true;
    }
    void forget_pending() override { is_pending_ = false; }
    bool is_pending() const { return is_pending_; }

  private:
    FakeDriver& driver_;
    bool is_pending_ = false;
};

TEST_F(NeDeviceTest, AnInterruptThatThePeriodsEndOvertakesIsForgottenBeforeEnableReadsZero) {
    struct Behind : bus::BusDevice {
        Device* device = nullptr;
        void read(uint64_t offset, MutableByteView data) override { device->read(offset, data); }
        void write(uint64_t offset, ByteView data) override { device->write(offset, data); }
    } behind;
    FakeDriver overtaking(behind);
    OvertakenLine late(overtaking);
    Device other({.loop = *loop, .backend = backend, .reply_line = reply_line, .event_line = late});
    behind.device = &other;
    ASSERT_TRUE(overtaking.enable());
    overtaking.command(SlotCount{});
    run();

    other.slot_changed();
    EXPECT_TRUE(late.is_pending());
    EXPECT_FALSE(overtaking.is_off());
    run();

    EXPECT_TRUE(overtaking.is_off());
    EXPECT_FALSE(late.is_pending());
}

TEST_F(NeDeviceTest, EventsComeOnlyAfterTheFirstCommandOfThePeriod) {
    probe();
    ask(SlotAlloc{});
    driver.disable();
    run();
    device.slot_changed();
    ASSERT_TRUE(driver.enable());
    device.slot_changed();
    EXPECT_EQ(event_line.count(), 0U);

    ask(SlotCount{});
    device.slot_changed();

    EXPECT_EQ(event_line.count(), 1U);
}

TEST_F(NeDeviceTest, ReleaseTellsWhenThePrimaryHasEverything) {
    probe();
    ask(SlotAlloc{});
    backend.at_once = false;
    int released = 0;
    device.release([&] { ++released; });
    device.release([&] { ++released; });
    run();
    EXPECT_EQ(released, 0);
    EXPECT_EQ(backend.releases(), 1U);

    ASSERT_TRUE(backend.deliver_release());
    EXPECT_EQ(released, 2);

    device.release([&] { ++released; });
    EXPECT_EQ(released, 3);
}

TEST_F(NeDeviceTest, ResetIsPowerOnState) {
    probe();
    ask(SlotAlloc{});

    device.reset();
    run();

    EXPECT_TRUE(driver.is_off());
    EXPECT_EQ(driver.get<uint16_t>(reg::VERSION), 0U);
    EXPECT_EQ(backend.releases(), 1U);
    driver.put<uint8_t>(reg::ENABLE, ENABLE_ON);
    EXPECT_TRUE(driver.is_off());
}

TEST_F(NeDeviceTest, AnEnclaveGoesThroughItsLife) {
    probe();
    const uint64_t slot = ask(SlotAlloc{}).slot_uid;
    EXPECT_EQ(rc_of(ask(SlotAddMem{.slot_uid = slot, .paddr = 64_MiB, .size = 64_MiB})), 0);
    EXPECT_EQ(rc_of(ask(SlotAddVcpu{.slot_uid = slot, .vcpu_id = 2, .padding = {}})), 0);
    EXPECT_EQ(rc_of(ask(SlotAddVcpu{.slot_uid = slot, .vcpu_id = 3, .padding = {}})), 0);
    EXPECT_EQ(ask(EnclaveStart{.slot_uid = slot, .enclave_cid = 0, .flags = 0}).enclave_cid, 16U);
    EXPECT_EQ(ask(SlotInfo{.slot_uid = slot}).state, 2U);

    ASSERT_TRUE(backend.table().enclave_ended(SlotUid{slot}));
    device.slot_changed();
    EXPECT_EQ(event_line.count(), 1U);
    EXPECT_EQ(ask(SlotInfo{.slot_uid = slot}).state, 0xffffU);
    EXPECT_EQ(rc_of(ask(EnclaveStop{.slot_uid = slot})), 0);
    EXPECT_EQ(rc_of(ask(SlotFree{.slot_uid = slot})), 0);
    EXPECT_EQ(rc_of(ask(SlotInfo{.slot_uid = slot})), -EINVAL);
}

TEST_F(NeDeviceTest, ABackendMayAnswerWhenTheDeviceIsGone) {
    backend.at_once = false;
    auto shorter = std::make_unique<Device>(Device::Wiring{
        .loop = *loop, .backend = backend, .reply_line = reply_line, .event_line = event_line});
    FakeDriver other(*shorter);
    ASSERT_TRUE(other.enable());
    other.command(SlotAlloc{});
    run();
    shorter.reset();
    run();

    ASSERT_TRUE(backend.deliver());
    EXPECT_EQ(reply_line.count(), 0U);
}

// Several vCPUs at once, against the loop: nothing to see but what the sanitizers see, and that the device
// still works for an honest driver afterwards.
TEST_F(NeDeviceTest, SeveralVcpusMayPressTheRegistersAtOnce) {
    std::vector<std::thread> vcpus;
    std::atomic<int> running = 3;
    for (int i = 0; i < 3; ++i) {
        vcpus.emplace_back([&] {
            FakeDriver own(device);
            for (int round = 0; round < 300; ++round) {
                own.enable();
                own.command(SlotAlloc{});
                own.reply();
                own.command(SlotCount{});
                own.disable();
            }
            --running;
        });
    }
    while (running > 0)
        loop->run_once(std::chrono::milliseconds(1)).value();
    for (auto& vcpu : vcpus)
        vcpu.join();
    run();
    ASSERT_TRUE(driver.is_off());
    const auto before = reply_line.count();
    ASSERT_TRUE(driver.enable());

    EXPECT_EQ(ask(SlotCount{}).slot_count, 0U);
    EXPECT_EQ(reply_line.count(), before + 1);
}

}  // namespace
}  // namespace alcove::ne

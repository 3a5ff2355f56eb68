// SPDX-License-Identifier: Apache-2.0
#include "virtio/mmio_transport.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pci/enumerator_fake.hpp"
#include "virtio/device_fake.hpp"
#include "virtio/driver_fake.hpp"

namespace alcove::virtio {
namespace {

using memory::GuestAddress;

class MmioTransportTest : public testing::Test {
  protected:
    Bytes read_bytes(uint64_t offset, size_t size) {
        Bytes data(size, 0xee);
        driver_.transport().read(offset, data);
        return data;
    }
    static constexpr uint32_t kReadyStatus =
        status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK;

    FakeMachine machine_;
    FakeDevice device_;
    pci::FakeDoorbells doorbells_;
    FakeDriver driver_{machine_, device_, &doorbells_};
};

TEST_F(MmioTransportTest, IdentityRegistersReadAsTheSpecificationSays) {
    EXPECT_EQ(driver_.read(mmio::MagicValue), 0x74726976U);
    EXPECT_EQ(driver_.read(mmio::Version), 2U);
    EXPECT_EQ(driver_.read(mmio::DeviceID), 42U);
    EXPECT_EQ(driver_.read(mmio::Status), 0U);
    EXPECT_EQ(driver_.device_features(), bit<uint64_t>(3) | bit<uint64_t>(40) | FakeDriver::kUsualFeatures);
    driver_.write(mmio::DeviceFeaturesSel, 2);
    EXPECT_EQ(driver_.read(mmio::DeviceFeatures), 0U);
}

TEST_F(MmioTransportTest, UnknownAndWriteOnlyRegistersReadAsZero) {
    driver_.write(mmio::QueueNum, 64);
    for (const uint32_t offset : {0x018U, 0x028U, 0x038U, 0x050U, 0x080U, 0x0f0U, 0x108U, 0xffcU})
        EXPECT_EQ(driver_.read(offset), 0U) << offset;
}

TEST_F(MmioTransportTest, SharedMemoryRegionsDoNotExist) {
    driver_.write(mmio::SHMSel, 0);
    EXPECT_EQ(driver_.read(mmio::SHMLenLow), 0xffffffffU);
    EXPECT_EQ(driver_.read(mmio::SHMLenHigh), 0xffffffffU);
    EXPECT_EQ(driver_.read(mmio::SHMBaseLow), 0xffffffffU);
    EXPECT_EQ(driver_.read(mmio::SHMBaseHigh), 0xffffffffU);
}

TEST_F(MmioTransportTest, QueuesShowTheirLargestSize) {
    driver_.write(mmio::QueueSel, 0);
    EXPECT_EQ(driver_.read(mmio::QueueNumMax), 64U);
    driver_.write(mmio::QueueSel, 1);
    EXPECT_EQ(driver_.read(mmio::QueueNumMax), 128U);
    driver_.write(mmio::QueueSel, 2);
    EXPECT_EQ(driver_.read(mmio::QueueNumMax), 0U);
    driver_.write(mmio::QueueReady, 1);
    EXPECT_EQ(driver_.read(mmio::QueueReady), 0U);
}

TEST_F(MmioTransportTest, ConfigurationReadsInAnyWidth) {
    EXPECT_EQ(read_bytes(0x100, 1), (Bytes{1}));
    EXPECT_EQ(read_bytes(0x101, 2), (Bytes{2, 3}));
    EXPECT_EQ(read_bytes(0x103, 2), (Bytes{4, 5})) << "across words";
    EXPECT_EQ(read_bytes(0x100, 8), (Bytes{1, 2, 3, 4, 5, 6, 0, 0}));
    EXPECT_EQ(read_bytes(0xffc, 4), (Bytes{0, 0, 0, 0}));
}

TEST_F(MmioTransportTest, ConfigurationWritesReachAnActiveDeviceOnly) {
    driver_.transport().write(0x102, Bytes{9});
    driver_.start();
    driver_.transport().write(0x104, Bytes{7, 8});
    driver_.transport().write(0x106, Bytes{1});

    ASSERT_EQ(device_.config_writes.size(), 1U) << "not before the start, not behind the end";
    EXPECT_EQ(device_.config_writes[0], (std::pair<uint64_t, Bytes>(4, {7, 8})));
}

TEST_F(MmioTransportTest, AConfigurationChangeShowsAndInterrupts) {
    driver_.start();
    const uint32_t generation = driver_.read(mmio::ConfigGeneration);

    device_.config_bytes[0] = 77;
    device_.active.link->config_changed();

    EXPECT_EQ(read_bytes(0x100, 1), Bytes{77});
    EXPECT_NE(driver_.read(mmio::ConfigGeneration), generation);
    EXPECT_EQ(driver_.read(mmio::InterruptStatus), mmio::INT_CONFIG);
    EXPECT_EQ(machine_.line().count(), 1U);
    driver_.write(mmio::InterruptACK, mmio::INT_CONFIG);
    EXPECT_EQ(driver_.read(mmio::InterruptStatus), 0U);
}

TEST_F(MmioTransportTest, NarrowAndUnalignedRegisterWritesDoNothing) {
    driver_.transport().write(mmio::Status, Bytes{1});
    driver_.transport().write(mmio::Status, Bytes{1, 0});
    driver_.transport().write(mmio::Status + 1, Bytes{1, 0, 0, 0});
    driver_.transport().write(mmio::Status, Bytes{1, 0, 0, 0, 0, 0, 0, 0});

    EXPECT_EQ(driver_.read(mmio::Status), 0U);
}

TEST_F(MmioTransportTest, FeaturesThatWereNotOfferedAreRefused) {
    EXPECT_FALSE(driver_.negotiate(FakeDriver::kUsualFeatures | bit<uint64_t>(5)));
    EXPECT_FALSE(driver_.negotiate(virtio::feature::EVENT_IDX)) << "VERSION_1 is not optional";
    EXPECT_TRUE(driver_.negotiate(virtio::feature::VERSION_1 | bit<uint64_t>(40)));
}

TEST_F(MmioTransportTest, FeaturesAreFixedOnceAccepted) {
    ASSERT_TRUE(driver_.negotiate(virtio::feature::VERSION_1));
    driver_.write(mmio::DriverFeaturesSel, 0);
    driver_.write(mmio::DriverFeatures, 0xffffffff);
    driver_.write(mmio::Status, kReadyStatus);
    machine_.run();

    EXPECT_EQ(device_.active.features, virtio::feature::VERSION_1);
}

TEST_F(MmioTransportTest, ADriverIsServedFromStartToReset) {
    driver_.start();
    ASSERT_TRUE(device_.is_active);
    EXPECT_EQ(device_.active.queues[0].size(), 64);
    EXPECT_EQ(device_.processed, (std::vector<uint16_t>{0, 1})) << "each queue is looked at once";

    driver_.queue(1).add({}, {4});
    driver_.notify(1);
    machine_.run();

    EXPECT_TRUE(driver_.queue(1).take_used());
    EXPECT_EQ(driver_.read(mmio::InterruptStatus), mmio::INT_VRING);
    EXPECT_EQ(machine_.line().count(), 1U);

    driver_.reset();
    EXPECT_FALSE(device_.is_active);
    EXPECT_EQ(device_.resets, 1);
    EXPECT_EQ(driver_.read(mmio::Status), 0U);
    EXPECT_EQ(driver_.read(mmio::InterruptStatus), 0U);
    EXPECT_EQ(driver_.read(mmio::QueueReady), 0U);

    driver_.notify(1);
    machine_.run();
    EXPECT_EQ(device_.processed.size(), 3U) << "a device that is reset is left alone";
    driver_.start();
    EXPECT_TRUE(device_.is_active);
}

TEST_F(MmioTransportTest, ChainsThatWereRungForBeforeDriverOkAreServed) {
    ASSERT_TRUE(driver_.negotiate());
    FakeQueue queue(machine_, 64, 0);
    driver_.set_up_queue(0, queue.layout());
    queue.add({}, {4});
    driver_.notify(0);
    machine_.run();
    EXPECT_TRUE(device_.processed.empty());

    driver_.write(mmio::Status, kReadyStatus);
    machine_.run();

    EXPECT_TRUE(queue.take_used());
}

TEST_F(MmioTransportTest, AQueueTheDriverLeavesOutIsDisabled) {
    driver_.start(FakeDriver::kUsualFeatures, {64, 0});

    EXPECT_TRUE(device_.active.queues[0].is_enabled());
    EXPECT_FALSE(device_.active.queues[1].is_enabled());
}

TEST_F(MmioTransportTest, DriverOkWithoutFeaturesOkIsIgnored) {
    driver_.write(mmio::Status, status::ACKNOWLEDGE | status::DRIVER | status::DRIVER_OK);
    machine_.run();

    EXPECT_FALSE(device_.is_active);
    EXPECT_EQ(driver_.read(mmio::Status), status::ACKNOWLEDGE | status::DRIVER);
}

TEST_F(MmioTransportTest, ABadQueueConfigurationNeedsAReset) {
    ASSERT_TRUE(driver_.negotiate());
    driver_.set_up_queue(0, {.size = 64,
                             .descriptor_table = GuestAddress(0xfffffffffffffff0),
                             .available_ring = GuestAddress(FakeMachine::kMemoryBase),
                             .used_ring = GuestAddress(FakeMachine::kMemoryBase)});

    EXPECT_EQ(driver_.read(mmio::QueueReady), 0U);
    EXPECT_TRUE(driver_.read(mmio::Status) & status::DEVICE_NEEDS_RESET);
    driver_.write(mmio::Status, kReadyStatus);
    machine_.run();
    EXPECT_FALSE(device_.is_active);
    EXPECT_EQ(driver_.transport().counters().violations, 1U);
}

TEST_F(MmioTransportTest, AQueueOverItsLargestSizeNeedsAReset) {
    ASSERT_TRUE(driver_.negotiate());
    const FakeQueue queue(machine_, 128, 0);
    driver_.set_up_queue(0, queue.layout());

    EXPECT_TRUE(driver_.read(mmio::Status) & status::DEVICE_NEEDS_RESET);
}

TEST_F(MmioTransportTest, QueueConfigurationIsFrozenWhileEnabled) {
    driver_.start();
    const auto before = driver_.queue(0).layout();
    driver_.write(mmio::QueueSel, 0);
    driver_.write(mmio::QueueNum, 2);
    driver_.write(mmio::QueueDescLow, 0);
    driver_.write(mmio::QueueReady, 1);

    EXPECT_EQ(driver_.read(mmio::QueueReady), 1U);
    EXPECT_EQ(device_.active.queues[0].size(), before.size);
    EXPECT_EQ(driver_.read(mmio::Status), kReadyStatus);
}

TEST_F(MmioTransportTest, AQueueLeftOutIsFrozenFromDriverOkOn) {
    ASSERT_TRUE(driver_.negotiate());
    const FakeQueue first(machine_, 64, 0);
    driver_.set_up_queue(0, first.layout());
    driver_.write(mmio::Status, kReadyStatus);
    machine_.run();
    ASSERT_TRUE(device_.is_active);

    const FakeQueue late(machine_, 64, 1);
    driver_.set_up_queue(1, late.layout());

    EXPECT_EQ(driver_.read(mmio::QueueReady), 0U);
    EXPECT_FALSE(device_.active.queues[1].is_enabled());
    EXPECT_TRUE(device_.active.queues[0].is_enabled());
    EXPECT_EQ(driver_.read(mmio::Status), kReadyStatus);
}

TEST_F(MmioTransportTest, ClearingQueueReadyStopsTheDevice) {
    driver_.start();
    driver_.write(mmio::QueueSel, 0);
    driver_.write(mmio::QueueReady, 0);

    EXPECT_EQ(driver_.read(mmio::QueueReady), 0U);
    EXPECT_FALSE(device_.is_active);
    EXPECT_TRUE(driver_.read(mmio::Status) & status::DEVICE_NEEDS_RESET);
    driver_.start();
    EXPECT_TRUE(device_.is_active);
}

TEST_F(MmioTransportTest, ABrokenRingNeedsAResetAndGetsNoService) {
    driver_.start();
    driver_.queue(0).set_available_index(1000);
    driver_.notify(0);
    machine_.run();

    EXPECT_TRUE(driver_.read(mmio::Status) & status::DEVICE_NEEDS_RESET);
    EXPECT_EQ(driver_.read(mmio::InterruptStatus), mmio::INT_CONFIG);
    const size_t processed = device_.processed.size();
    driver_.notify(1);
    machine_.run();
    EXPECT_EQ(device_.processed.size(), processed);

    driver_.start();
    driver_.queue(1).add({}, {4});
    driver_.notify(1);
    machine_.run();
    EXPECT_TRUE(driver_.queue(1).take_used()) << "as good as new after the reset";
}

TEST_F(MmioTransportTest, AMachineResetVoidsAnActivationOnItsWay) {
    ASSERT_TRUE(driver_.negotiate());
    driver_.write(mmio::Status, kReadyStatus);

    driver_.transport().reset();
    machine_.run();

    EXPECT_FALSE(device_.is_active);
    EXPECT_EQ(driver_.read(mmio::Status), 0U);
}

TEST_F(MmioTransportTest, DoorbellsCoverNotificationsAndPlainAcknowledgements) {
    const uint64_t base = FakeDriver::kBase.value();
    ASSERT_EQ(doorbells_.attached().size(), 3U);
    EXPECT_EQ(doorbells_.attached()[1].address, base + mmio::QueueNotify);
    EXPECT_EQ(doorbells_.attached()[1].value, 1U);
    EXPECT_EQ(doorbells_.attached()[2].address, base + mmio::InterruptACK);

    driver_.start();
    driver_.queue(1).add({}, {4});
    doorbells_.attached()[1].event->signal();
    machine_.run();
    EXPECT_TRUE(driver_.queue(1).take_used());
}

TEST(MmioTransport, DoorbellsAreGivenBack) {
    FakeMachine machine;
    FakeDevice device;
    pci::FakeDoorbells doorbells;
    { const FakeDriver driver(machine, device, &doorbells); }

    EXPECT_TRUE(doorbells.attached().empty());
}

// The register side on a thread of its own, as a vCPU; the loop on this one.
class VcpuThreadTest : public MmioTransportTest {
  protected:
    ~VcpuThreadTest() override {
        if (vcpu_.joinable()) vcpu_.join();
    }
    void on_vcpu(std::function<void()> work) {
        vcpu_ = std::thread([this, work = std::move(work)] {
            work();
            done_ = true;
        });
    }
    bool run_until_done() {
        return machine_.run_until([this] { return done_.load(); });
    }

    std::atomic<bool> done_ = false;  // set by the vCPU thread at its end
    std::thread vcpu_;
};

TEST_F(VcpuThreadTest, AResetReturnsOnlyWhenTheDeviceIsQuiet) {
    driver_.start();
    std::atomic<bool> was_active_after_reset = true;
    on_vcpu([&] {
        driver_.write(mmio::Status, 0);
        was_active_after_reset = device_.is_active;
    });

    ASSERT_TRUE(run_until_done());
    EXPECT_FALSE(was_active_after_reset);
}

TEST_F(VcpuThreadTest, AResetWaitsForTheLoop) {
    driver_.start();
    on_vcpu([&] { driver_.write(mmio::Status, 0); });

    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_FALSE(done_) << "the loop has not run";
    EXPECT_NE(driver_.read(mmio::Status), 0U) << "another vCPU sees the reset under way";
    ASSERT_TRUE(run_until_done());
    EXPECT_EQ(driver_.read(mmio::Status), 0U);
}

TEST_F(VcpuThreadTest, StoppingReleasesAWaitingVcpu) {
    driver_.start();
    on_vcpu([&] { driver_.write(mmio::Status, 0); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));

    driver_.transport().stop();
    vcpu_.join();

    EXPECT_TRUE(done_);
    EXPECT_FALSE(device_.is_active);
    machine_.run();
}

TEST_F(VcpuThreadTest, ResetAndRestartInALoopNeverLosesTheDevice) {
    on_vcpu([&] {
        for (int i = 0; i < 200; ++i) {
            ASSERT_TRUE(driver_.negotiate());
            driver_.write(mmio::Status, kReadyStatus);
            driver_.notify(0);
        }
    });

    ASSERT_TRUE(run_until_done());
    machine_.run();
    EXPECT_TRUE(device_.is_active);
}

}  // namespace
}  // namespace alcove::virtio

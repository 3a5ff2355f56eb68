// SPDX-License-Identifier: Apache-2.0
#include "virtio/pci_transport.hpp"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "virtio/device_fake.hpp"
#include "virtio/pci_driver_fake.hpp"

namespace alcove::virtio {
namespace {

using memory::GuestAddress;
using testing::ElementsAre;
using testing::IsEmpty;
using virtio_pci::CommonConfig;

constexpr uint32_t kReadyStatus =
    status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK;

bus::Message message(uint32_t vector) {
    return {.address = 0xfee0'0000, .data = FakePciDriver::kFirstData + vector};
}

class PciTransportTest : public testing::Test {
  protected:
    uint64_t device_config(uint64_t offset, size_t width) {
        return driver_.os().read_memory(driver_.structure(virtio_pci::DEVICE_CFG) + offset, width);
    }
    uint64_t isr() { return driver_.os().read_memory(driver_.structure(virtio_pci::ISR_CFG), 1); }
    void point_window_at(uint8_t bar, uint32_t offset, uint32_t length) {
        const uint32_t window = driver_.capability(virtio_pci::PCI_CFG);
        driver_.os().write_config(window + 4, bar, 1);
        driver_.os().write_config(window + 8, offset, 4);
        driver_.os().write_config(window + 12, length, 4);
    }
    uint32_t window_data() { return driver_.capability(virtio_pci::PCI_CFG) + 16U; }

    FakeMachine machine_;
    FakeDevice device_;
    FakePciDriver driver_{machine_, device_};
};

TEST_F(PciTransportTest, TheFunctionIsAModernVirtioDevice) {
    auto& os = driver_.os();
    EXPECT_EQ(os.read_config(pci::header::VendorID, 4), (0x1040U + 42) << 16 | 0x1af4U);
    EXPECT_EQ(os.read_config(pci::header::RevisionID, 1), 1U);
    EXPECT_GE(os.read_config(pci::header::SubsystemID, 2), 0x40U);
    EXPECT_EQ(os.size_bar(0), 0x4000U);
    EXPECT_EQ(os.read_config(os.find_capability(pci::capability_id::MsiX) + 2U, 2) & 0x7ff, 2U)
        << "three vectors";
}

TEST_F(PciTransportTest, EveryStructureHasItsCapability) {
    auto& os = driver_.os();
    for (const uint8_t type : {virtio_pci::COMMON_CFG, virtio_pci::ISR_CFG, virtio_pci::DEVICE_CFG})
        EXPECT_EQ(os.read_config(driver_.capability(type) + 2U, 1), 16U) << int{type};
    EXPECT_EQ(os.read_config(driver_.capability(virtio_pci::COMMON_CFG) + 12U, 4), sizeof(CommonConfig));
    EXPECT_EQ(os.read_config(driver_.capability(virtio_pci::DEVICE_CFG) + 12U, 4), 6U);
    EXPECT_EQ(os.read_config(driver_.capability(virtio_pci::NOTIFY_CFG) + 2U, 1), 20U);
    EXPECT_EQ(os.read_config(driver_.capability(virtio_pci::NOTIFY_CFG) + 12U, 4), 8U);
    EXPECT_EQ(os.read_config(driver_.capability(virtio_pci::PCI_CFG) + 2U, 1), 20U);
}

TEST(PciTransport, ADeviceWithoutConfigurationHasNoCapabilityForIt) {
    FakeMachine machine;
    FakeDevice device;
    device.config_bytes.clear();
    FakePciDriver driver(machine, device);

    EXPECT_EQ(driver.capability(virtio_pci::DEVICE_CFG), 0);
}

TEST(PciTransport, QueuesHaveOneVectorTogetherWhereTheDeviceWantsThat) {
    FakeMachine machine;
    FakeDevice device;
    device.one_interrupt = true;
    FakePciDriver driver(machine, device);

    auto& os = driver.os();
    EXPECT_EQ(os.read_config(os.find_capability(pci::capability_id::MsiX) + 2U, 2) & 0x7ff, 1U)
        << "two vectors";
}

TEST_F(PciTransportTest, CommonConfigurationShowsTheDevice) {
    driver_.write(offsetof(CommonConfig, device_feature_select), 1, 4);
    const uint64_t high = driver_.read(offsetof(CommonConfig, device_feature), 4);
    driver_.write(offsetof(CommonConfig, device_feature_select), 0, 4);
    const uint64_t low = driver_.read(offsetof(CommonConfig, device_feature), 4);
    EXPECT_EQ(high << 32 | low, bit<uint64_t>(3) | bit<uint64_t>(40) | FakePciDriver::kUsualFeatures);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, num_queues), 2), 2U);

    driver_.write(offsetof(CommonConfig, queue_select), 1, 2);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_size), 2), 128U);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_notify_off), 2), 1U);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_msix_vector), 2), 0xffffU);
    driver_.write(offsetof(CommonConfig, queue_select), 2, 2);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_size), 2), 0U) << "there is no queue 2";
    driver_.write(offsetof(CommonConfig, queue_enable), 1, 2);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_enable), 2), 0U);
}

TEST_F(PciTransportTest, ADriverIsServedFromStartToReset) {
    driver_.start();
    ASSERT_TRUE(device_.is_active);
    EXPECT_EQ(device_.active.queues[1].size(), 128);

    driver_.queue(1).add({}, {4});
    driver_.notify(1);
    machine_.run();

    EXPECT_TRUE(driver_.queue(1).take_used());
    EXPECT_THAT(driver_.interrupts().take_delivered(), ElementsAre(message(1)));

    driver_.reset();
    EXPECT_FALSE(device_.is_active);
    EXPECT_EQ(driver_.status(), 0U);
    driver_.write(offsetof(CommonConfig, queue_select), 1, 2);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_enable), 2), 0U);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_msix_vector), 2), 0xffffU);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, config_msix_vector), 2), 0xffffU);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_size), 2), 128U) << "the largest again";
    driver_.start();
    EXPECT_TRUE(device_.is_active);
}

TEST_F(PciTransportTest, AQueueKeepsItsSizeWhenTheDriverWritesNone) {
    ASSERT_TRUE(driver_.negotiate());
    const FakeQueue queue(machine_, 64, 0);
    driver_.write(offsetof(CommonConfig, queue_select), 0, 2);
    driver_.write(offsetof(CommonConfig, queue_desc), queue.layout().descriptor_table.value(), 8);
    driver_.write(offsetof(CommonConfig, queue_driver), queue.layout().available_ring.value(), 8);
    driver_.write(offsetof(CommonConfig, queue_device), queue.layout().used_ring.value(), 8);
    driver_.write(offsetof(CommonConfig, queue_enable), 1, 2);
    driver_.set_status(kReadyStatus);
    machine_.run();

    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_desc), 8), queue.layout().descriptor_table.value());
    ASSERT_TRUE(device_.is_active);
    EXPECT_EQ(device_.active.queues[0].size(), 64);
    EXPECT_FALSE(device_.active.queues[1].is_enabled());
}

TEST_F(PciTransportTest, AQueueLeftOutIsFrozenFromDriverOkOn) {
    ASSERT_TRUE(driver_.negotiate());
    const FakeQueue first(machine_, 64, 0);
    driver_.set_up_queue(0, first.layout());
    driver_.set_status(kReadyStatus);
    machine_.run();
    ASSERT_TRUE(device_.is_active);

    const FakeQueue late(machine_, 64, 1);
    driver_.set_up_queue(1, late.layout());
    machine_.run();

    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_enable), 2), 0U);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_size), 2), 128U) << "the largest still";
    EXPECT_FALSE(device_.active.queues[1].is_enabled());
    EXPECT_TRUE(device_.active.queues[0].is_enabled());
}

TEST_F(PciTransportTest, DoorbellsFollowTheNotifyStructure) {
    ASSERT_EQ(driver_.doorbells().attached().size(), 2U);
    const uint64_t before = driver_.notify_address(1);
    EXPECT_EQ(before - driver_.notify_address(0), 4U);
    driver_.os().move_bar(0, 0xc080'0000);
    driver_.start();
    ASSERT_NE(driver_.notify_address(1), before);
    EXPECT_FALSE(driver_.doorbells().ring(before));

    driver_.queue(1).add({}, {4});
    EXPECT_TRUE(driver_.doorbells().ring(driver_.notify_address(1)));
    machine_.run();

    EXPECT_TRUE(driver_.queue(1).take_used());
}

TEST_F(PciTransportTest, ANotificationByExitIsAsGood) {
    driver_.start();
    driver_.queue(0).add({}, {4});
    driver_.os().write_memory(driver_.notify_address(0), 0, 2);
    machine_.run();
    EXPECT_TRUE(driver_.queue(0).take_used());

    const size_t processed = device_.processed.size();
    driver_.os().write_memory(driver_.structure(virtio_pci::NOTIFY_CFG) + 0x100, 0, 2);
    machine_.run();
    EXPECT_EQ(device_.processed.size(), processed) << "there is no such queue";
}

TEST_F(PciTransportTest, QueuesThatShareAVectorGetOneMessage) {
    driver_.start();
    driver_.write(offsetof(CommonConfig, queue_select), 0, 2);
    driver_.write(offsetof(CommonConfig, queue_msix_vector), 1, 2);

    device_.active.link->interrupt(queue_bit(0) | queue_bit(1));
    EXPECT_THAT(driver_.interrupts().take_delivered(), ElementsAre(message(1)));

    driver_.write(offsetof(CommonConfig, queue_msix_vector), 0, 2);
    device_.active.link->interrupt(queue_bit(0) | queue_bit(1));
    EXPECT_THAT(driver_.interrupts().take_delivered(), ElementsAre(message(0), message(1)));
}

TEST_F(PciTransportTest, AVectorThatIsNotThereReadsBackAsNone) {
    driver_.start();
    driver_.write(offsetof(CommonConfig, queue_select), 0, 2);
    driver_.write(offsetof(CommonConfig, queue_msix_vector), 3, 2);
    driver_.write(offsetof(CommonConfig, config_msix_vector), 0x1000, 2);

    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_msix_vector), 2), 0xffffU);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, config_msix_vector), 2), 0xffffU);
    device_.active.link->interrupt(queue_bit(0));
    device_.active.link->config_changed();
    EXPECT_THAT(driver_.interrupts().take_delivered(), IsEmpty());
}

TEST_F(PciTransportTest, AConfigurationChangeShowsAndInterrupts) {
    driver_.start();
    const uint64_t generation = driver_.read(offsetof(CommonConfig, config_generation), 1);
    EXPECT_EQ(device_config(1, 2), 0x0302U);
    EXPECT_EQ(device_config(0, 8), 0x0000'0605'0403'0201U) << "zeros behind the end";

    device_.config_bytes[0] = 77;
    device_.active.link->config_changed();

    EXPECT_EQ(device_config(0, 1), 77U);
    EXPECT_NE(driver_.read(offsetof(CommonConfig, config_generation), 1), generation);
    EXPECT_THAT(driver_.interrupts().take_delivered(), ElementsAre(message(2)));
}

TEST_F(PciTransportTest, ConfigurationWritesReachAnActiveDeviceOnly) {
    const uint64_t at = driver_.structure(virtio_pci::DEVICE_CFG);
    driver_.os().write_memory(at + 2, 9, 1);
    driver_.start();
    driver_.os().write_memory(at + 4, 0x0807, 2);
    driver_.os().write_memory(at + 6, 1, 1);

    ASSERT_EQ(device_.config_writes.size(), 1U) << "not before the start, not behind the end";
    EXPECT_EQ(device_.config_writes[0], (std::pair<uint64_t, Bytes>(4, {7, 8})));
}

TEST_F(PciTransportTest, TheIsrStatusClearsWhenRead) {
    driver_.start();
    device_.active.link->interrupt(queue_bit(0));
    device_.active.link->config_changed();

    EXPECT_EQ(isr(), virtio_pci::ISR_QUEUE | virtio_pci::ISR_CONFIG);
    EXPECT_EQ(isr(), 0U);
}

TEST_F(PciTransportTest, QueuesShareAnInterruptWhereTheirVectorsAreTheSame) {
    driver_.start();
    EXPECT_FALSE(device_.active.link->share_interrupt(0, 1));
    driver_.write(offsetof(CommonConfig, queue_select), 1, 2);
    driver_.write(offsetof(CommonConfig, queue_msix_vector), 0, 2);
    EXPECT_TRUE(device_.active.link->share_interrupt(0, 1));
}

TEST_F(PciTransportTest, FieldsAreWrittenInTheirOwnWidthOnly) {
    driver_.write(offsetof(CommonConfig, device_status), 1, 2);
    driver_.write(offsetof(CommonConfig, device_status), 1, 4);
    driver_.write(offsetof(CommonConfig, queue_select), 1, 1);
    driver_.write(offsetof(CommonConfig, queue_select), 1, 4);
    driver_.write(offsetof(CommonConfig, queue_desc) + 2, 0x1000, 4);
    driver_.write(offsetof(CommonConfig, queue_desc) + 4, 0x1000, 8);
    driver_.write(offsetof(CommonConfig, num_queues), 9, 2);

    EXPECT_EQ(driver_.status(), 0U);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_select), 2), 0U);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_desc), 8), 0U);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, num_queues), 2), 2U);
}

TEST_F(PciTransportTest, FeaturesThatWereNotOfferedAreRefused) {
    EXPECT_FALSE(driver_.negotiate(FakePciDriver::kUsualFeatures | bit<uint64_t>(40 - 1)));
    EXPECT_FALSE(driver_.negotiate(virtio::feature::EVENT_IDX));
    EXPECT_TRUE(driver_.negotiate(virtio::feature::VERSION_1));
}

TEST_F(PciTransportTest, ABrokenRingNeedsAResetAndTellsSo) {
    driver_.start();
    driver_.queue(0).set_available_index(1000);
    driver_.notify(0);
    machine_.run();

    EXPECT_TRUE(driver_.status() & status::DEVICE_NEEDS_RESET);
    EXPECT_THAT(driver_.interrupts().take_delivered(), ElementsAre(message(2)));
    EXPECT_EQ(driver_.transport().counters().violations, 1U);
}

TEST_F(PciTransportTest, QueueEnableIsNotTakenBack) {
    driver_.start();
    driver_.write(offsetof(CommonConfig, queue_select), 0, 2);
    driver_.write(offsetof(CommonConfig, queue_enable), 0, 2);
    driver_.write(offsetof(CommonConfig, queue_size), 2, 2);

    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_enable), 2), 1U);
    EXPECT_EQ(driver_.read(offsetof(CommonConfig, queue_size), 2), 64U);
    EXPECT_TRUE(device_.is_active);
}

TEST_F(PciTransportTest, TheWindowInConfigurationSpaceReachesTheRegisters) {
    auto& os = driver_.os();
    os.set_command(0);  // it needs no decoded BAR
    point_window_at(0, PciTransport::kDeviceOffset + 4, 2);
    EXPECT_EQ(os.read_config(window_data(), 2), 0x0605U);

    point_window_at(0, offsetof(CommonConfig, queue_select), 2);
    os.write_config(window_data(), 1, 2);
    EXPECT_EQ(os.read_config_by_ports(window_data(), 2), 1U);

    point_window_at(0, offsetof(CommonConfig, device_status), 1);
    os.write_config(window_data(), 3, 1);
    os.set_command(pci::command::MEMORY_SPACE | pci::command::BUS_MASTER);
    EXPECT_EQ(driver_.status(), 3U);
}

TEST_F(PciTransportTest, TheWindowLeadsNowhereElse) {
    auto& os = driver_.os();
    struct Place {
        uint8_t bar;
        uint32_t offset;
        uint32_t length;
    };
    for (const auto& [bar, offset, length] :
         {Place{1, 0, 4}, Place{0, 0x14, 0}, Place{0, 0x14, 3}, Place{0, 0x14, 8}, Place{0, 0x15, 2},
          Place{0, 0x4000, 4}, Place{0, 0xfffffffe, 2}, Place{0, 0, 0xffffffff}}) {
        point_window_at(bar, offset, length);
        os.write_config(window_data(), 0x03030303, 4);
        EXPECT_EQ(os.read_config(window_data(), 4), 0x03030303U) << "only memory";
        EXPECT_EQ(driver_.status(), 0U);
    }
}

TEST_F(PciTransportTest, AMachineResetVoidsAnActivationOnItsWay) {
    ASSERT_TRUE(driver_.negotiate());
    driver_.set_status(kReadyStatus);

    driver_.bus().reset();
    machine_.run();

    EXPECT_FALSE(device_.is_active);
    driver_.os().enable_msix(FakePciDriver::kFirstData);
    EXPECT_EQ(driver_.status(), 0U);
    driver_.start();
    EXPECT_TRUE(device_.is_active);
}

TEST_F(PciTransportTest, AMaskedVectorDeliversItsInterruptLater) {
    driver_.start();
    driver_.os().write_msix_entry(1, pci::msix::VectorControl, pci::msix::MASKED);
    device_.active.link->interrupt(queue_bit(1));
    EXPECT_THAT(driver_.interrupts().take_delivered(), IsEmpty());
    EXPECT_TRUE(driver_.os().is_pending(1));

    driver_.os().write_msix_entry(1, pci::msix::VectorControl, 0);
    EXPECT_THAT(driver_.interrupts().take_delivered(), ElementsAre(message(1)));
}

TEST_F(PciTransportTest, AResetOnAVcpusThreadReturnsOnlyWhenTheDeviceIsQuiet) {
    driver_.start();
    std::atomic<bool> done = false;
    std::atomic<bool> was_active_after_reset = true;
    std::thread vcpu([&] {
        driver_.set_status(0);
        was_active_after_reset = device_.is_active;
        done = true;
    });

    EXPECT_TRUE(machine_.run_until([&] { return done.load(); }));
    vcpu.join();
    EXPECT_FALSE(was_active_after_reset);
}

TEST_F(PciTransportTest, StoppingReleasesAWaitingVcpu) {
    driver_.start();
    std::thread vcpu([&] { driver_.set_status(0); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));

    driver_.transport().stop();
    vcpu.join();

    EXPECT_FALSE(device_.is_active);
    machine_.run();
}

}  // namespace
}  // namespace alcove::virtio

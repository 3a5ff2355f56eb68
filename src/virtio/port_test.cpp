// SPDX-License-Identifier: Apache-2.0
#include "virtio/port.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "virtio/driver_fake.hpp"

namespace alcove::virtio {
namespace {

using port::Control;
using testing::ElementsAre;
using testing::IsEmpty;

class PortTest : public testing::Test {
  protected:
    void start(uint64_t features = FakeDriver::kUsualFeatures | port::feature::MULTIPORT) {
        driver_.start(features);
        machine_.run();
    }
    void give_buffers(uint16_t queue, int count, uint32_t size = 128) {
        for (int i = 0; i < count; ++i)
            driver_.queue(queue).add({}, {size});
        driver_.notify(queue);
        machine_.run();
    }
    void say(uint16_t queue, ByteView bytes) {
        driver_.queue(queue).add(bytes, {});
        driver_.notify(queue);
        machine_.run();
        while (driver_.queue(queue).take_used())
            continue;
    }
    void control(uint16_t event, uint16_t value, uint32_t id = 0) {
        const Control message{.id = id, .event = event, .value = value};
        say(port::kControlTransmitQueue, object_bytes(message));
    }
    // As Linux does it, with the port open in the end.
    void open() {
        start();
        give_buffers(port::kControlReceiveQueue, 8);
        give_buffers(port::kReceiveQueue, 8);
        control(port::DEVICE_READY, 1, ~0U);
        control(port::PORT_READY, 1);
        control(port::PORT_OPEN, 1);
        while (driver_.queue(port::kControlReceiveQueue).take_used())
            continue;
    }
    // What came in this queue: each buffer a text, control messages as "event=value" and what follows.
    std::vector<std::string> received(uint16_t index) {
        std::vector<std::string> all;
        while (const auto used = driver_.queue(index).take_used()) {
            const Bytes bytes = driver_.queue(index).written(*used);
            if (index == port::kReceiveQueue) {
                all.emplace_back(as_text(bytes));
                continue;
            }
            const auto head = read_object<Control>(bytes).value();
            all.push_back(std::to_string(head.event) + "=" + std::to_string(head.value) +
                          std::string(as_text(ByteView(bytes).subspan(sizeof head))));
        }
        return all;
    }
    static Bytes text(std::string_view text) { return to_bytes(as_byte_view(text)); }

    FakeMachine machine_;
    std::vector<bool> opened_;
    std::string came_;
    PortDevice device_{machine_.loop(),
                       "test.port",
                       {.opened = [this](bool is_open) { opened_.push_back(is_open); },
                        .came = [this](ByteView bytes) { came_ += as_text(bytes); }}};
    FakeDriver driver_{machine_, device_};
};

TEST_F(PortTest, HasOnePortWithItsName) {
    EXPECT_EQ(device_.config().at(4), 1);
    start();
    give_buffers(port::kControlReceiveQueue, 4);

    control(port::DEVICE_READY, 1, ~0U);
    EXPECT_THAT(received(port::kControlReceiveQueue), ElementsAre("1=1"));
    control(port::PORT_READY, 1);
    EXPECT_THAT(received(port::kControlReceiveQueue), ElementsAre("7=1test.port", "6=1"));
    EXPECT_THAT(opened_, IsEmpty());
}

TEST_F(PortTest, AnnouncementsWaitForBuffersAndAreMadeOnce) {
    start();
    for (int i = 0; i < 100; ++i)
        control(port::DEVICE_READY, 1, ~0U);
    control(port::PORT_READY, 1);

    give_buffers(port::kControlReceiveQueue, 2);
    EXPECT_THAT(received(port::kControlReceiveQueue), ElementsAre("1=1", "7=1test.port"));
    give_buffers(port::kControlReceiveQueue, 2);
    EXPECT_THAT(received(port::kControlReceiveQueue), ElementsAre("6=1"));
}

TEST_F(PortTest, AProgramHearsTheLatestMessageAndIsHeard) {
    open();
    EXPECT_THAT(opened_, ElementsAre(true));
    device_.tell(text("one"));
    machine_.run();
    EXPECT_THAT(received(port::kReceiveQueue), ElementsAre("one"));

    say(port::kTransmitQueue, as_byte_view("hello, "));
    say(port::kTransmitQueue, as_byte_view("host"));
    EXPECT_EQ(came_, "hello, host");

    control(port::PORT_OPEN, 0);
    EXPECT_THAT(opened_, ElementsAre(true, false));
    say(port::kTransmitQueue, as_byte_view("of nobody"));
    EXPECT_EQ(came_, "hello, host");
}

TEST_F(PortTest, AMessageThatWasNotTakenIsReplaced) {
    start();
    control(port::PORT_OPEN, 1);
    for (const char* message : {"one", "two", "three"})
        device_.tell(text(message));

    give_buffers(port::kReceiveQueue, 4);

    EXPECT_THAT(received(port::kReceiveQueue), ElementsAre("three"));
}

TEST_F(PortTest, WhoOpensItAnewDoesNotGetWhatWasForAnother) {
    start();
    device_.tell(text("nobody"));
    control(port::PORT_OPEN, 1);
    device_.tell(text("the first"));
    control(port::PORT_OPEN, 0);
    control(port::PORT_OPEN, 1);

    give_buffers(port::kReceiveQueue, 4);

    EXPECT_THAT(received(port::kReceiveQueue), IsEmpty());
}

TEST_F(PortTest, AHandlerMayAnswerAtOnce) {
    FakeMachine machine;
    std::unique_ptr<PortDevice> device;
    device = std::make_unique<PortDevice>(
        machine.loop(), "echo",
        PortDevice::Handlers{.opened = [](bool) {},
                             .came = [&](ByteView bytes) { device->tell(to_bytes(bytes)); }});
    FakeDriver driver(machine, *device);
    driver.start(FakeDriver::kUsualFeatures | port::feature::MULTIPORT);
    driver.queue(port::kReceiveQueue).add({}, {64});
    const Control control{.id = 0, .event = port::PORT_OPEN, .value = 1};
    driver.queue(port::kControlTransmitQueue).add(object_bytes(control), {});
    driver.notify(port::kControlTransmitQueue);
    driver.queue(port::kTransmitQueue).add(as_byte_view("again"), {});
    driver.notify(port::kTransmitQueue);
    machine.run();

    const auto used = driver.queue(port::kReceiveQueue).take_used();
    ASSERT_TRUE(used);
    EXPECT_EQ(as_text(driver.queue(port::kReceiveQueue).written(*used)), "again");
}

TEST_F(PortTest, WhatIsNoControlMessageOrOfAnotherPortIsNothing) {
    open();
    say(port::kControlTransmitQueue, as_byte_view("short"));
    control(port::PORT_OPEN, 0, 1);
    control(port::PORT_READY, 1, 7);
    control(4, 1);
    control(99, 1);

    EXPECT_THAT(opened_, ElementsAre(true));
    EXPECT_THAT(received(port::kControlReceiveQueue), IsEmpty());
}

TEST_F(PortTest, OfALargeBufferTheBeginningIsTaken) {
    open();
    say(port::kTransmitQueue, Bytes(3 * PortDevice::kMaxBytes, 'x'));
    EXPECT_EQ(came_.size(), PortDevice::kMaxBytes);
}

TEST_F(PortTest, MoreThanATurnIsWorkedOffAllTheSame) {
    open();
    auto& queue = driver_.queue(port::kTransmitQueue);
    size_t sent = 0;
    for (int round = 0; round < 4; ++round) {
        while (queue.add(as_byte_view("."), {}))
            ++sent;
        driver_.notify(port::kTransmitQueue);
        ASSERT_TRUE(machine_.run_until([&] { return came_.size() == sent; }));
        while (queue.take_used())
            continue;
    }
    EXPECT_GT(sent, PortDevice::kTurn);
}

TEST_F(PortTest, AMessageIsCutToTheBufferThatThereIs) {
    open();
    while (driver_.queue(port::kReceiveQueue).take_used())
        continue;
    driver_.reset();
    start();
    driver_.queue(port::kReceiveQueue).add({}, {4});
    control(port::PORT_OPEN, 1);
    device_.tell(text("too long"));
    machine_.run();
    EXPECT_THAT(received(port::kReceiveQueue), ElementsAre("too "));
}

TEST_F(PortTest, AResetClosesIt) {
    open();
    driver_.reset();
    EXPECT_THAT(opened_, ElementsAre(true, false));
    EXPECT_FALSE(device_.is_open());
    device_.tell(text("nobody"));
}

TEST_F(PortTest, ADriverThatKnowsNoPortsHasNone) {
    start(FakeDriver::kUsualFeatures);
    give_buffers(port::kReceiveQueue, 1);
    control(port::PORT_OPEN, 1);
    say(port::kTransmitQueue, as_byte_view("console"));
    EXPECT_THAT(opened_, IsEmpty());
    EXPECT_EQ(came_, "");
}

TEST_F(PortTest, ABrokenRingIsReportedAndTheDeviceStops) {
    open();
    driver_.queue(port::kTransmitQueue).set_available_index(5000);
    driver_.notify(port::kTransmitQueue);
    machine_.run();
    EXPECT_NE(driver_.read(mmio::Status) & status::DEVICE_NEEDS_RESET, 0U);
    device_.tell(text("too late"));
    machine_.run();
    EXPECT_THAT(received(port::kReceiveQueue), IsEmpty());
}

}  // namespace
}  // namespace alcove::virtio

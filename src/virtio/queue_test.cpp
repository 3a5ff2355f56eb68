// SPDX-License-Identifier: Apache-2.0
#include "virtio/queue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "virtio/driver_fake.hpp"

namespace alcove::virtio {
namespace {

using memory::GuestAddress;

constexpr uint64_t kAll = FakeDriver::kUsualFeatures;

class QueueTest : public testing::Test {
  protected:
    explicit QueueTest(uint16_t size = 8, uint64_t features = kAll)
        : driver_(machine_, size, features),
          queue_(Queue::create(machine_.memory(), driver_.layout(), features).value()) {}

    // A descriptor of one readable page, as a base for malformed ones.
    Descriptor readable(uint16_t flags = 0, uint16_t next = 0) {
        return {.addr = buffer_.value(), .len = 16, .flags = flags, .next = next};
    }
    GuestAddress indirect_table(const std::vector<Descriptor>& entries) {
        const auto table = machine_.allocate(entries.size() * sizeof(Descriptor));
        for (size_t i = 0; i < entries.size(); ++i)
            machine_.memory()->write(GuestAddress(table.value() + 16 * i), entries[i]).value();
        return table;
    }
    // What popping one chain that begins at descriptor 0 says.
    Result<bool> pop_head_0() {
        driver_.make_available(0);
        return queue_.pop(chain_);
    }
    std::string error_of(const Result<bool>& result) {
        return result ? "no error" : result.error().to_string();
    }

    FakeMachine machine_;
    GuestAddress buffer_ = machine_.allocate(4096);
    FakeQueue driver_;
    Queue queue_;
    Chain chain_;
};

class QueueWithoutFeaturesTest : public QueueTest {
  protected:
    QueueWithoutFeaturesTest() : QueueTest(8, feature::VERSION_1) {}
};

TEST_F(QueueTest, AChainGivesItsPiecesInOrder) {
    driver_.add(as_byte_view("request"), {10, 20});

    ASSERT_TRUE(queue_.pop(chain_).value());

    Bytes text(7);
    copy_from(chain_.readable, 0, text);
    EXPECT_EQ(as_text(text), "request");
    EXPECT_EQ(chain_.readable_bytes, 7U);
    ASSERT_EQ(chain_.writable.size(), 2U);
    EXPECT_EQ(chain_.writable_bytes, 30U);
    EXPECT_EQ(chain_.descriptors, 3U);
    EXPECT_FALSE(queue_.pop(chain_).value());
}

TEST_F(QueueTest, AnIndirectChainGivesItsPieces) {
    driver_.add_indirect({{buffer_, 8, false}, {GuestAddress(buffer_.value() + 8), 4, true}});

    ASSERT_TRUE(queue_.pop(chain_).value());

    EXPECT_EQ(chain_.readable_bytes, 8U);
    EXPECT_EQ(chain_.writable_bytes, 4U);
    EXPECT_EQ(chain_.descriptors, 1U);
}

TEST_F(QueueTest, DirectDescriptorsMayEndInAnIndirectOne) {
    const auto table = indirect_table({readable()});
    driver_.write_descriptor(0, readable(descriptor_flag::NEXT, 1));
    driver_.write_descriptor(
        1, {.addr = table.value(), .len = 16, .flags = descriptor_flag::INDIRECT, .next = 0});

    ASSERT_TRUE(pop_head_0().value());

    EXPECT_EQ(chain_.readable_bytes, 32U);
}

TEST_F(QueueTest, UsedChainsComeBackWithTheirLength) {
    const auto head = driver_.add({}, {64}).value();
    ASSERT_TRUE(queue_.pop(chain_).value());
    copy_to(*machine_.memory(), chain_.writable, 0, as_byte_view("answer"));

    ASSERT_TRUE(queue_.push_used(chain_.head, 6));
    EXPECT_FALSE(driver_.take_used()) << "not published yet";
    ASSERT_TRUE(queue_.publish());

    const auto used = driver_.take_used();
    ASSERT_TRUE(used);
    EXPECT_EQ(used->head, head);
    EXPECT_EQ(as_text(driver_.written(*used)), "answer");
}

TEST_F(QueueTest, ManyRoundsWrapTheIndices) {
    const auto piece = FakeQueue::Piece{buffer_, 16, true};
    for (int round = 0; round < 70'000; ++round) {
        ASSERT_TRUE(driver_.add(std::vector{piece}));
        ASSERT_TRUE(queue_.pop(chain_).value());
        ASSERT_TRUE(queue_.push_used(chain_.head, 1));
        ASSERT_TRUE(queue_.publish());
        ASSERT_TRUE(driver_.take_used());
    }
    EXPECT_EQ(queue_.in_flight(), 0);
}

TEST_F(QueueTest, ChainsPutBackAreTakenAgainInOrder) {
    const auto first = driver_.add({}, {1}).value();
    const auto second = driver_.add({}, {1}).value();
    ASSERT_TRUE(queue_.pop(chain_).value());
    ASSERT_TRUE(queue_.pop(chain_).value());

    queue_.unpop(2);

    ASSERT_TRUE(queue_.pop(chain_).value());
    EXPECT_EQ(chain_.head, first);
    ASSERT_TRUE(queue_.pop(chain_).value());
    EXPECT_EQ(chain_.head, second);
    EXPECT_EQ(queue_.in_flight(), 2);
}

TEST_F(QueueTest, ADisabledQueueIsAlwaysEmpty) {
    auto queue = Queue::disabled();

    EXPECT_FALSE(queue.pop(chain_).value());
    EXPECT_FALSE(queue.enable_notifications().value());
    EXPECT_FALSE(queue.publish_and_check().value());
}

TEST_F(QueueTest, ConfigurationsOutsideTheRulesAreRefused) {
    const auto good = driver_.layout();
    std::vector<QueueLayout> layouts(9, good);
    layouts[0].size = 0;
    layouts[1].size = 7;
    layouts[2].size = 65535;
    layouts[3].descriptor_table = GuestAddress(good.descriptor_table.value() + 8);
    layouts[4].available_ring = GuestAddress(good.available_ring.value() + 1);
    layouts[5].used_ring = GuestAddress(good.used_ring.value() + 2);
    layouts[6].descriptor_table = GuestAddress(0);
    layouts[7].used_ring = GuestAddress(~uint64_t{0} - 3);
    // The last two bytes of the ring lie behind the end of RAM.
    layouts[8].available_ring = GuestAddress(FakeMachine::kMemoryBase + machine_.memory()->total_size() -
                                             ring::available_bytes(8) + 2);

    ASSERT_TRUE(Queue::create(machine_.memory(), good, kAll));
    for (size_t i = 0; i < layouts.size(); ++i)
        EXPECT_FALSE(Queue::create(machine_.memory(), layouts[i], kAll)) << i;
}

TEST_F(QueueTest, AnAvailableIndexThatJumpsBreaksTheQueue) {
    driver_.set_available_index(9);

    const auto result = queue_.pop(chain_);

    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::InvalidMessage);
    EXPECT_FALSE(queue_.enable_notifications());
}

TEST_F(QueueTest, AnAvailableIndexThatGoesBackBreaksTheQueue) {
    driver_.add({}, {1});
    ASSERT_TRUE(queue_.pop(chain_).value());
    driver_.set_available_index(0);

    EXPECT_FALSE(queue_.pop(chain_));
}

TEST_F(QueueTest, MoreChainsThanEntriesBreakTheQueue) {
    driver_.write_descriptor(0, readable());
    for (int i = 0; i < 8; ++i)
        ASSERT_TRUE(pop_head_0().value());

    EXPECT_THAT(error_of(pop_head_0()), testing::HasSubstr("more chains"));
}

TEST_F(QueueTest, DescriptorChainLoopIsRejected) {
    driver_.write_descriptor(0, readable(descriptor_flag::NEXT, 1));
    driver_.write_descriptor(1, readable(descriptor_flag::NEXT, 0));

    EXPECT_THAT(error_of(pop_head_0()), testing::HasSubstr("longer than the queue"));
}

TEST_F(QueueTest, DescriptorIndicesOutsideTheTableAreRejected) {
    driver_.write_descriptor(0, readable(descriptor_flag::NEXT, 8));

    EXPECT_THAT(error_of(pop_head_0()), testing::HasSubstr("outside the table"));
}

TEST_F(QueueTest, AHeadOutsideTheTableIsRejected) {
    driver_.make_available(8);

    EXPECT_THAT(error_of(queue_.pop(chain_)), testing::HasSubstr("outside the table"));
}

TEST_F(QueueTest, AReadablePieceBehindAWritableOneIsRejected) {
    driver_.write_descriptor(0, readable(descriptor_flag::NEXT | descriptor_flag::WRITE, 1));
    driver_.write_descriptor(1, readable());

    EXPECT_THAT(error_of(pop_head_0()), testing::HasSubstr("follows a writable"));
}

TEST_F(QueueTest, ABufferOutsideRamIsRejected) {
    auto descriptor = readable();
    descriptor.addr = ~uint64_t{0} - 7;
    driver_.write_descriptor(0, descriptor);

    const auto result = pop_head_0();

    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::GuestAddressInvalid);
}

TEST_F(QueueTest, AnEmptyPieceIsSkipped) {
    driver_.write_descriptor(0, {.addr = 0, .len = 0, .flags = descriptor_flag::NEXT, .next = 1});
    driver_.write_descriptor(1, readable());

    ASSERT_TRUE(pop_head_0().value());

    EXPECT_EQ(chain_.readable.size(), 1U);
}

TEST_F(QueueTest, AnIndirectDescriptorWithANextOneIsRejected) {
    driver_.write_descriptor(0, {.addr = buffer_.value(),
                                 .len = 16,
                                 .flags = descriptor_flag::INDIRECT | descriptor_flag::NEXT,
                                 .next = 1});

    EXPECT_THAT(error_of(pop_head_0()), testing::HasSubstr("has a next one"));
}

TEST_F(QueueTest, NestedIndirectTablesAreRejected) {
    const auto table =
        indirect_table({{.addr = buffer_.value(), .len = 16, .flags = descriptor_flag::INDIRECT, .next = 0}});
    driver_.write_descriptor(
        0, {.addr = table.value(), .len = 16, .flags = descriptor_flag::INDIRECT, .next = 0});

    EXPECT_THAT(error_of(pop_head_0()), testing::HasSubstr("names another"));
}

TEST_F(QueueTest, IndirectTablesOfOddLengthAreRejected) {
    for (const uint32_t length : {0U, 8U, 17U}) {
        driver_.write_descriptor(
            0, {.addr = buffer_.value(), .len = length, .flags = descriptor_flag::INDIRECT, .next = 0});
        driver_.set_available_index(0);
        EXPECT_THAT(error_of(pop_head_0()), testing::HasSubstr("multiple of 16")) << length;
    }
}

TEST_F(QueueTest, IndirectTablesThatAreTooLongAreRejected) {
    driver_.write_descriptor(0, {.addr = buffer_.value(),
                                 .len = 16 * (Queue::kMaxIndirectEntries + 1),
                                 .flags = descriptor_flag::INDIRECT,
                                 .next = 0});

    EXPECT_THAT(error_of(pop_head_0()), testing::HasSubstr("too long"));
}

TEST_F(QueueTest, IndirectTablesOutsideRamAreRejected) {
    driver_.write_descriptor(
        0, {.addr = ~uint64_t{0} - 15, .len = 32, .flags = descriptor_flag::INDIRECT, .next = 0});

    const auto result = pop_head_0();

    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::GuestAddressInvalid);
}

TEST_F(QueueTest, LoopsInsideAnIndirectTableAreRejected) {
    const auto table =
        indirect_table({readable(descriptor_flag::NEXT, 1), readable(descriptor_flag::NEXT, 0)});
    driver_.write_descriptor(
        0, {.addr = table.value(), .len = 32, .flags = descriptor_flag::INDIRECT, .next = 0});

    EXPECT_THAT(error_of(pop_head_0()), testing::HasSubstr("has a loop"));
}

TEST_F(QueueTest, IndicesOutsideAnIndirectTableAreRejected) {
    const auto table = indirect_table({readable(descriptor_flag::NEXT, 2), readable()});
    driver_.write_descriptor(
        0, {.addr = table.value(), .len = 32, .flags = descriptor_flag::INDIRECT, .next = 0});

    EXPECT_THAT(error_of(pop_head_0()), testing::HasSubstr("outside its indirect table"));
}

TEST_F(QueueTest, ChainsOver4GiBAreRejected) {
    const FakeQueue::Piece whole{GuestAddress(FakeMachine::kMemoryBase), 16 * 1024 * 1024, true};
    driver_.add_indirect(std::vector<FakeQueue::Piece>(256, whole));

    EXPECT_THAT(error_of(queue_.pop(chain_)), testing::HasSubstr("4 GiB"));
}

TEST_F(QueueWithoutFeaturesTest, IndirectDescriptorsHaveToBeNegotiated) {
    driver_.add_indirect({{buffer_, 8, false}});

    EXPECT_THAT(error_of(queue_.pop(chain_)), testing::HasSubstr("not negotiated"));
}

TEST_F(QueueWithoutFeaturesTest, FlagsSuppressInterruptsAndNotifications) {
    driver_.add({}, {1});
    driver_.add({}, {1});
    ASSERT_TRUE(queue_.disable_notifications());
    const auto flags = [&] {
        return machine_.memory()->load_acquire_u16(driver_.layout().used_ring).value();
    };
    EXPECT_EQ(flags(), ring::USED_F_NO_NOTIFY);
    ASSERT_TRUE(queue_.pop(chain_).value());
    ASSERT_TRUE(queue_.push_used(chain_.head, 0));
    EXPECT_TRUE(queue_.publish_and_check().value());
    EXPECT_FALSE(queue_.publish_and_check().value()) << "nothing new";

    machine_.memory()->store_release_u16(driver_.layout().available_ring, ring::AVAIL_F_NO_INTERRUPT).value();
    ASSERT_TRUE(queue_.pop(chain_).value());
    ASSERT_TRUE(queue_.push_used(chain_.head, 0));
    EXPECT_FALSE(queue_.publish_and_check().value());

    EXPECT_FALSE(queue_.enable_notifications().value());
    EXPECT_EQ(flags(), 0);
}

TEST_F(QueueTest, TheEventIndexDelaysInterrupts) {
    const auto use_one = [&] {
        EXPECT_TRUE(queue_.pop(chain_).value());
        EXPECT_TRUE(queue_.push_used(chain_.head, 0));
        return queue_.publish_and_check().value();
    };
    for (int i = 0; i < 6; ++i)
        driver_.add({}, {1});

    driver_.want_interrupt(2);

    EXPECT_FALSE(use_one());
    EXPECT_FALSE(use_one());
    EXPECT_TRUE(use_one());
    EXPECT_FALSE(use_one()) << "passed already, and not asked for again";
    driver_.want_interrupt(4);
    EXPECT_TRUE(use_one());
}

TEST_F(QueueTest, ABatchThatPassesTheEventIndexInterruptsOnce) {
    for (int i = 0; i < 4; ++i)
        driver_.add({}, {1});
    driver_.want_interrupt(1);
    for (int i = 0; i < 4; ++i) {
        ASSERT_TRUE(queue_.pop(chain_).value());
        ASSERT_TRUE(queue_.push_used(chain_.head, 0));
    }

    ASSERT_TRUE(queue_.publish());
    EXPECT_EQ(queue_.unsignalled(), 4);
    EXPECT_TRUE(queue_.take_interrupt().value());
    EXPECT_EQ(queue_.unsignalled(), 0);
    EXPECT_FALSE(queue_.take_interrupt().value());
}

TEST_F(QueueTest, EnablingNotificationsFindsWhatCameMeanwhile) {
    ASSERT_FALSE(queue_.pop(chain_).value());
    driver_.add({}, {1});

    EXPECT_TRUE(queue_.enable_notifications().value());
    ASSERT_TRUE(queue_.pop(chain_).value());
    EXPECT_FALSE(queue_.enable_notifications().value());

    driver_.wants_notification();
    driver_.add({}, {1});
    EXPECT_TRUE(driver_.wants_notification()) << "we asked for the next chain";
    ASSERT_TRUE(queue_.pop(chain_).value());
    driver_.add({}, {1});
    EXPECT_FALSE(driver_.wants_notification()) << "we did not ask again";
}

TEST_F(QueueTest, NotificationsMayBeAskedForAhead) {
    ASSERT_FALSE(queue_.enable_notifications(2).value());
    (void)driver_.wants_notification();
    driver_.add({}, {1});
    EXPECT_FALSE(driver_.wants_notification());
    driver_.add({}, {1});
    EXPECT_FALSE(driver_.wants_notification());
    EXPECT_FALSE(queue_.enable_notifications(2).value()) << "two were to come silently";
    driver_.add({}, {1});
    EXPECT_TRUE(driver_.wants_notification());
    EXPECT_TRUE(queue_.enable_notifications(2).value());
}

}  // namespace
}  // namespace alcove::virtio

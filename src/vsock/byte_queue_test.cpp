// SPDX-License-Identifier: Apache-2.0
#include "vsock/byte_queue.hpp"

#include <gtest/gtest.h>

namespace alcove::vsock {
namespace {

using memory::GuestAddress;
using memory::GuestMemory;

class ByteQueueTest : public testing::Test {
  protected:
    void append(std::string_view text) {
        memory_->write_bytes(GuestAddress(0), as_byte_view(text)).value();
        const auto slice = memory_->slice(GuestAddress(0), text.size()).value();
        queue_.append({&slice, 1});
    }
    void append_many(size_t bytes) {
        const auto slice = memory_->slice(GuestAddress(0), bytes).value();
        queue_.append({&slice, 1});
    }

    std::shared_ptr<GuestMemory> memory_ =
        GuestMemory::create_anonymous({.base = GuestAddress(0), .size = 1024 * 1024}).value();
    ByteQueue queue_;
};

TEST_F(ByteQueueTest, BytesComeOutInTheirOrder) {
    append("hello ");
    append("world");

    EXPECT_EQ(as_text(queue_.front()), "hello world");
    queue_.drop(4);
    EXPECT_EQ(as_text(queue_.front()), "o world");
    EXPECT_EQ(queue_.size(), 7U);
    append("!");
    EXPECT_EQ(as_text(queue_.front()), "o world!");
    queue_.drop(8);
    EXPECT_TRUE(queue_.is_empty());
    EXPECT_EQ(queue_.front().size(), 0U);
}

TEST_F(ByteQueueTest, MemoryFollowsTheContent) {
    append_many(200'000);
    EXPECT_EQ(queue_.size(), 200'000U);
    EXPECT_LT(queue_.capacity(), 202'000U);

    while (!queue_.is_empty())
        queue_.drop(queue_.front().size());
    EXPECT_EQ(queue_.capacity(), 0U);
}

TEST_F(ByteQueueTest, SmallArrivalsShareMemory) {
    for (int i = 0; i < 10'000; ++i)
        append("x");

    EXPECT_EQ(queue_.size(), 10'000U);
    EXPECT_LT(queue_.capacity(), 11'100U);
}

TEST_F(ByteQueueTest, ClearingGivesEverythingBack) {
    append_many(100'000);

    queue_.clear();

    EXPECT_TRUE(queue_.is_empty());
    EXPECT_EQ(queue_.capacity(), 0U);
}

}  // namespace
}  // namespace alcove::vsock

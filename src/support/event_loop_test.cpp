// SPDX-License-Identifier: Apache-2.0
#include "support/event_loop.hpp"

#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove {
namespace {

TEST(EventLoop, CallsBackForReadableDescriptors) {
    auto loop = EventLoop::create().value();
    auto pipe = sys::pipe().value();
    int called = 0;
    (void)loop->watch(pipe.first, EPOLLIN, [&](uint32_t) {
        uint8_t byte = 0;
        ASSERT_TRUE(sys::read_exact(pipe.first, {&byte, 1}));
        ++called;
    });
    ASSERT_TRUE(sys::write_all(pipe.second, as_byte_view("x")));

    ASSERT_TRUE(loop->run_once(std::chrono::milliseconds(1000)));
    ASSERT_TRUE(loop->run_once(std::chrono::milliseconds(0)));

    EXPECT_EQ(called, 1);
}

TEST(EventLoop, ACallbackMayRemoveItsOwnAndOtherWatches) {
    auto loop = EventLoop::create().value();
    auto first = EventFd::create().value();
    auto second = EventFd::create().value();
    first.signal();
    second.signal();
    int called = 0;
    EventLoop::WatchId a = 0;
    EventLoop::WatchId b = 0;
    const auto callback = [&](uint32_t) {
        ++called;
        loop->unwatch(a);
        loop->unwatch(b);
    };
    a = loop->watch(first.fd(), EPOLLIN, callback).value();
    b = loop->watch(second.fd(), EPOLLIN, callback).value();

    ASSERT_TRUE(loop->run_once(std::chrono::milliseconds(1000)));
    ASSERT_TRUE(loop->run_once(std::chrono::milliseconds(0)));

    EXPECT_EQ(called, 1);
}

TEST(EventLoop, TimersRunInOrderAndCancelledOnesDoNot) {
    auto loop = EventLoop::create().value();
    std::vector<int> order;
    loop->after(std::chrono::milliseconds(20), [&] {
        order.push_back(2);
        loop->stop();
    });
    loop->after(std::chrono::milliseconds(5), [&] { order.push_back(1); });
    const auto cancelled = loop->after(std::chrono::milliseconds(10), [&] { order.push_back(3); });
    loop->cancel(cancelled);

    ASSERT_TRUE(loop->run());

    EXPECT_EQ(order, (std::vector{1, 2}));
}

TEST(EventLoop, PostsFromAnotherThreadRunOnTheLoop) {
    auto loop = EventLoop::create().value();
    std::thread::id ran_on;
    std::thread other([&] {
        loop->post([&] { ran_on = std::this_thread::get_id(); });
        loop->stop();
    });

    ASSERT_TRUE(loop->run());
    other.join();

    EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(EventLoop, TheLoopsThreadIsTheOneThatRanItLast) {
    auto loop = EventLoop::create().value();
    EXPECT_TRUE(loop->is_loop_thread()) << "whoever made it";
    bool was_before = true;
    bool was_after = false;
    std::thread([&] {
        was_before = loop->is_loop_thread();
        ASSERT_TRUE(loop->run_once(std::chrono::milliseconds(0)));
        was_after = loop->is_loop_thread();
    }).join();

    EXPECT_FALSE(was_before);
    EXPECT_TRUE(was_after);
    EXPECT_FALSE(loop->is_loop_thread());
}

}  // namespace
}  // namespace alcove

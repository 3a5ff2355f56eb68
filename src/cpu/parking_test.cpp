// SPDX-License-Identifier: Apache-2.0
#include "cpu/parking.hpp"

#include <atomic>
#include <condition_variable>
#include <future>
#include <thread>

#include <gtest/gtest.h>

namespace alcove::cpu {
namespace {

using namespace std::chrono_literals;

// A vCPU's thread whose guest is a wait for the word to leave.
class FakeVcpu {
  public:
    FakeVcpu() : thread_([this] { run(); }) {}
    ~FakeVcpu() {
        stopping_ = true;
        parking.stop();
        thread_.join();
    }
    FakeVcpu(const FakeVcpu&) = delete;
    FakeVcpu& operator=(const FakeVcpu&) = delete;

    // True when the vCPU has come to stand.
    bool park() {
        auto parked = std::make_shared<std::promise<void>>();
        auto future = parked->get_future();
        parking.request([parked] { parked->set_value(); });
        return future.wait_for(10s) == std::future_status::ready;
    }
    bool is_in_guest() const { return in_guest_; }

    Parking parking{[this](Parking::Guest direction) {
        const std::lock_guard lock(mutex_);
        leave_ = direction == Parking::Guest::Leave;
        changed_.notify_all();
    }};

  private:
    void run() {
        while (!stopping_) {
            {
                std::unique_lock lock(mutex_);
                in_guest_ = true;
                changed_.wait(lock, [this] { return leave_; });
                in_guest_ = false;
            }
            parking.wait();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    bool leave_ = false;
    std::atomic<bool> in_guest_ = false;
    std::atomic<bool> stopping_ = false;
    std::thread thread_;
};

TEST(Parking, ARequestTakesTheVcpuOutUntilItIsReleased) {
    FakeVcpu vcpu;

    ASSERT_TRUE(vcpu.park());
    EXPECT_FALSE(vcpu.is_in_guest());
    std::this_thread::sleep_for(5ms);
    EXPECT_FALSE(vcpu.is_in_guest());

    vcpu.parking.release();
    while (!vcpu.is_in_guest())
        std::this_thread::yield();
}

TEST(Parking, ARequestRightAfterAReleaseIsSeen) {
    FakeVcpu vcpu;
    ASSERT_TRUE(vcpu.park());
    for (int i = 0; i < 1000; ++i) {
        vcpu.parking.release();
        ASSERT_TRUE(vcpu.park()) << i;
        EXPECT_FALSE(vcpu.is_in_guest());
    }
    vcpu.parking.release();
}

TEST(Parking, AStopEndsTheWait) {
    FakeVcpu vcpu;

    EXPECT_TRUE(vcpu.park());
    // The destructor joins.
}

TEST(Parking, AStoppedVcpuDoesNotStandAgain) {
    bool called = false;
    auto last = Parking::Guest::Enter;
    Parking parking([&](Parking::Guest direction) { last = direction; });
    parking.stop();
    parking.request([&] { called = true; });

    parking.wait();
    parking.release();

    EXPECT_FALSE(called);
    EXPECT_EQ(last, Parking::Guest::Leave);
}

}  // namespace
}  // namespace alcove::cpu

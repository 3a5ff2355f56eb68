// SPDX-License-Identifier: Apache-2.0
//
// For tests: a supervisor with its database, and a host that plays along. restart() is a daemon that was
// killed and comes back.
#pragma once

#include <gtest/gtest.h>

#include "daemon/fake_host_test.hpp"
#include "daemon/supervisor.hpp"
#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::daemon {

using std::chrono::milliseconds;

inline host::Capacity small_capacity() {
    host::Capacity capacity;
    const auto core = [](uint32_t cpu) {
        return host::Core{.id = {cpu}, .node = {0}, .package = 0, .cpus = {{cpu}, {cpu + 1}}};
    };
    capacity.reserve = {core(0)};
    capacity.nodes = {
        {.node = {0}, .lendable = {core(2), core(4)}, .small_bytes = 1_GiB, .huge_bytes = 64_MiB}};
    return capacity;
}

class SupervisorTest : public testing::Test {
  protected:
    SupervisorTest() : host_(directory_.path()) {
        config_.run_directory = directory_.path();
        config_.retry_after = milliseconds(20);
        config_.force_margin = milliseconds(100);
        config_.balloon_every = milliseconds(10);
        start();
    }
    ~SupervisorTest() override { stop_daemon(); }

    void stop_daemon() {
        supervisor_.reset();
        ledger_.reset();
        store_.reset();
        loop_.reset();
    }
    void start() {
        loop_ = EventLoop::create().value();
        store_ = std::make_unique<Store>(Store::open(directory_.path() + "/db").value());
        ledger_ = std::make_unique<host::Ledger>(host::Ledger::create(capacity_).value());
        supervisor_ = std::make_unique<Supervisor>(*loop_, *store_, *ledger_, changes_, config_);
        supervisor_->start().value();
        until([this] { return supervisor_->broker_trouble().empty(); });
    }
    void restart() {
        stop_daemon();
        start();
    }

    template <typename Condition>
    bool until(Condition condition) {
        const auto deadline = EventLoop::Clock::now() + std::chrono::seconds(10);
        while (!condition()) {
            if (EventLoop::Clock::now() > deadline) return false;
            loop_->run_once(milliseconds(5)).value();
        }
        return true;
    }
    bool until_state(const std::string& id, VmState state) {
        return until([&] { return supervisor_->find(id)->state == state; });
    }
    void run_for(milliseconds time) {
        const auto end = EventLoop::Clock::now() + time;
        until([&] { return EventLoop::Clock::now() > end; });
    }

    LaunchRequest request(const std::string& name = {}, uint32_t vcpus = 2) {
        LaunchRequest launch;
        launch.name = name;
        launch.image = sys::memfd("image").value();
        sys::write_all(launch.image, as_byte_view("an image")).value();
        launch.image_bytes = 8;
        launch.vcpus = vcpus;
        launch.memory_bytes = 64_MiB;
        return launch;
    }
    std::string launch_ready(bool debug = false) {
        auto launch = request();
        launch.debug = debug;
        const auto id = supervisor_->launch(std::move(launch)).value().id;
        EXPECT_TRUE(until([&] { return supervisor_->find(id)->ready; }));
        return id;
    }

    TestDirectory directory_;
    FakeHost host_;
    Changes changes_;
    Supervisor::Config config_;
    host::Capacity capacity_ = small_capacity();
    std::unique_ptr<EventLoop> loop_;
    std::unique_ptr<Store> store_;
    std::unique_ptr<host::Ledger> ledger_;
    std::unique_ptr<Supervisor> supervisor_;
};

}  // namespace alcove::daemon

// SPDX-License-Identifier: Apache-2.0
//
// For tests of commands that ask alcoved: a daemon of the test's own, with a broker and VMs that are played.
#pragma once

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <unistd.h>

#include <gtest/gtest.h>

#include "cli/captured_test.hpp"
#include "daemon/daemon.hpp"
#include "daemon/fake_host_test.hpp"

namespace alcove::cli {

class DaemonCommandsTest : public testing::Test {
  protected:
    void SetUp() override {
        if (host::read_topology()->cores.size() < 2)
            GTEST_SKIP() << "this host has a single core, and that is never lent";
        config_.run_directory = run_;
        config_.view_directory = directory_.path() + "/view";
        config_.state_directory = directory_.path() + "/state";
        config_.supervisor.retry_after = std::chrono::milliseconds(20);
        config_.make_spill_file = [](uint64_t) { return sys::memfd("spill"); };
        daemon_ = daemon::Daemon::start(config_).value();
        while (!alcove({"host", "status", "--json"}).json()["resources"]["broker"]["connected"].get<bool>())
            ::usleep(10'000);
    }
    std::string path(const std::string& name) { return directory_.path() + "/" + name; }
    Captured alcove(const std::vector<std::string>& arguments) {
        ::setenv("ALCOVE_SOCKET", (run_ + "/alcoved.sock").c_str(), 1);
        auto captured = call(arguments);
        ::unsetenv("ALCOVE_SOCKET");
        return captured;
    }

    daemon::TestDirectory directory_;
    std::string run_ = directory_.path() + "/run";
    daemon::FakeHost host_{run_};
    daemon::DaemonConfig config_;
    std::unique_ptr<daemon::Daemon> daemon_;
};

}  // namespace alcove::cli

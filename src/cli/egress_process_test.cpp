// SPDX-License-Identifier: Apache-2.0
//
// With shell scripts in the place of alcove-egress.
#include "cli/egress_process.hpp"

#include <cstdlib>
#include <filesystem>

#include <poll.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::cli {
namespace {

class EgressProcessTest : public testing::Test {
  protected:
    EgressProcessTest() {
        std::filesystem::create_directory(folder_);
        ::setenv("ALCOVE_EGRESS", (folder_ + "/program").c_str(), 1);
    }
    ~EgressProcessTest() override {
        ::unsetenv("ALCOVE_EGRESS");
        std::filesystem::remove_all(folder_);
    }
    void program(const std::string& script) {
        sys::replace_file(folder_ + "/program", as_byte_view("#!/bin/sh\n" + script), 0700).value();
    }
    bool has_ended(const EgressProcess& process, int patience_ms) {
        pollfd waiting{.fd = process.output().get(), .events = POLLIN, .revents = 0};
        return ::poll(&waiting, 1, patience_ms) > 0;
    }

    std::string folder_ = testing::TempDir() + "egress-process." + std::to_string(::getpid());
};

TEST_F(EgressProcessTest, ServesWithItsRulesForAsLongAsItIsHeld) {
    program("echo \"$@\" > " + folder_ + "/arguments; echo serves; cat; echo over > " + folder_ + "/over");

    auto process = EgressProcess::start({"a.example:443", "10.0.0.0/8:80"}).value();
    const auto arguments = sys::read_file(folder_ + "/arguments", 4096).value();
    const std::string socket = process->socket_path();
    EXPECT_FALSE(has_ended(*process, 0));
    process.reset();

    EXPECT_EQ(as_text(arguments),
              "--with-input --socket " + socket + " --allow a.example:443 --allow 10.0.0.0/8:80\n");
    EXPECT_TRUE(std::filesystem::exists(folder_ + "/over"));
    EXPECT_FALSE(std::filesystem::exists(std::filesystem::path(socket).parent_path()));
}

TEST_F(EgressProcessTest, ItsEndIsSeen) {
    program("echo serves; exit 3");

    const auto process = EgressProcess::start({"a.example:443"}).value();

    EXPECT_TRUE(has_ended(*process, 10'000));
}

TEST_F(EgressProcessTest, OneThatDoesNotBeginIsAnError) {
    program("exit 1");

    EXPECT_EQ(EgressProcess::start({"a.example:443"}).error().code(), ErrorCode::Unsupported);
}

TEST_F(EgressProcessTest, AProgramThatIsNotThereIsNamed) {
    EXPECT_EQ(EgressProcess::start({"a.example:443"}).error().code(), ErrorCode::MissingDependency);
}

}  // namespace
}  // namespace alcove::cli

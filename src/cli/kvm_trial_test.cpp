// SPDX-License-Identifier: Apache-2.0
#include "cli/kvm_trial.hpp"

#include <filesystem>
#include <fstream>

#include <stdlib.h>

#include <gtest/gtest.h>

namespace alcove::cli {
namespace {

class KvmTrial : public testing::Test {
  protected:
    ~KvmTrial() override { std::filesystem::remove_all(folder_); }

    GuestTrialFunction that_finds(host::Answer ran) {
        return [this, ran] {
            ++trials_;
            return host::GuestTrial{.ran = ran,
                                    .failed_step = "bmi2",
                                    .reason = "because",
                                    .timed_loop = std::chrono::nanoseconds(5),
                                    .plain_exit = {}};
        };
    }

    static std::string make_folder() {
        std::string pattern = testing::TempDir() + "kvm-trial-XXXXXX";
        return ::mkdtemp(pattern.data());
    }

    const std::string folder_ = make_folder();
    const std::string file_ = folder_ + "/cache/kvm-trial.json";
    int trials_ = 0;
};

TEST_F(KvmTrial, IsMadeOnceAndRemembered) {
    remembered_trial(that_finds(host::Answer::No), file_);
    const auto again = remembered_trial(that_finds(host::Answer::Yes), file_);

    EXPECT_EQ(trials_, 1);
    EXPECT_EQ(again.ran, host::Answer::No);
    EXPECT_EQ(again.failed_step, "bmi2");
    EXPECT_EQ(again.reason, "because");
    EXPECT_EQ(again.timed_loop, std::chrono::nanoseconds(5));
    EXPECT_FALSE(again.plain_exit);
}

TEST_F(KvmTrial, ThatWasNotPossibleIsMadeAgain) {
    remembered_trial(that_finds(host::Answer::NotTried), file_);
    remembered_trial(that_finds(host::Answer::Yes), file_);

    EXPECT_EQ(trials_, 2);
}

TEST_F(KvmTrial, AskedForIsMadeAgain) {
    try_and_remember(that_finds(host::Answer::No), file_);
    try_and_remember(that_finds(host::Answer::Yes), file_);

    EXPECT_EQ(remembered_trial(that_finds(host::Answer::No), file_).ran, host::Answer::Yes);
}

TEST_F(KvmTrial, OfAnotherBootOrBrokenIsForgotten) {
    for (const char* content : {"", "{}", "[]",
                                R"({"format":2,"circumstances":"another","ran":false,)"
                                R"("failed_step":"","reason":""})"}) {
        std::filesystem::create_directories(folder_ + "/cache");
        std::ofstream(file_) << content;
        EXPECT_EQ(remembered_trial(that_finds(host::Answer::Yes), file_).ran, host::Answer::Yes);
    }
    EXPECT_EQ(trials_, 4);
}

TEST_F(KvmTrial, WithoutAPlaceToRememberStillWorks) {
    EXPECT_EQ(remembered_trial(that_finds(host::Answer::Yes), "").ran, host::Answer::Yes);
    EXPECT_EQ(remembered_trial(that_finds(host::Answer::Yes), "/proc/nowhere/x").ran, host::Answer::Yes);
}

}  // namespace
}  // namespace alcove::cli

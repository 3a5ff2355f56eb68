// SPDX-License-Identifier: Apache-2.0
//
// Recognising processes: alive, dead, a zombie, another one with the same number; starting them with exactly
// the descriptors they are given.
#include "embedded/process.hpp"

#include <csignal>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::embedded {
namespace {

using std::chrono::milliseconds;

pid_t start(std::vector<std::string> arguments) {
    SpawnOptions options;
    options.arguments = std::move(arguments);
    const auto pid = spawn(options);
    EXPECT_TRUE(pid.has_value());
    return *pid;
}

TEST(Process, AStatLineWithParenthesesInTheNameIsRead) {
    const std::string line = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 987654 1000 100";
    EXPECT_EQ(parse_start_time(line), 987654u);
}

TEST(Process, AZombiesOrMalformedStatLineHasNoStartTime) {
    EXPECT_FALSE(
        parse_start_time("42 (x) Z 1 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 987654 1000 100"));
    EXPECT_FALSE(parse_start_time(""));
    EXPECT_FALSE(parse_start_time("42 (x"));
    EXPECT_FALSE(parse_start_time("42 (x)"));
    EXPECT_FALSE(parse_start_time("42 (x) S 1 2 3"));
    EXPECT_FALSE(parse_start_time("42 (x) S 1 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 zzz 1000"));
}

TEST(Process, ThisProcessIsItself) {
    const auto self = identify(::getpid());
    ASSERT_TRUE(self.has_value());
    EXPECT_TRUE(is_running(*self));
    EXPECT_FALSE(self->boot_id.empty());
}

TEST(Process, AnotherStartTimeOrBootMeansAnotherProcess) {
    const auto self = identify(::getpid());
    ASSERT_TRUE(self.has_value());
    auto earlier = *self;
    ++earlier.start_time;
    auto last_boot = *self;
    last_boot.boot_id = "00000000-0000-0000-0000-000000000000";
    EXPECT_FALSE(is_running(earlier));
    EXPECT_FALSE(is_running(last_boot));
}

TEST(Process, AZombieIsNotRunning) {
    const pid_t pid = start({"sleep", "100"});
    const auto process = identify(pid);
    ASSERT_TRUE(process.has_value());
    ::kill(pid, SIGKILL);
    EXPECT_TRUE(wait_for_end(*process, milliseconds(5000)));
    EXPECT_FALSE(is_running(*process));  // it is still there, unwaited for
    EXPECT_EQ(identify(pid).error().code(), ErrorCode::NotFound);
    ::waitpid(pid, nullptr, 0);
}

TEST(Process, ASignalGoesOnlyToTheProcessThatIsMeant) {
    const pid_t pid = start({"sleep", "100"});
    const auto process = identify(pid);
    ASSERT_TRUE(process.has_value());
    auto other = *process;
    ++other.start_time;

    EXPECT_TRUE(send_signal(other, SIGKILL).has_value());
    EXPECT_FALSE(wait_for_end(*process, milliseconds(50)));
    EXPECT_TRUE(send_signal(*process, SIGKILL).has_value());
    EXPECT_TRUE(wait_for_end(*process, milliseconds(5000)));
    ::waitpid(pid, nullptr, 0);
}

TEST(Process, AProcessThatNeverWasIsNotFound) {
    EXPECT_EQ(identify(0).error().code(), ErrorCode::NotFound);
    EXPECT_EQ(identify(-1).error().code(), ErrorCode::NotFound);
}

TEST(Spawn, AChildHasExactlyTheDescriptorsItWasGiven) {
    const auto leak = sys::pipe(O_NONBLOCK);  // must not be there
    auto out = sys::pipe();
    SpawnOptions options;
    options.arguments = {"sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"};
    options.descriptors = {-1, out->second.get()};
    const auto pid = spawn(options);
    ASSERT_TRUE(pid.has_value());
    out->second.reset();
    Bytes listing(100);
    const auto count = sys::read_some(out->first, listing);
    ::waitpid(*pid, nullptr, 0);
    EXPECT_EQ(as_text(ByteView(listing).first(count->bytes)), "0 1 2 3 ");  // 3 is ls's own
}

TEST(Spawn, DescriptorsMayTradePlaces) {
    auto out = sys::pipe();
    SpawnOptions options;
    options.arguments = {"sh", "-c", "echo three >&3; echo one"};
    options.descriptors = {-1, out->second.get(), -1, out->second.get()};
    const auto pid = spawn(options);
    ASSERT_TRUE(pid.has_value());
    ::waitpid(*pid, nullptr, 0);
    Bytes text(100);
    const auto count = sys::read_some(out->first, text);
    EXPECT_EQ(as_text(ByteView(text).first(count->bytes)), "three\none\n");
}

TEST(Spawn, AMissingProgramIsNotFound) {
    SpawnOptions options;
    options.arguments = {"no-such-program-anywhere"};
    EXPECT_EQ(spawn(options).error().code(), ErrorCode::NotFound);
    EXPECT_EQ(find_program("no-such-program-anywhere").error().code(), ErrorCode::NotFound);
    EXPECT_TRUE(find_program("sh").has_value());
}

TEST(Run, GivesTheExitCodeAndTheErrors) {
    const auto finished = run({"sh", "-c", "echo wrong >&2; exit 9"}, milliseconds(10000));
    ASSERT_TRUE(finished.has_value());
    EXPECT_EQ(finished->exit_code, 9);
    EXPECT_EQ(finished->errors, "wrong\n");
}

TEST(Run, DoesNotWaitForADaemonThatWasLeftBehind) {
    const auto start = std::chrono::steady_clock::now();
    const auto finished = run({"sh", "-c", "sleep 20 & exit 0"}, milliseconds(10000));
    ASSERT_TRUE(finished.has_value());
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(8));
}

TEST(Run, KillsWhatTakesTooLong) {
    EXPECT_EQ(run({"sleep", "100"}, milliseconds(100)).error().code(), ErrorCode::Timeout);
}

}  // namespace
}  // namespace alcove::embedded

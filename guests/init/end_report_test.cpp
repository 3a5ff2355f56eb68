// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "init/parent_link.hpp"

namespace alcove::init {
namespace {

// The statuses come from the kernel, not from knowledge of their bits.
template <typename Ending>
int status_of_a_child(Ending ending) {
    const pid_t child = fork();
    if (child == 0) {
        ending();
        _exit(99);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
}

TEST(EndReport, ExitCodeIsReported) {
    EXPECT_EQ(end_report(status_of_a_child([] { _exit(0); })), "exit 0\n");
    EXPECT_EQ(end_report(status_of_a_child([] { _exit(255); })), "exit 255\n");
}

TEST(EndReport, SignalIsReported) {
    EXPECT_EQ(end_report(status_of_a_child([] { raise(SIGKILL); })), "signal 9\n");
    EXPECT_EQ(end_report(status_of_a_child([] { raise(SIGTERM); })), "signal 15\n");
}

}  // namespace
}  // namespace alcove::init

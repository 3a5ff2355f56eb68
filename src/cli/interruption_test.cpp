// SPDX-License-Identifier: Apache-2.0
#include "cli/interruption.hpp"

#include <pthread.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace alcove::cli {
namespace {

TEST(Interruption, ASignalIsSeenInsteadOfEndingTheProcess) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        auto interruption = Interruption::create().value();
        EXPECT_FALSE(interruption.happened());

        ::pthread_kill(::pthread_self(), signal);

        EXPECT_TRUE(interruption.happened());
        EXPECT_TRUE(interruption.happened());
    }
}

TEST(Interruption, SignalsAreAsBeforeOnceItIsGone) {
    { const auto interruption = Interruption::create().value(); }

    sigset_t now;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
    EXPECT_EQ(::sigismember(&now, SIGINT), 0);
    EXPECT_EXIT(
        {
            const auto interruption = Interruption::create().value();
            ::raise(SIGTERM);
            static_cast<void>(interruption.fd());
        } ::_exit(0),
        testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace alcove::cli

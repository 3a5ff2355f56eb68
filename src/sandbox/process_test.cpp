// SPDX-License-Identifier: Apache-2.0
#include "sandbox/process.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <gtest/gtest.h>

#include "sandbox/child_for_tests.hpp"

namespace alcove::sandbox {
namespace {

TEST(HardenedProcess, CanNotBeDumpedOrGainPrivileges) {
    const int status = status_of_child([] {
        rlimit core{};
        const bool all = harden_process() && ::prctl(PR_GET_DUMPABLE) == 0 &&
                         ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
                         ::getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0;
        ::_exit(all ? 7 : 1);
    });

    EXPECT_TRUE(exited_with(status, 7)) << status;
}

}  // namespace
}  // namespace alcove::sandbox

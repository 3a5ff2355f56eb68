// SPDX-License-Identifier: Apache-2.0
#include "sandbox/syscall_filter.hpp"

#include <cerrno>
#include <functional>

#include <seccomp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <gtest/gtest.h>

#include "sandbox/child_for_tests.hpp"
#include "sandbox/process.hpp"

namespace alcove::sandbox {
namespace {

// A child behind a filter that allows exiting, sockets of Unix, and answers getppid with an errno.
int status_behind_filter(const std::function<void()>& action) {
    return status_of_child([&] {
        // The sanitizers need more than an exit does.
        constexpr int kExits[] = {SCMP_SYS(exit_group), SCMP_SYS(sigaltstack), SCMP_SYS(mmap),
                                  SCMP_SYS(munmap),     SCMP_SYS(madvise),     SCMP_SYS(write)};
        auto filter = SyscallFilter::create();
        const bool installed = harden_process() && filter && filter->allow(kExits) &&
                               filter->allow_if(SCMP_SYS(socket), 0, ~0ULL, AF_UNIX) &&
                               filter->answer(SCMP_SYS(getppid), ENOSYS) && filter->install();
        if (!installed) ::_exit(99);
        action();
    });
}

TEST(SyscallFilter, WhatIsListedGoesOn) {
    EXPECT_TRUE(exited_with(status_behind_filter([] {}), 0));
}

TEST(SyscallFilter, WhatIsNotListedEndsTheProcess) {
    EXPECT_TRUE(was_ended(status_behind_filter([] { ::syscall(SYS_getuid); })));
}

TEST(SyscallFilter, AnArgumentDecides) {
    EXPECT_TRUE(exited_with(
        status_behind_filter([] { ::_exit(::socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 0 : 1); }), 0));
    EXPECT_TRUE(was_ended(status_behind_filter([] { (void)::socket(AF_INET, SOCK_STREAM, 0); })));
}

TEST(SyscallFilter, ACallCanBeAnsweredInstead) {
    EXPECT_TRUE(exited_with(status_behind_filter([] {
                                const long result = ::syscall(SYS_getppid);
                                ::_exit(result == -1 && errno == ENOSYS ? 0 : 1);
                            }),
                            0));
}

}  // namespace
}  // namespace alcove::sandbox

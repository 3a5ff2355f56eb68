// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox.hpp"

#include <csignal>
#include <functional>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace alcove::vmm {
namespace {

// How a child ends that enters the sandbox and then does something.
int status_after(const std::function<void()>& action) {
    const pid_t child = ::fork();
    if (child == 0) {
        if (!harden_process() || !enter_sandbox()) ::_exit(99);
        action();
        ::_exit(0);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return status;
}

bool killed(int status) {
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

// Sanitizers make calls of their own; what is refused is the same with and without them.
TEST(Sandbox, OrdinaryWorkGoesOn) {
    const int status = status_after([] {
        const void* memory =
            ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) ::_exit(1);
    });

    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(Sandbox, FilesSocketsProgramsAndProcessesAreOver) {
    EXPECT_TRUE(killed(status_after([] { (void)::open("/etc/passwd", O_RDONLY); })));
    EXPECT_TRUE(killed(status_after([] { (void)::socket(AF_UNIX, SOCK_STREAM, 0); })));
    EXPECT_TRUE(killed(status_after([] { (void)::socket(AF_INET, SOCK_STREAM, 0); })));
    EXPECT_TRUE(killed(status_after([] { (void)::execl("/bin/true", "true", nullptr); })));
    EXPECT_TRUE(killed(status_after([] { (void)::fork(); })));
    EXPECT_TRUE(killed(status_after([] { (void)::kill(::getppid(), 0); })));
    EXPECT_TRUE(killed(status_after([] { (void)::unlink("/nonexistent"); })));
}

TEST(Sandbox, NewExecutableMemoryIsRefused) {
    EXPECT_TRUE(killed(status_after(
        [] { (void)::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); })));
    EXPECT_TRUE(killed(status_after([] {
        void* memory = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        (void)::mprotect(memory, 4096, PROT_READ | PROT_EXEC);
    })));
}

TEST(Sandbox, TheProcessCanNotBeDumped) {
    EXPECT_EQ(WEXITSTATUS(status_after([] { ::_exit(7); })), 7);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(harden_process() && ::prctl(PR_GET_DUMPABLE) == 0 ? 0 : 1);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace alcove::vmm

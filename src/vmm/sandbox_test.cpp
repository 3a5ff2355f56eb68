// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox.hpp"

#include <csignal>
#include <functional>
#include <future>
#include <thread>

#include <asm/sgx.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include "sandbox/child_for_tests.hpp"
#include "sandbox/process.hpp"
#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::vmm {
namespace {

// How a child ends that enters the sandbox and then does something.
int status_after(const std::function<void()>& action, api::VmRole role = api::VmRole::Enclave,
                 SgxCalls sgx = SgxCalls::None) {
    return sandbox::status_of_child([&] {
        if (!sandbox::harden_process() || !enter_sandbox(role, sgx)) ::_exit(99);
        action();
    });
}

bool killed(int status) {
    return sandbox::was_ended(status);
}

// Sanitizers make calls of their own; what is refused is the same with and without them.
TEST(Sandbox, OrdinaryWorkGoesOn) {
    const int status = status_after([] {
        const void* memory =
            ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) ::_exit(1);
    });

    EXPECT_TRUE(sandbox::exited_with(status, 0)) << status;
}

TEST(Sandbox, FilesSocketsProgramsAndProcessesAreOver) {
    EXPECT_TRUE(killed(status_after([] { (void)::open("/etc/passwd", O_RDONLY); })));
    EXPECT_TRUE(killed(status_after([] { (void)::socket(AF_UNIX, SOCK_STREAM, 0); })));
    EXPECT_TRUE(killed(status_after([] { (void)::socket(AF_INET, SOCK_STREAM, 0); })));
    EXPECT_TRUE(killed(status_after([] { (void)::execl("/bin/true", "true", nullptr); })));
    EXPECT_TRUE(killed(status_after([] { (void)::fork(); })));
    EXPECT_TRUE(killed(status_after([] { (void)::kill(::getppid(), 0); })));
    EXPECT_TRUE(killed(status_after([] { (void)::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); })));
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

TEST(Sandbox, MemoryCanBeFencedOffAndBack) {
    const int status = status_after(
        [] {
            void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (::mprotect(memory, 4096, PROT_NONE) != 0) ::_exit(1);
            if (::mprotect(memory, 4096, PROT_READ | PROT_WRITE) != 0) ::_exit(2);
        },
        api::VmRole::Primary);

    EXPECT_TRUE(sandbox::exited_with(status, 0)) << status;
}

TEST(Sandbox, DisksAreAPrimaryVmsAlone) {
    const auto touch_a_disk = [] {
        char byte = 0;
        if (::pread(0, &byte, 0, 0) < 0 && errno == ENOSYS) ::_exit(1);
    };

    EXPECT_FALSE(killed(status_after(touch_a_disk, api::VmRole::Primary)));
    EXPECT_TRUE(killed(status_after(touch_a_disk, api::VmRole::Enclave)));
}

TEST(Sandbox, MemorySlotsComeAndGoForAPrimaryVmAlone) {
    const auto change_a_slot = [] { (void)::ioctl(0, KVM_SET_USER_MEMORY_REGION, nullptr); };

    EXPECT_FALSE(killed(status_after(change_a_slot, api::VmRole::Primary)));
    EXPECT_TRUE(killed(status_after(change_a_slot, api::VmRole::Enclave)));
}

TEST(Sandbox, AnEnclavesVcpusCanBeAskedWhetherTheyHaveHalted) {
    const auto ask = [] { (void)::ioctl(0, KVM_GET_MP_STATE, nullptr); };

    EXPECT_FALSE(killed(status_after(ask, api::VmRole::Enclave)));
    EXPECT_TRUE(killed(status_after(ask, api::VmRole::Primary)));
}

TEST(Sandbox, ASpillFileIsWrittenReadAndPunched) {
    const int status = status_after(
        [] {
            char byte = 0;
            (void)::pwrite(0, &byte, 0, 0);
            (void)::pread(0, &byte, 0, 0);
            (void)::fallocate(0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
            (void)::fdatasync(0);
        },
        api::VmRole::Primary, SgxCalls::Software);

    EXPECT_FALSE(killed(status));
}

TEST(Sandbox, AFileGrowsToTheLimitAndNoFurther) {
    const auto write_at = [](off_t offset) {
        return sandbox::status_of_child([offset] {
            const auto file = sys::memfd("spill").value();
            if (!limit_file_size(4_MiB)) ::_exit(99);
            if (::pwrite(file.get(), "x", 1, offset) != 1) ::_exit(1);
        });
    };
    EXPECT_TRUE(sandbox::exited_with(write_at(4_MiB - 1), 0));
    const int status = write_at(4_MiB);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ) << status;
}

TEST(Sandbox, VcpuStateIsReadAndWrittenForSgxAlone) {
    const auto move_a_vcpu = [] { (void)::ioctl(0, KVM_SET_VCPU_EVENTS, nullptr); };

    EXPECT_FALSE(killed(status_after(move_a_vcpu, api::VmRole::Primary, SgxCalls::Software)));
    EXPECT_TRUE(killed(status_after(move_a_vcpu, api::VmRole::Primary)));
}

TEST(Sandbox, EpcOfTheHostsIsEmptiedByWhoHasSome) {
    const auto empty = [] { (void)::ioctl(0, SGX_IOC_VEPC_REMOVE_ALL, 0UL); };
    const auto move_a_vcpu = [] { (void)::ioctl(0, KVM_SET_VCPU_EVENTS, nullptr); };

    EXPECT_FALSE(killed(status_after(empty, api::VmRole::Primary, SgxCalls::Hardware)));
    EXPECT_TRUE(killed(status_after(empty, api::VmRole::Primary, SgxCalls::Software)));
    EXPECT_TRUE(killed(status_after(empty, api::VmRole::Primary)));
    EXPECT_TRUE(killed(status_after(move_a_vcpu, api::VmRole::Primary, SgxCalls::Hardware)));
}

TEST(Sandbox, ThreadsThatRunAlreadyAreInItToo) {
    const int status = sandbox::status_of_child([] {
        std::promise<void> entered;
        std::thread worker([&] {
            entered.get_future().wait();
            (void)::open("/dev/null", O_RDONLY);
        });
        if (!sandbox::harden_process() || !enter_sandbox(api::VmRole::Primary)) ::_exit(99);
        entered.set_value();
        worker.join();
    });

    EXPECT_TRUE(killed(status)) << status;
}

}  // namespace
}  // namespace alcove::vmm

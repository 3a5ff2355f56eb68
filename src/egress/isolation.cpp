// SPDX-License-Identifier: Apache-2.0
#include "egress/isolation.hpp"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/process.hpp"
#include "sandbox/syscall_filter.hpp"

namespace alcove::egress {

namespace {

constexpr uid_t kNobody = 65534;

constexpr std::array kCalls = {
    // Bytes over sockets that others made or that are accepted.
    SCMP_SYS(accept4), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(sendto),
    SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(shutdown), SCMP_SYS(close),
    // Waiting and waking.
    SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(futex),
    // Time, and the process's own identity.
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getpid), SCMP_SYS(gettid),
    // Memory of our own, signals, and the end.
    SCMP_SYS(munmap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(mremap), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield),
    SCMP_SYS(newfstatat), SCMP_SYS(fstat), SCMP_SYS(sigaltstack), SCMP_SYS(exit), SCMP_SYS(exit_group)};

constexpr uint64_t kInt = 0xffff'ffff;  // what the kernel looks at of an int

}  // namespace

Result<void> leave_networks() {
    const int flags = CLONE_NEWNET | (::geteuid() == 0 ? 0 : CLONE_NEWUSER);
    if (::unshare(flags) == 0) return {};
    return fail_errno(errno,
                      "a network namespace for the proxy (a user who is not root needs unprivileged user "
                      "namespaces: sysctl kernel.unprivileged_userns_clone)",
                      ErrorCode::Unsupported);
}

Result<void> drop_privileges() {
    TRY(sandbox::harden_process());
    if (::geteuid() == 0) {
        if (::setgroups(0, nullptr) < 0 || ::setresgid(kNobody, kNobody, kNobody) < 0 ||
            ::setresuid(kNobody, kNobody, kNobody) < 0)
            return fail_errno(errno, "becoming nobody");
    }
    // Those in a user namespace of its own, too.
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
    if (::syscall(SYS_capset, &header, none) < 0) return fail_errno(errno, "capset");
    return {};
}

Result<void> enter_proxy_sandbox() {
    auto filter = TRY(sandbox::SyscallFilter::create());
    TRY(filter.allow(kCalls));
    TRY(filter.allow_if(SCMP_SYS(fcntl), 1, kInt, F_GETFL));
    TRY(filter.allow_if(SCMP_SYS(fcntl), 1, kInt, F_SETFL));
    // New memory is never executable.
    TRY(filter.allow_if(SCMP_SYS(mmap), 2, PROT_EXEC, 0));
    TRY(filter.allow_if(SCMP_SYS(mprotect), 2, PROT_EXEC, 0));
    // A failed check ends this process, and nobody else can be signalled.
    TRY(filter.allow_if(SCMP_SYS(tgkill), 0, kInt, static_cast<uint64_t>(::getpid())));
    return filter.install();
}

}  // namespace alcove::egress

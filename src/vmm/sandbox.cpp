// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox.hpp"

#include <array>
#include <cerrno>
#include <span>

#include <asm/sgx.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "kvm/list_ioctl.hpp"
#include "sandbox/syscall_filter.hpp"

namespace alcove::vmm {

namespace {

// Allowed whatever their arguments.
constexpr std::array kCalls = {
    // Moving bytes over descriptors that are open already.
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg),
    SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(accept4), SCMP_SYS(shutdown), SCMP_SYS(close),
    SCMP_SYS(getsockopt), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
    // Waiting and waking.
    SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(poll), SCMP_SYS(ppoll),
    SCMP_SYS(eventfd2), SCMP_SYS(futex), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
    // Time, randomness, the process's own identity.
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid),
    // Memory of our own and the signals between our threads.
    SCMP_SYS(munmap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(mremap), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(tgkill), SCMP_SYS(restart_syscall),
    SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(sigaltstack),
    // Threads begin and end; the vCPUs are the last to begin.
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(exit), SCMP_SYS(exit_group)};

// Disks (virtio/blk_file.hpp), and EPC with a budget (sgx/spilling_store.hpp): a primary VM's alone.
constexpr std::array kDiskCalls = {SCMP_SYS(preadv),   SCMP_SYS(pwritev),   SCMP_SYS(pread64),
                                   SCMP_SYS(pwrite64), SCMP_SYS(fdatasync), SCMP_SYS(fallocate)};

// The requests a running machine makes; making VMs, vCPUs and memory slots is over.
constexpr std::array<unsigned long, 4> kIoctls = {KVM_RUN, KVM_GET_REGS, KVM_IOEVENTFD, KVM_IRQFD};

// A primary VM's: memory comes and goes when it carves, and interrupts by message, which PCI has, go where
// the guest says, when it says so.
constexpr std::array<unsigned long, 2> kPrimaryIoctls = {KVM_SET_USER_MEMORY_REGION, kvm::kSetGsiRouting};

// Whether an enclave's vCPUs have halted for good (machine/machine.hpp).
constexpr std::array<unsigned long, 2> kEnclaveIoctls = {KVM_GET_MP_STATE, KVM_GET_VCPU_EVENTS};

// What entering and leaving an enclave needs (sgx_vm/sgx_vcpu.hpp).
constexpr std::array<unsigned long, 12> kSgxIoctls = {
    KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, KVM_SET_GUEST_DEBUG, KVM_GET_DEBUGREGS,
    KVM_SET_DEBUGREGS,   KVM_GET_XCRS,        KVM_SET_XCRS,        KVM_GET_LAPIC,
    kvm::kGetXsave,      kvm::kSetXsave,      kvm::kGetMsrs,       kvm::kSetMsrs};

// sgx_hardware/virtual_epc.hpp.
constexpr std::array<unsigned long, 1> kHardwareSgxIoctls = {SGX_IOC_VEPC_REMOVE_ALL};

constexpr uint64_t kInt = 0xffff'ffff;  // what the kernel looks at of an int

Result<void> allow_ioctls(sandbox::SyscallFilter& filter, std::span<const unsigned long> requests) {
    for (const unsigned long request : requests)
        TRY(filter.allow_if(SCMP_SYS(ioctl), 1, kInt, request));
    return {};
}

}  // namespace

Result<void> limit_file_size(uint64_t bytes) {
    const rlimit limit{.rlim_cur = bytes, .rlim_max = bytes};
    if (::setrlimit(RLIMIT_FSIZE, &limit) < 0) return fail_errno(errno, "RLIMIT_FSIZE");
    return {};
}

Result<void> enter_sandbox(api::VmRole role, SgxCalls sgx) {
    auto filter = TRY(sandbox::SyscallFilter::create());
    TRY(filter.allow(kCalls));
    if (role == api::VmRole::Primary) TRY(filter.allow(kDiskCalls));
    TRY(allow_ioctls(filter, kIoctls));
    TRY(allow_ioctls(filter, role == api::VmRole::Primary ? kPrimaryIoctls : kEnclaveIoctls));
    if (sgx == SgxCalls::Software) TRY(allow_ioctls(filter, kSgxIoctls));
    if (sgx == SgxCalls::Hardware) TRY(allow_ioctls(filter, kHardwareSgxIoctls));
    // New memory is never executable.
    TRY(filter.allow_if(SCMP_SYS(mmap), 2, PROT_EXEC, 0));
    TRY(filter.allow_if(SCMP_SYS(mprotect), 2, PROT_EXEC, 0));
    // Threads only, no processes. clone3 hides its flags behind a pointer: glibc goes back to clone.
    TRY(filter.allow_if(SCMP_SYS(clone), 0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM));
    TRY(filter.answer(SCMP_SYS(clone3), ENOSYS));
    // Pairs of connected sockets reach nobody else: the built-in services of vsock are made of them.
    TRY(filter.allow_if(SCMP_SYS(socketpair), 0, kInt, AF_UNIX));
    // Buffer sizes of sockets.
    TRY(filter.allow_if(SCMP_SYS(setsockopt), 1, kInt, SOL_SOCKET));
    TRY(filter.allow_if(SCMP_SYS(prctl), 0, kInt, PR_SET_NAME));
    // Of the calling thread: a vCPU's on its CPU (vmm/vcpu_places.hpp).
    TRY(filter.allow_if(SCMP_SYS(sched_setaffinity), 0, kInt, 0));
    TRY(filter.allow_if(SCMP_SYS(fcntl), 1, kInt, F_GETFL));
    TRY(filter.allow_if(SCMP_SYS(fcntl), 1, kInt, F_SETFL));
    return filter.install();
}

}  // namespace alcove::vmm

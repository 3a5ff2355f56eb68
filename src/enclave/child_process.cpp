// SPDX-License-Identifier: Apache-2.0
#include "enclave/child_process.hpp"

#include <csignal>

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::enclave {

Result<std::unique_ptr<ChildProcess>> ChildProcess::watch(EventLoop& loop, Fd pidfd, Fd kill, OnEnd on_end) {
    std::unique_ptr<ChildProcess> child(
        new ChildProcess(loop, std::move(pidfd), std::move(kill), std::move(on_end)));
    ChildProcess* self = child.get();
    child->watch_ = TRY(loop.watch(self->pidfd_, EPOLLIN, [self](uint32_t) { self->look(); }));
    return child;
}

ChildProcess::~ChildProcess() {
    loop_.unwatch(watch_);
}

void ChildProcess::kill() const {
    // It is another user's, so the signal usually may not be sent; its cgroup's switch works then. Where
    // there is no cgroup (tests), it is the other way round.
    ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
    const auto written = sys::write_some(kill_, as_byte_view("1"));
    if (!written) log::error("the VMM's cgroup could not be killed: {}", written.error().to_string());
}

void ChildProcess::look() {
    siginfo_t info{};
    if (::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG) <
            0 ||
        info.si_pid == 0)
        return;
    loop_.unwatch(watch_);
    on_end_({.by_signal = info.si_code != CLD_EXITED, .value = info.si_status});
}

}  // namespace alcove::enclave

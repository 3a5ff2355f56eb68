// SPDX-License-Identifier: Apache-2.0
#include "cli/interruption.hpp"

#include <cerrno>

#include <sys/signalfd.h>
#include <unistd.h>

namespace alcove::cli {

Result<Interruption> Interruption::create() {
    sigset_t signals;
    ::sigemptyset(&signals);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP})
        ::sigaddset(&signals, signal);
    Fd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd.is_open()) return fail_errno(errno, "signalfd");
    sigset_t before;
    ::pthread_sigmask(SIG_BLOCK, &signals, &before);
    return Interruption(std::move(fd), before);
}

Interruption::Interruption(Interruption&& other) noexcept
    : fd_(std::move(other.fd_)), before_(other.before_), happened_(other.happened_) {}

Interruption::~Interruption() {
    if (fd_.is_open()) ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool Interruption::happened() {
    signalfd_siginfo info{};
    if (::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) happened_ = true;
    return happened_;
}

}  // namespace alcove::cli

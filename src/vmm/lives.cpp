// SPDX-License-Identifier: Apache-2.0
#include "vmm/lives.hpp"

#include <array>
#include <cerrno>
#include <csignal>

#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/lives_messages.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::vmm {

namespace {

namespace lives = api::lives;

constexpr std::chrono::seconds kHelloPatience(60);

// The channel of the next life; nothing when the shim has hung up.
Result<Fd> next_life(const Channel& shim) {
    auto received = shim.receive();
    if (!received && received.error().code() == ErrorCode::ConnectionLost) return Fd();
    auto message = TRY(std::move(received));
    const auto envelope = TRY(api::open_envelope(message.data));
    TRY(api::decode<lives::BeginLife>(envelope));
    if (message.descriptors.size() != 1)
        return fail(ErrorCode::InvalidMessage, "a life begins with one descriptor");
    return std::move(message.descriptors.front());
}

[[noreturn]] void live_in_child(pid_t parent, Fd channel, const Live& live) {
    // Not the fork of a parent that is gone by now.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || ::getppid() != parent) ::_exit(1);
    const auto lived = live(Channel(std::move(channel)));
    if (!lived) log::error("{}", lived.error().to_string());
    ::_exit(lived ? 0 : 1);
}

// Until the child has ended, or the shim has hung up: then the child is killed.
Result<lives::LifeEnded> wait_for_end(const Channel& shim, pid_t child) {
    const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    if (!pidfd.is_open()) return fail_errno(errno, "pidfd_open of a VMM");
    std::array<pollfd, 2> watched = {pollfd{.fd = pidfd.get(), .events = POLLIN, .revents = 0},
                                     pollfd{.fd = shim.fd().get(), .events = POLLRDHUP, .revents = 0}};
    while (::poll(watched.data(), watched.size(), -1) < 0)
        if (errno != EINTR) return fail_errno(errno, "poll");
    if (watched[0].revents == 0) ::kill(child, SIGKILL);
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED) < 0)
        if (errno != EINTR) return fail_errno(errno, "waitid");
    return lives::LifeEnded{.by_signal = info.si_code == CLD_EXITED ? 0U : 1U,
                            .value = static_cast<uint32_t>(info.si_status)};
}

}  // namespace

Result<void> run_lives(const Channel& shim, const Live& live) {
    TRY(api::exchange_hello(shim, api::Protocol::Lives, lives::kVersions, kHelloPatience));
    const pid_t self = ::getpid();
    while (true) {
        auto channel = TRY(next_life(shim));
        if (!channel.is_open()) return {};
        const pid_t child = ::fork();
        if (child < 0) return fail_errno(errno, "fork of a VMM");
        if (child == 0) {
            // The line to the shim is the parent's alone: that it closes says that the parent is gone.
            ::close(shim.fd().get());
            live_in_child(self, std::move(channel), live);
        }
        channel.reset();
        TRY(shim.send(api::encode(lives::LifeBegun{.vmm_pid = static_cast<uint32_t>(child)})));
        const auto ended = TRY(wait_for_end(shim, child));
        const auto told = shim.send(api::encode(ended));
        if (!told) return {};  // nobody is there who wants to know
    }
}

}  // namespace alcove::vmm

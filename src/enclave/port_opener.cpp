// SPDX-License-Identifier: Apache-2.0
#include "enclave/port_opener.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "api/shim_messages.hpp"
#include "support/system.hpp"

namespace alcove::enclave {

using api::vmm::OpenPortStatus;

bool PortOpener::take_token(Clock::time_point now) {
    if (refilled_ != Clock::time_point{}) {
        const double elapsed = std::chrono::duration<double>(now - refilled_).count();
        tokens_ = std::min<double>(kBurst, tokens_ + std::max(0.0, elapsed) * kPerSecond);
    }
    refilled_ = now;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
}

PortOpener::Opened PortOpener::open(uint32_t port, Clock::time_point now) {
    if (!take_token(now)) return {.status = OpenPortStatus::TooMany, .socket = {}};
    // The file is pinned first and connected to through the pin, so that it is not another one by then.
    const auto file = sys::open_at(folder_, api::shim::port_socket_name(port), O_PATH | O_NOFOLLOW);
    if (!file) return {.status = OpenPortStatus::Refused, .socket = {}};
    const auto info = sys::stat(*file);
    if (!info || !S_ISSOCK(info->st_mode)) return {.status = OpenPortStatus::Refused, .socket = {}};

    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket.is_open()) return {.status = OpenPortStatus::TooMany, .socket = {}};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ("/proc/self/fd/" + std::to_string(file->get())).copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
        return {.status = OpenPortStatus::Connected, .socket = std::move(socket)};
    return {.status = errno == EAGAIN ? OpenPortStatus::TooMany : OpenPortStatus::Refused, .socket = {}};
}

}  // namespace alcove::enclave

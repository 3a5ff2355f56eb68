// SPDX-License-Identifier: Apache-2.0
#include "api/network.hpp"

#include <algorithm>
#include <cerrno>

#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace alcove::api {

namespace {

bool is_there(const Network& network) {
    return network.kind != static_cast<uint8_t>(NetworkKind::None);
}

bool is_valid(const Network& network) {
    if (network.reserved != 0) return false;
    if (!is_there(network)) return network.mac == MacAddress{};
    return network.kind <= static_cast<uint8_t>(NetworkKind::Stream) && is_station(network.mac);
}

int socket_option(const Fd& socket, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    return ::getsockopt(socket.get(), SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

}  // namespace

size_t network_count(const Networks& networks) {
    return static_cast<size_t>(std::ranges::count_if(networks, is_there));
}

bool are_networks_of(VmRole role, const Networks& networks) {
    return std::ranges::all_of(networks, is_valid) && std::ranges::is_partitioned(networks, is_there) &&
           (role == VmRole::Primary || network_count(networks) == 0);
}

Result<void> check_network(const Fd& descriptor, NetworkKind kind) {
    if (kind == NetworkKind::Stream) {
        if (socket_option(descriptor, SO_DOMAIN) == AF_UNIX &&
            socket_option(descriptor, SO_TYPE) == SOCK_STREAM &&
            socket_option(descriptor, SO_ACCEPTCONN) == 0)
            return {};
        return fail(ErrorCode::InvalidArgument, "a network's descriptor is no connected Unix stream socket");
    }
    ifreq request{};
    if (::ioctl(descriptor.get(), TUNGETIFF, &request) < 0)
        return fail(ErrorCode::InvalidArgument, "a network's descriptor is no tap interface");
    constexpr int kForm = IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if ((request.ifr_flags & kForm) != (IFF_TAP | IFF_NO_PI))
        return fail(ErrorCode::InvalidArgument,
                    "a network's tap interface was not opened with IFF_TAP and IFF_NO_PI alone");
    return {};
}

}  // namespace alcove::api

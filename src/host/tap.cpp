// SPDX-License-Identifier: Apache-2.0
#include "host/tap.hpp"

#include <cerrno>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "support/system.hpp"

namespace alcove::host {

namespace {

ErrorCode code_of(int error) {
    switch (error) {
        case EPERM:
            return ErrorCode::PermissionDenied;
        case EBUSY:
            return ErrorCode::Busy;
        case EINVAL:
            return ErrorCode::InvalidArgument;  // no tap, or one with several queues
        default:
            return ErrorCode::SystemCall;
    }
}

}  // namespace

Result<Fd> open_tap(const std::string& name) {
    if (name.empty() || name.size() >= IFNAMSIZ || ::if_nametoindex(name.c_str()) == 0)
        return fail(ErrorCode::NotFound, "there is no network interface '" + name +
                                             "'; `ip tuntap add NAME mode tap user USER` makes one");
    auto tap = TRY(sys::open("/dev/net/tun", O_RDWR));
    ifreq request{};
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    if (::ioctl(tap.get(), TUNSETIFF, &request) < 0)
        return fail_errno(errno, "opening the tap interface '" + name + "'", code_of(errno));
    return tap;
}

}  // namespace alcove::host

// SPDX-License-Identifier: Apache-2.0
#include "api/fabric_doorbell.hpp"

#include <array>
#include <cerrno>
#include <cstdint>

#include <sys/socket.h>

namespace alcove::api {

void FabricDoorbell::ring() const {
    const uint8_t byte = 1;
    while (::send(socket_.get(), &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
}

bool FabricDoorbell::silence() const {
    std::array<uint8_t, 256> bytes;
    while (true) {
        const ssize_t count = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (count > 0) return true;
        if (count == 0) return false;
        if (errno != EINTR) return errno == EAGAIN;
    }
}

}  // namespace alcove::api

// SPDX-License-Identifier: Apache-2.0
//
// Any bytes, cut anywhere, from the process at the other end of a stream link. What comes out are frames of
// allowed lengths, in all no more than went in, or the link is down.
#include <algorithm>
#include <cstdlib>

#include <sys/socket.h>

#include "support/log.hpp"
#include "support/system.hpp"
#include "virtio/stream_link.hpp"

namespace {

using namespace alcove;

void require(bool condition) {
    if (!condition) std::abort();
}

struct User : virtio::NetworkLink::User {
    void frames_waiting() override {
        while (const auto length = link->receive(buffer)) {
            require(*length >= virtio::NetworkLink::kMinFrame && *length <= virtio::NetworkLink::kMaxFrame);
            received += 4 + *length;
        }
    }
    void room_again() override {}
    void link_changed() override { require(!link->is_up()); }

    virtio::NetworkLink* link = nullptr;
    Bytes buffer = Bytes(virtio::NetworkLink::kMaxFrame);
    size_t received = 0;
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    log::silence();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const auto loop = EventLoop::create().value();
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    User user;
    const auto link = virtio::StreamLink::create(*loop, std::move(pair.first)).value();
    user.link = link.get();
    link->set_user(&user);
    link->want_frames(true);

    ByteView input(data, size);
    size_t sent = 0;
    while (input.size() > 1) {
        const size_t part = std::min<size_t>(1U + input.front(), input.size() - 1);
        if (!sys::write_some(pair.second, input.subspan(1, part))) break;  // the link closed it
        sent += part;
        input = input.subspan(1 + part);
        while (loop->run_once(std::chrono::milliseconds(0)).value() > 0) {
        }
        require(user.received <= sent);
    }
    pair.second.reset();
    while (loop->run_once(std::chrono::milliseconds(0)).value() > 0) {
    }
    require(!link->is_up());
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// A link over a stream socket, framed as by QEMU's `-netdev stream`: each frame follows its length as four
// bytes, big-endian. passt speaks it, and gives a machine a network without any right on the host.
//
// The other side is another process of the host's, and is not believed: a length that no frame has ends the
// link. Whoever goes on with the socket must find it between two frames: hand_on() sees to that.
#pragma once

#include <memory>

#include "virtio/net_link.hpp"

namespace alcove::virtio {

class StreamLink : public DescriptorLink {
  public:
    static Result<std::unique_ptr<StreamLink>> create(EventLoop& loop, Fd socket);

    bool send(ByteView frame) override;
    std::optional<size_t> receive(MutableByteView into) override;
    void hand_on() override;

  private:
    using Clock = std::chrono::steady_clock;
    static constexpr size_t kLengthSize = 4;
    StreamLink(EventLoop& loop, Fd socket);
    bool continue_sending() override;
    // The length of the frame at the front of incoming_, or nothing while it is not whole.
    std::optional<size_t> whole_frame();
    bool fill();
    // False when the time is over, or the link has ended.
    bool wait_for(short events, Clock::time_point deadline) const;
    bool finish_sending(Clock::time_point deadline);
    bool finish_receiving(Clock::time_point deadline);
    bool receive_until(size_t count, Clock::time_point deadline);  // bytes behind begin_

    Bytes outgoing_;  // what the socket did not take of the last frame
    // Unread bytes are [begin_, end_) of incoming_, which has room for one frame at least.
    Bytes incoming_;
    size_t begin_ = 0;
    size_t end_ = 0;
};

}  // namespace alcove::virtio

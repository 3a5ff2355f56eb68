// SPDX-License-Identifier: Apache-2.0
#include "virtio/tap_link.hpp"

#include "support/system.hpp"

namespace alcove::virtio {

Result<std::unique_ptr<TapLink>> TapLink::create(EventLoop& loop, Fd tap) {
    std::unique_ptr<TapLink> link(new TapLink(loop, std::move(tap)));
    TRY(link->start());
    return link;
}

bool TapLink::send(ByteView frame) {
    if (!is_up()) return true;
    // A refusal other than "later" is about this frame, or about an interface that is down: as with a cable
    // pulled out, the frame is lost.
    const auto sent = sys::write_some(fd(), frame);
    if (!sent || !sent->would_block) return true;
    want_room(true);
    return false;
}

std::optional<size_t> TapLink::receive(MutableByteView into) {
    // One read, one frame. An interface that is down has none; one that is gone fails.
    const auto got = sys::read_some(fd(), into);
    if (got && got->would_block) return std::nullopt;
    if (!got || got->bytes == 0) {
        close();
        return std::nullopt;
    }
    return got->bytes;
}

}  // namespace alcove::virtio

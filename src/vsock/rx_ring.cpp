// SPDX-License-Identifier: Apache-2.0
#include "vsock/rx_ring.hpp"

#include <algorithm>

#include "memory/guest_io.hpp"

namespace alcove::vsock {

Result<bool> RxRing::take(Buffer& buffer) {
    const bool taken = TRY(queue_.pop(buffer.chain));
    if (!taken) return false;
    // No driver offers less than a header and some payload, and less would be given back for ever.
    if (buffer.chain.writable_bytes <= kHeaderSize)
        return fail(ErrorCode::InvalidMessage, "vsock: a receive buffer has no room for a packet");
    buffer.room = std::min<uint32_t>(buffer.chain.writable_bytes - kHeaderSize, kMaxPayload);
    return true;
}

Result<void> RxRing::give(const Buffer& buffer, const Header& header) {
    virtio::copy_to(queue_.memory(), buffer.chain.writable, 0, object_bytes(header));
    TRY(queue_.push_used(buffer.chain.head, kHeaderSize + header.len));
    return {};
}

Result<bool> RxRing::put(const Header& header) {
    if (buffers_.empty()) buffers_.emplace_back();
    const bool taken = TRY(take(buffers_[0]));
    if (!taken) return false;
    TRY(give(buffers_[0], header));
    return true;
}

Result<uint32_t> RxRing::reserve(uint32_t bytes) {
    reserved_ = 0;
    payload_.clear();
    uint32_t room = 0;
    while (room < bytes && payload_.size() < memory::kMaxSlicesPerCall) {
        if (buffers_.size() == reserved_) buffers_.emplace_back();
        auto& buffer = buffers_[reserved_];
        const bool taken = TRY(take(buffer));
        if (!taken) break;
        // What is too much for one system call stays unused: the packet is shorter then.
        const size_t first = payload_.size();
        virtio::append_part(buffer.chain.writable, kHeaderSize, std::min(buffer.room, bytes - room),
                            payload_);
        if (payload_.size() > memory::kMaxSlicesPerCall)
            payload_.erase(payload_.begin() + memory::kMaxSlicesPerCall, payload_.end());
        buffer.room = 0;
        for (size_t i = first; i < payload_.size(); ++i)
            buffer.room += static_cast<uint32_t>(payload_[i].size());
        room += buffer.room;
        ++reserved_;
    }
    return room;
}

Result<void> RxRing::commit(Header header, uint32_t length) {
    size_t given = 0;
    for (uint32_t left = length; left > 0; ++given) {
        ALCOVE_CHECK(given < reserved_, "no more is committed than was reserved");
        const uint32_t part = std::min(left, buffers_[given].room);
        header.len = part;
        TRY(give(buffers_[given], header));
        left -= part;
    }
    queue_.unpop(static_cast<uint16_t>(reserved_ - given));
    reserved_ = 0;
    unflushed_ += length;
    return {};
}

Result<bool> RxRing::flush() {
    unflushed_ = 0;
    return queue_.publish_and_check();
}

}  // namespace alcove::vsock

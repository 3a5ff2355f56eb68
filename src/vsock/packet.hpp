// SPDX-License-Identifier: Apache-2.0
//
// Packets out of and into descriptor chains: the header copied once, and the replies that need nothing but
// the packet they answer.
#pragma once

#include <optional>

#include "virtio/chain.hpp"
#include "vsock/spec.hpp"

namespace alcove::vsock {

// Nothing when the chain is too short to hold one.
inline std::optional<Header> read_header(const virtio::Chain& chain) {
    Header header;
    const size_t count =
        virtio::copy_from(chain.readable, 0, {reinterpret_cast<uint8_t*>(&header), sizeof header});
    if (count < sizeof header) return std::nullopt;
    return header;
}

inline Header make_header(Op op, Cid src_cid, Port src_port, Cid dst_cid, Port dst_port) {
    Header header;
    header.src_cid = number(src_cid);
    header.dst_cid = number(dst_cid);
    header.src_port = number(src_port);
    header.dst_port = number(dst_port);
    header.type = type::STREAM;
    header.op = static_cast<uint16_t>(op);
    return header;
}

// The answer to a packet that nobody wants. Never to an RST: two sides would go on for ever.
inline Header make_reset(const Header& to) {
    auto header = make_header(Op::RST, to_cid(to.dst_cid), to_port(to.dst_port), to_cid(to.src_cid),
                              to_port(to.src_port));
    header.type = to.type;
    return header;
}

}  // namespace alcove::vsock

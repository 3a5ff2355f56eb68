// SPDX-License-Identifier: Apache-2.0
#include "api/start_messages.hpp"

#include <array>

#include "api/limits.hpp"

namespace alcove::api::start {

namespace {

// One list of the descriptors, so that both directions agree on the order.
constexpr std::array kOrder = {
    &Descriptors::daemon_listener,
    &Descriptors::connect_listener,
    &Descriptors::folder,
    &Descriptors::image,
    &Descriptors::kvm,
    &Descriptors::attestor,
    &Descriptors::vmm_channel,
    &Descriptors::vmm_log,
    &Descriptors::vmm_pidfd,
    &Descriptors::vmm_kill,
};

}  // namespace

Result<void> send_start(const Channel& channel, const Order& order) {
    TRY(channel.send(encode_hello(Protocol::Start, kVersions)));
    std::vector<int> descriptors;
    for (const auto member : kOrder)
        descriptors.push_back((order.descriptors.*member).get());
    return channel.send(encode(order.start), descriptors);
}

Result<Order> receive_start(const Channel& channel) {
    const auto hello = TRY(channel.receive());
    const auto hello_envelope = TRY(open_envelope(hello.data));
    TRY(accept_hello(hello_envelope, Protocol::Start, kVersions));
    auto message = TRY(channel.receive());
    const auto envelope = TRY(open_envelope(message.data));
    const auto start = TRY(decode<Start>(envelope));
    if (message.descriptors.size() != kOrder.size())
        return fail(ErrorCode::InvalidMessage,
                    "a start with " + std::to_string(message.descriptors.size()) + " descriptors");
    Order order{.start = start, .descriptors = {}};
    for (size_t i = 0; i < kOrder.size(); ++i)
        order.descriptors.*kOrder[i] = std::move(message.descriptors[i]);
    TRY(VmId::parse(start.vm_id));
    if ((start.flags & ~Start::kDebug) != 0 || start.vcpu_count < 1 || start.vcpu_count > kMaxVcpus ||
        !is_page_size(start.page_size) || !is_memory_size(start.memory_bytes, start.page_size) ||
        start.image_size == 0 || start.image_size > kMaxImageBytes || !is_guest_cid(start.guest_cid))
        return fail(ErrorCode::InvalidMessage, "a start with a number out of range");
    return order;
}

}  // namespace alcove::api::start

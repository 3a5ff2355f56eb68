// SPDX-License-Identifier: Apache-2.0
#include "api/vmm_messages.hpp"

#include <algorithm>

#include "api/limits.hpp"
#include "support/bits.hpp"

namespace alcove::api::vmm {

namespace {

constexpr size_t kPlainDescriptors = 5;  // without the console ring

Result<void> check_launch(const Launch& launch) {
    const auto refuse = [](const char* what) {
        return fail(ErrorCode::InvalidMessage, std::string("launch: ") + what);
    };
    if ((launch.flags & ~Launch::kDebug) != 0) return refuse("unknown flags");
    if (launch.machine_version != kMachineVersion) return refuse("unknown machine version");
    if (launch.vcpu_count < 1 || launch.vcpu_count > kMaxVcpus) return refuse("vCPU count out of range");
    if (!is_page_size(launch.page_size)) return refuse("unknown page size");
    if (!is_memory_size(launch.memory_bytes, launch.page_size)) return refuse("memory size out of range");
    if (launch.image_size == 0 || launch.image_size > kMaxImageBytes)
        return refuse("image size out of range");
    if (!is_guest_cid(launch.guest_cid)) return refuse("guest CID out of range");
    const bool debug = (launch.flags & Launch::kDebug) != 0;
    if (debug != (launch.console_ring_bytes != 0)) return refuse("a console ring and debug mode go together");
    return {};
}

}  // namespace

Result<LaunchOrder> decode_launch(Channel::Message message) {
    const auto envelope = TRY(open_envelope(message.data));
    const auto launch = TRY(decode<Launch>(envelope));
    TRY(check_launch(launch));
    const bool debug = (launch.flags & Launch::kDebug) != 0;
    auto& fds = message.descriptors;
    if (fds.size() != kPlainDescriptors + (debug ? 1 : 0))
        return fail(ErrorCode::InvalidMessage, "launch: " + std::to_string(fds.size()) + " descriptors");
    LaunchOrder order{.launch = launch, .descriptors = {}};
    order.descriptors.kvm = std::move(fds[0]);
    order.descriptors.ram = std::move(fds[1]);
    order.descriptors.image = std::move(fds[2]);
    order.descriptors.attestor = std::move(fds[3]);
    order.descriptors.connect_socket = std::move(fds[4]);
    if (debug) order.descriptors.console_ring = std::move(fds[5]);
    return order;
}

Result<Channel::Message> encode_launch(LaunchOrder order) {
    TRY(check_launch(order.launch));
    Channel::Message message{.data = encode(order.launch), .descriptors = {}};
    auto& fds = order.descriptors;
    for (Fd* fd : {&fds.kvm, &fds.ram, &fds.image, &fds.attestor, &fds.connect_socket})
        message.descriptors.push_back(std::move(*fd));
    if ((order.launch.flags & Launch::kDebug) != 0)
        message.descriptors.push_back(std::move(fds.console_ring));
    return message;
}

Bytes encode_statistics(uint32_t request, std::span<const StatisticsEntry> entries) {
    const auto sent = entries.first(std::min(entries.size(), Statistics::kMaxEntries));
    const Statistics body{.request = request, .count = static_cast<uint32_t>(sent.size())};
    return encode(body, {reinterpret_cast<const uint8_t*>(sent.data()), sent.size_bytes()});
}

Result<StatisticsReply> decode_statistics(const Envelope& envelope) {
    const auto statistics = TRY(decode_with_tail<Statistics>(envelope));
    const uint64_t count = statistics.body.count;
    if (count > Statistics::kMaxEntries || count * sizeof(StatisticsEntry) != statistics.tail.size())
        return fail(ErrorCode::InvalidMessage, "a list of counters of another length than it says");
    StatisticsReply reply{.request = statistics.body.request, .entries = {}};
    reply.entries.resize(count);
    for (size_t i = 0; i < count; ++i)
        reply.entries[i] = *read_object<StatisticsEntry>(statistics.tail, i * sizeof(StatisticsEntry));
    return reply;
}

}  // namespace alcove::api::vmm

// SPDX-License-Identifier: Apache-2.0
#include "api/vmm_messages.hpp"

#include <algorithm>

#include "api/limits.hpp"
#include "support/bits.hpp"

namespace alcove::api::vmm {

namespace {

Result<void> check_launch(const Launch& launch) {
    const auto refuse = [](const char* what) {
        return fail(ErrorCode::InvalidMessage, std::string("launch: ") + what);
    };
    const uint32_t of_role = launch.is_primary() ? Launch::kEnclaves : Launch::kCarved | Launch::kProvisioned;
    if ((launch.flags & ~(Launch::kConsole | of_role)) != 0) return refuse("unknown flags");
    if (launch.machine_version != kMachineVersion) return refuse("unknown machine version");
    if (launch.vcpu_count < 1 || launch.vcpu_count > kMaxVcpus) return refuse("vCPU count out of range");
    if (!is_threads_per_core(launch.threads_per_core, launch.vcpu_count))
        return refuse("no such number of threads in a core");
    if (!is_page_size(launch.page_size)) return refuse("unknown page size");
    if (!is_memory_size(launch.memory_bytes, launch.page_size)) return refuse("memory size out of range");
    if (launch.image_size == 0 || launch.image_size > kMaxImageBytes)
        return refuse("image size out of range");
    if (!is_role(launch.role)) return refuse("unknown role");
    const auto role = static_cast<VmRole>(uint32_t{launch.role});
    if (!is_cid_of(role, launch.guest_cid)) return refuse("guest CID out of range");
    if (!is_disk_count_of(role, launch.disk_count)) return refuse("too many disks");
    if (!are_networks_of(role, launch.networks)) return refuse("wrong networks");
    if (!is_sgx_of(role, launch.sgx)) return refuse("wrong SGX");
    const bool console = (launch.flags & Launch::kConsole) != 0;
    if (console != (launch.console_ring_bytes != 0)) return refuse("a console and its ring go together");
    return {};
}

// The descriptors that this launch has, in the order on the wire; of disks and networks, as many as it says.
std::vector<Fd*> places_of(LaunchOrder& order) {
    auto& fds = order.descriptors;
    std::vector<Fd*> places = {&fds.kvm, &fds.ram, &fds.image, &fds.connect_socket};
    if (!order.launch.is_primary()) places.push_back(&fds.attestor);
    if ((order.launch.flags & Launch::kConsole) != 0) places.push_back(&fds.console_ring);
    if (order.launch.sgx.has_spill_file()) places.push_back(&fds.spill);
    fds.epc.resize(order.launch.sgx.epc_devices());
    for (auto& epc : fds.epc)
        places.push_back(&epc);
    if (order.launch.sgx.has_provision_device()) places.push_back(&fds.provision);
    fds.disks.resize(order.launch.disk_count);
    for (auto& disk : fds.disks)
        places.push_back(&disk);
    fds.networks.resize(network_count(order.launch.networks));
    for (auto& network : fds.networks)
        places.push_back(&network);
    return places;
}

}  // namespace

Result<LaunchOrder> decode_launch(const Envelope& envelope, std::vector<Fd> fds) {
    const auto launch = TRY(decode<Launch>(envelope));
    TRY(check_launch(launch));
    LaunchOrder order{.launch = launch, .descriptors = {}};
    const auto places = places_of(order);
    if (fds.size() != places.size())
        return fail(ErrorCode::InvalidMessage, "launch: " + std::to_string(fds.size()) + " descriptors");
    for (size_t i = 0; i < places.size(); ++i)
        *places[i] = std::move(fds[i]);
    return order;
}

Result<Channel::Message> encode_launch(LaunchOrder order) {
    TRY(check_launch(order.launch));
    if (order.descriptors.disks.size() != order.launch.disk_count)
        return fail(ErrorCode::InvalidMessage, "launch: another number of disks than it says");
    if (order.descriptors.networks.size() != network_count(order.launch.networks))
        return fail(ErrorCode::InvalidMessage, "launch: another number of networks than it says");
    if (order.descriptors.epc.size() != order.launch.sgx.epc_devices())
        return fail(ErrorCode::InvalidMessage, "launch: another number of EPC sections than it says");
    Channel::Message message{.data = encode(order.launch), .descriptors = {}};
    for (Fd* fd : places_of(order))
        message.descriptors.push_back(std::move(*fd));
    return message;
}

Channel::Message encode_fabric_join(FabricPeer peer) {
    const FabricJoin join{.peer_cid = peer.cid, .flags = peer.flags(), .reserved = {}};
    return {.data = encode(join), .descriptors = FabricPeer::to_descriptors(std::move(peer))};
}

Result<FabricPeer> decode_fabric_join(const Envelope& envelope, std::vector<Fd> descriptors) {
    const auto join = TRY(decode<FabricJoin>(envelope));
    return FabricPeer::from_message(join.peer_cid, join.flags, std::move(descriptors));
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

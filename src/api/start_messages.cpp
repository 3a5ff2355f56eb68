// SPDX-License-Identifier: Apache-2.0
#include "api/start_messages.hpp"

#include <array>

#include "api/limits.hpp"

namespace alcove::api::start {

namespace {

// One list of the descriptors that both roles have, so that both directions agree on the order.
constexpr std::array kOrder = {
    &Descriptors::daemon_listener,
    &Descriptors::connect_listener,
    &Descriptors::folder,
    &Descriptors::image,
    &Descriptors::kvm,
    &Descriptors::vmm_channel,
    &Descriptors::vmm_log,
    &Descriptors::vmm_pidfd,
    &Descriptors::vmm_kill,
};

// Each number by itself, and the role's rules.
bool is_in_range(const Start& start) {
    if (!is_role(start.role)) return false;
    const auto role = static_cast<VmRole>(uint32_t{start.role});
    const uint32_t of_role =
        role == VmRole::Primary ? Start::kEnclaves : Start::kDebug | Start::kCarved | Start::kProvisioned;
    if ((start.flags & ~of_role) != 0 || !is_page_size(start.page_size) ||
        !is_memory_size(start.memory_bytes, start.page_size) || !is_disk_count_of(role, start.disk_count) ||
        !are_networks_of(role, start.networks) || !is_sgx_of(role, start.sgx))
        return false;
    // What a carved enclave will be is not known yet.
    if ((start.flags & Start::kCarved) != 0)
        return start.flags == Start::kCarved && start.vcpu_count == 0 && start.threads_per_core == 0 &&
               start.image_size == 0 && start.guest_cid == 0;
    return start.vcpu_count >= 1 && start.vcpu_count <= kMaxVcpus &&
           is_threads_per_core(start.threads_per_core, start.vcpu_count) && start.image_size != 0 &&
           start.image_size <= kMaxImageBytes && is_cid_of(role, start.guest_cid);
}

}  // namespace

Result<void> send_start(const Channel& channel, const Order& order) {
    TRY(channel.send(encode_hello(Protocol::Start, kVersions)));
    std::vector<int> descriptors;
    for (const auto member : kOrder)
        descriptors.push_back((order.descriptors.*member).get());
    if (order.start.role == static_cast<uint32_t>(VmRole::Enclave))
        descriptors.push_back(order.descriptors.attestor.get());
    if (order.start.sgx.has_spill_file()) descriptors.push_back(order.descriptors.spill.get());
    for (const auto& epc : order.descriptors.epc)
        descriptors.push_back(epc.get());
    if (order.start.sgx.has_provision_device()) descriptors.push_back(order.descriptors.provision.get());
    for (const auto& disk : order.descriptors.disks)
        descriptors.push_back(disk.get());
    for (const auto& network : order.descriptors.networks)
        descriptors.push_back(network.get());
    return channel.send(encode(order.start), descriptors);
}

Result<Order> receive_start(const Channel& channel) {
    const auto hello = TRY(channel.receive());
    const auto hello_envelope = TRY(open_envelope(hello.data));
    TRY(accept_hello(hello_envelope, Protocol::Start, kVersions));
    auto message = TRY(channel.receive());
    const auto envelope = TRY(open_envelope(message.data));
    const auto start = TRY(decode<Start>(envelope));
    if (!is_in_range(start)) return fail(ErrorCode::InvalidMessage, "a start with a number out of range");
    const bool enclave = start.role == static_cast<uint32_t>(VmRole::Enclave);
    const bool spills = start.sgx.has_spill_file();
    const bool provisions = start.sgx.has_provision_device();
    if (message.descriptors.size() != kOrder.size() + (enclave ? 1 : 0) + (spills ? 1 : 0) +
                                          start.sgx.epc_devices() + (provisions ? 1 : 0) + start.disk_count +
                                          network_count(start.networks))
        return fail(ErrorCode::InvalidMessage,
                    "a start with " + std::to_string(message.descriptors.size()) + " descriptors");
    Order order{.start = start, .descriptors = {}};
    auto next = message.descriptors.begin();
    for (const auto member : kOrder)
        order.descriptors.*member = std::move(*next++);
    if (enclave) order.descriptors.attestor = std::move(*next++);
    if (spills) order.descriptors.spill = std::move(*next++);
    for (uint32_t i = 0; i < start.sgx.epc_devices(); ++i)
        order.descriptors.epc.push_back(std::move(*next++));
    if (provisions) order.descriptors.provision = std::move(*next++);
    for (uint32_t i = 0; i < start.disk_count; ++i)
        order.descriptors.disks.push_back(std::move(*next++));
    while (next != message.descriptors.end())
        order.descriptors.networks.push_back(std::move(*next++));
    TRY(VmId::parse(start.vm_id));
    const auto attestor_socket = start.attestor_socket.text();
    if (!attestor_socket || !attestor_socket->starts_with('/'))
        return fail(ErrorCode::InvalidMessage, "a start without the attestor's socket");
    return order;
}

}  // namespace alcove::api::start

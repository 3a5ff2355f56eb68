// SPDX-License-Identifier: Apache-2.0
#include "api/broker_messages.hpp"

#include "api/limits.hpp"

namespace alcove::api::broker {

namespace {

Failure refuse(std::string what) {
    return fail(ErrorCode::InvalidArgument, std::move(what));
}

// What a carved enclave will be is not known yet.
Result<void> check_carved(const Launch& launch) {
    if (launch.flags != Launch::kCarved) return refuse("a carved enclave begins with no other flag");
    if (launch.vcpu_count != 0 || launch.threads_per_core != 0 || launch.image_size != 0 ||
        launch.guest_cid != 0)
        return refuse("vCPUs, image and CID of a carved enclave are said later");
    return {};
}

Result<void> check_machine(const Launch& launch, VmRole role) {
    if (launch.vcpu_count < 1 || launch.vcpu_count > kMaxVcpus) return refuse("vCPU count out of range");
    if (!is_threads_per_core(launch.threads_per_core, launch.vcpu_count))
        return refuse("no such number of threads in a core");
    if (launch.image_size == 0 || launch.image_size > kMaxImageBytes)
        return refuse("image size out of range");
    if (!is_cid_of(role, launch.guest_cid)) return refuse("guest CID out of range");
    return {};
}

}  // namespace

Result<void> check_numbers(const Launch& launch) {
    if (!is_role(launch.role)) return refuse("unknown role");
    const auto role = static_cast<VmRole>(uint32_t{launch.role});
    const uint32_t of_role =
        role == VmRole::Primary ? Launch::kEnclaves : Launch::kDebug | Launch::kCarved | Launch::kProvisioned;
    if ((launch.flags & ~(Launch::kDedicated | of_role)) != 0)
        return refuse("flags that are unknown or of another role");
    if (!is_page_size(launch.page_size)) return refuse("unknown page size");
    if (!is_memory_size(launch.memory_bytes, launch.page_size)) return refuse("memory size out of range");
    if (launch.vmm_slot >= kVmmUidCount) return refuse("VMM slot out of range");
    if (!is_disk_count_of(role, launch.disk_count)) return refuse("too many disks");
    if (!are_networks_of(role, launch.networks)) return refuse("wrong networks");
    if (!is_sgx_of(role, launch.sgx) || launch.sgx.root != SgxRootSecret{}) return refuse("wrong SGX");
    return (launch.flags & Launch::kCarved) != 0 ? check_carved(launch) : check_machine(launch, role);
}

Bytes encode_listing(uint32_t request, std::span<const ListEntry> entries) {
    const auto sent = entries.first(std::min(entries.size(), Listing::kMaxEntries));
    const Listing body{.request = request,
                       .count = static_cast<uint32_t>(sent.size()),
                       .more = sent.size() < entries.size() ? 1U : 0U,
                       .reserved = {}};
    return encode(body, {reinterpret_cast<const uint8_t*>(sent.data()), sent.size_bytes()});
}

Result<ListingReply> decode_listing(const Envelope& envelope) {
    const auto listing = TRY(decode_with_tail<Listing>(envelope));
    const uint64_t count = listing.body.count;
    if (count > Listing::kMaxEntries || count * sizeof(ListEntry) != listing.tail.size())
        return fail(ErrorCode::InvalidMessage, "a list of VMs of another length than it says");
    ListingReply reply{.request = listing.body.request, .more = listing.body.more != 0, .entries = {}};
    for (size_t i = 0; i < count; ++i)
        reply.entries.push_back(*read_object<ListEntry>(listing.tail, i * sizeof(ListEntry)));
    return reply;
}

}  // namespace alcove::api::broker

// SPDX-License-Identifier: Apache-2.0
#include "api/broker_messages.hpp"

namespace alcove::api::broker {

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

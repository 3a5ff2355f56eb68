// SPDX-License-Identifier: Apache-2.0
#include "vsock/fabric_backend.hpp"

#include <utility>

namespace alcove::vsock {

FabricBackend::FabricBackend(EventLoop& loop, Options options) : loop_(loop), options_(std::move(options)) {}

Result<void> FabricBackend::join(Cid peer, api::FabricEnd end) {
    if (const auto former = links_.find(peer); former != links_.end()) {
        former->second->end();
        links_.erase(former);
    }
    sweep();
    if (links_.size() >= kMaxPeers)
        return fail(ErrorCode::LimitExceeded,
                    "a VM is joined with " + std::to_string(kMaxPeers) + " at most");
    const FabricLink::Guest guest{.loop = loop_,
                                  .cid = options_.guest_cid,
                                  .replies = replies_,
                                  .on_packets = [this] { wake(); },
                                  .on_peer_gone =
                                      [this](Cid cid) {
                                          sweep_later();
                                          if (options_.on_peer_gone) options_.on_peer_gone(cid);
                                      },
                                  .on_heartbeat =
                                      [this] {
                                          if (options_.on_heartbeat) options_.on_heartbeat();
                                      }};
    auto link = TRY(FabricLink::create(guest, peer, std::move(end), options_.link, is_active_));
    links_[peer] = std::move(link);
    wake();
    return {};
}

void FabricBackend::leave(Cid peer) {
    const auto found = links_.find(peer);
    if (found == links_.end()) return;
    found->second->leave();
    wake();
}

void FabricBackend::sweep() {
    std::erase_if(links_, [](const auto& entry) { return entry.second->is_over(); });
}

// Not by a link that is still at work.
void FabricBackend::sweep_later() {
    loop_.post([this, alive = std::weak_ptr(alive_)] {
        if (!alive.expired()) sweep();
    });
}

bool FabricBackend::serves(Cid cid) const {
    const auto found = links_.find(cid);
    return found != links_.end() && !found->second->is_over();
}

void FabricBackend::activate() {
    is_active_ = true;
    for (const auto& [cid, link] : links_)
        link->activate();
}

void FabricBackend::reset() {
    is_active_ = false;
    for (const auto& [cid, link] : links_)
        link->reset();
    replies_.clear();
}

void FabricBackend::receive(const Header& header, std::span<const memory::GuestSlice> payload) {
    links_.at(to_cid(header.dst_cid))->receive(header, payload);
}

bool FabricBackend::has_packets() const {
    if (!replies_.is_empty()) return true;
    for (const auto& [cid, link] : links_)
        if (link->has_packets()) return true;
    return false;
}

// The one behind the one that was served last: none waits for more than a turn of each other.
FabricBackend::Links::iterator FabricBackend::next_with_packets() {
    auto link = links_.upper_bound(last_served_);
    for (size_t i = 0; i < links_.size(); ++i, ++link) {
        if (link == links_.end()) link = links_.begin();
        if (link->second->has_packets()) return link;
    }
    return links_.end();
}

Result<bool> FabricBackend::send(RxRing& ring) {
    if (!replies_.is_empty()) return replies_.send_one(ring);
    const auto link = next_with_packets();
    if (link == links_.end()) return true;
    last_served_ = link->first;
    const bool sent = TRY(link->second->send(ring));
    if (link->second->is_over()) sweep_later();
    return sent;
}

FabricLink::Counters FabricBackend::counters() const {
    FabricLink::Counters total;
    for (const auto& [cid, link] : links_) {
        const auto& counters = link->counters();
        total.bytes_to_peer += counters.bytes_to_peer;
        total.bytes_to_guest += counters.bytes_to_guest;
        total.bytes_copied += counters.bytes_copied;
        total.doorbells += counters.doorbells;
        total.resets += counters.resets;
        total.violations += counters.violations;
    }
    return total;
}

size_t FabricBackend::stream_count() const {
    size_t total = 0;
    for (const auto& [cid, link] : links_)
        total += link->stream_count();
    return total;
}

uint64_t FabricBackend::buffered_bytes() const {
    uint64_t total = 0;
    for (const auto& [cid, link] : links_)
        total += link->buffered_bytes();
    return total;
}

}  // namespace alcove::vsock

// SPDX-License-Identifier: Apache-2.0
//
// The other VMs of the guest's fabric as peers of the guest: a primary VM has its enclaves, an enclave its
// primary VM. Each peer is a link of its own, with its own table and its own memory, so what one of them does
// is felt by no other. Nothing is ever passed from one peer to another.
#pragma once

#include <map>
#include <memory>

#include "api/fabric_peer.hpp"
#include "vsock/backend.hpp"
#include "vsock/fabric_link.hpp"

namespace alcove::vsock {

class FabricBackend : public Backend {
  public:
    static constexpr size_t kMaxPeers = 64;
    struct Options {
        Cid guest_cid{};
        FabricLink::Options link{};
        // A peer has left or is found to be gone; may be empty. It is not served any more.
        std::function<void(Cid)> on_peer_gone = {};
        // The guest's boot heartbeat (services.hpp) was answered by a program of its parent; may be empty. At
        // most once for each link.
        std::function<void()> on_heartbeat = {};
    };

    // The loop is borrowed. On its thread.
    FabricBackend(EventLoop& loop, Options options);
    FabricBackend(const FabricBackend&) = delete;
    FabricBackend& operator=(const FabricBackend&) = delete;

    // In the place of a link with the same peer that there is. ErrorCode::LimitExceeded with too many peers.
    Result<void> join(Cid peer, api::FabricEnd end);
    // One that is not there is as good.
    void leave(Cid peer);

    using Backend::serves;
    bool serves(Cid cid) const override;
    void activate() override;
    void reset() override;
    void receive(const Header& header, std::span<const memory::GuestSlice> payload) override;
    bool has_packets() const override;
    Result<bool> send(RxRing& ring) override;

    // For inspection: of the peers that there are.
    FabricLink::Counters counters() const;
    size_t stream_count() const;
    uint64_t buffered_bytes() const;

  private:
    using Links = std::map<Cid, std::unique_ptr<FabricLink>>;
    Links::iterator next_with_packets();
    void sweep();
    void sweep_later();

    EventLoop& loop_;
    const Options options_;
    bool is_active_ = false;
    GuestReplies replies_;
    Links links_;
    Cid last_served_{};
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace alcove::vsock

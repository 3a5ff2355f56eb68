// SPDX-License-Identifier: Apache-2.0
//
// A VM of a fabric, for tests and fuzzers: a fake guest, its device, and a backend that can be joined with
// others in the same process. Each has a loop of its own, as a VMM has.
#pragma once

#include "vsock/fabric_backend.hpp"
#include "vsock/guest_fake.hpp"

namespace alcove::vsock {

struct FakeMember {
    explicit FakeMember(Cid cid, const FabricLink::Options& options = {},
                        const VsockDevice::Timing& timing = {});

    Header header(Op op, Port own, Port peers, Cid peer) const;
    // Turns of loop and guest until neither has anything to do; says whether anything was done.
    bool run();

    virtio::FakeMachine machine;
    std::vector<Cid> gone;  // peers, as the backend told
    uint32_t heartbeats = 0;
    FabricBackend fabric;
    VsockDevice device;
    FakeGuest guest;
    GuestSockets sockets;
};

void join(FakeMember& one, FakeMember& other);
// Until none of them has anything to do.
void run_all(const std::vector<FakeMember*>& members);
// The same until `done` says so; false when that takes longer than `limit`.
bool run_all_until(const std::vector<FakeMember*>& members, const std::function<bool()>& done,
                   std::chrono::milliseconds limit = std::chrono::seconds(120));

}  // namespace alcove::vsock

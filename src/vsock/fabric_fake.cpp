// SPDX-License-Identifier: Apache-2.0
#include "vsock/fabric_fake.hpp"

namespace alcove::vsock {

FakeMember::FakeMember(Cid cid, const FabricLink::Options& options, const VsockDevice::Timing& timing)
    : fabric(machine.loop(), {.guest_cid = cid,
                              .link = options,
                              .on_peer_gone = [this](Cid peer) { gone.push_back(peer); },
                              .on_heartbeat = [this] { ++heartbeats; }}),
      device(machine.loop(), cid, {&fabric}, timing),
      guest(machine, device, cid),
      sockets(guest) {
    guest.start();
}

Header FakeMember::header(Op op, Port own, Port peers, Cid peer) const {
    auto result = FakeGuest::header(op, own, peers, peer);
    result.src_cid = number(guest.cid());
    return result;
}

bool FakeMember::run() {
    bool ran = false;
    do {
        while (machine.loop().run_once(std::chrono::milliseconds(0)).value() > 0)
            ran = true;
    } while (sockets.poll() > 0);
    return ran;
}

namespace {

// Once each; whether anything happened.
bool run_each(const std::vector<FakeMember*>& members) {
    bool ran = false;
    for (auto* member : members)
        if (member->run()) ran = true;
    return ran;
}

}  // namespace

void join(FakeMember& one, FakeMember& other) {
    auto pair = api::make_fabric_pair().value();
    one.fabric.join(other.guest.cid(), std::move(pair.first)).value();
    other.fabric.join(one.guest.cid(), std::move(pair.second)).value();
}

void run_all(const std::vector<FakeMember*>& members) {
    while (run_each(members)) {
    }
}

bool run_all_until(const std::vector<FakeMember*>& members, const std::function<bool()>& done,
                   std::chrono::milliseconds limit) {
    constexpr int kTurns = 20;
    const auto deadline = EventLoop::Clock::now() + limit;
    while (true) {
        // Peers that ask each other for credit by a timer never rest on a machine that is slower than that.
        for (int turn = 0; turn < kTurns && run_each(members); ++turn) {
        }
        if (done()) return true;
        if (EventLoop::Clock::now() > deadline) return false;
        (void)members.front()->machine.loop().run_once(std::chrono::milliseconds(1));
    }
}

}  // namespace alcove::vsock

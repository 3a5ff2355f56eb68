// SPDX-License-Identifier: Apache-2.0
//
// A primary VM's end of a fabric against a peer whose VMM was taken over, and a guest that helps it: the
// input writes the peer's ring, indices and all, or sends packets that keep the ring's rules; the guest sends
// to the peer and takes or does not take. Whatever comes, tables stay capped, what waits stays in its budget,
// and an end of the link leaves nothing behind.
#include <cstdlib>

#include "support/fuzz_input.hpp"
#include "support/log.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"
#include "vsock/fabric_fake.hpp"

namespace {

using namespace alcove;
using namespace alcove::vsock;

constexpr Cid kPeer{16};
constexpr FabricLink::Options kOptions{
    .max_streams = 8, .buffer_budget = 128 * 1024, .credit_patience = std::chrono::milliseconds(1)};

void require(bool condition) {
    if (!condition) std::abort();
}

FakeMember& primary() {
    static FakeMember member(Cid::Parent, kOptions);
    return member;
}

void check() {
    const auto& fabric = primary().fabric;
    require(fabric.stream_count() <= kOptions.max_streams);
    require(fabric.buffered_bytes() <=
            kOptions.buffer_budget + kOptions.max_streams * (WindowBudget::kMinWindow + 2 * kMaxPayload));
}

Header any_header(FuzzInput& input, Cid from, Cid to) {
    auto header = make_header(static_cast<Op>(input.byte() % 9), from, Port{input.byte() % 3U}, to,
                              Port{input.byte() % 3U});
    header.buf_alloc = static_cast<uint32_t>(input.number(3));
    const uint8_t twists = input.byte();
    if ((twists & 1) != 0) header.dst_cid = input.byte() % 20;
    if ((twists & 2) != 0) header.src_cid = input.byte() % 20;
    if ((twists & 4) != 0) header.type = input.byte();
    if ((twists & 8) != 0) header.fwd_cnt = static_cast<uint32_t>(input.number(4));
    if ((twists & 16) != 0) header.len = static_cast<uint32_t>(input.number(4));
    if ((twists & 32) != 0) header.flags = input.byte();
    return header;
}

// The peer's VMM.
class Peer {
  public:
    explicit Peer(api::FabricEnd end)
        : memory_(Mapping::shared(end.own_ring, api::kFabricRingBytes).value()),
          ring_(api::FabricRing::open(end.own_ring, end.peer_ring).value()),
          doorbell_(std::move(end.doorbell)) {}

    void send(FuzzInput& input) {
        auto header = any_header(input, kPeer, Cid::Parent);
        const uint32_t size = op_of(header) == Op::RW ? input.byte() * 257U : 0;
        if (header.len == 0) header.len = size;
        const auto room = ring_.has_room(size);
        if (room && *room && ring_.send(object_bytes(header), size)) doorbell_.ring();
    }
    void take() {
        for (int i = 0; i < 16 && !ring_.is_empty(); ++i) {
            const auto record = ring_.front();
            require(record.has_value());
            if (ring_.drop(*record)) doorbell_.ring();
        }
    }
    // Any word of the ring's first page, or the first slots of its data.
    void scribble(FuzzInput& input) {
        const size_t at =
            input.byte() % 2 == 0 ? 8U * (input.byte() % 64U) : api::kFabricDataOffset + 4U * input.byte();
        const uint64_t value = input.byte() % 2 == 0 ? input.number(8) : uint64_t{64} * input.byte();
        std::memcpy(memory_.data() + at, &value, sizeof value);
        doorbell_.ring();
    }

  private:
    Mapping memory_;
    api::FabricRing ring_;
    api::FabricDoorbell doorbell_;
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    log::silence();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    FuzzInput input({data, size});
    auto& member = primary();
    member.machine.release_all();
    member.guest.start(virtio::FakeDriver::kUsualFeatures, {16, 32, 8});
    auto pair = api::make_fabric_pair().value();
    require(member.fabric.join(kPeer, std::move(pair.first)).has_value());
    {
        Peer peer(std::move(pair.second));
        static const Bytes kPayload(kMaxPayload, 0x5a);
        while (!input.is_empty()) {
            switch (input.byte() % 8) {
                case 0:
                case 1:
                    peer.send(input);
                    break;
                case 2:
                    peer.take();
                    break;
                case 3:
                    peer.scribble(input);
                    break;
                case 4: {
                    auto header = any_header(input, Cid::Parent, kPeer);
                    const uint32_t length = op_of(header) == Op::RW ? input.byte() * 257U : 0;
                    if (header.len == 0) header.len = length;
                    member.guest.send(header, ByteView(kPayload).first(length));
                    break;
                }
                case 5:
                    (void)member.guest.receive();
                    break;
                case 6:
                    member.guest.set_refill(input.byte() % 2 == 0);
                    break;
                default:
                    member.machine.run();
                    check();
                    break;
            }
        }
        member.machine.run();
        check();
    }
    member.guest.driver().reset();
    member.guest.set_refill(true);
    member.fabric.leave(kPeer);
    member.machine.run();
    require(member.fabric.stream_count() == 0 && member.fabric.buffered_bytes() == 0);
    require(!member.fabric.serves(kPeer));
    member.gone.clear();
    return 0;
}

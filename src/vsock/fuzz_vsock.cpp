// SPDX-License-Identifier: Apache-2.0
//
// The vsock device against a hostile guest. The first byte chooses how: packets of any content over rings
// that keep the rules (deep into streams, with host programs at work on the other side), or rings whose
// bytes the input writes itself. Whatever comes, tables stay capped, buffers stay in their budget, and a
// reset leaves nothing behind.
#include <algorithm>
#include <cstdlib>

#include <sys/socket.h>

#include "support/fuzz_input.hpp"
#include "support/log.hpp"
#include "support/system.hpp"
#include "vsock/guest_fake.hpp"

namespace {

using namespace alcove;
using namespace alcove::vsock;
using memory::GuestAddress;
namespace mmio = virtio::mmio;

void require(bool condition) {
    if (!condition) std::abort();
}

constexpr size_t kMaxConnections = 8;
constexpr uint64_t kBudget = 256 * 1024;

FakeVsock& fixture() {
    static FakeVsock vsock({.max_connections = kMaxConnections, .buffer_budget = kBudget});
    return vsock;
}

void check(const FakeVsock& vsock) {
    require(vsock.backend.connection_count() <= kMaxConnections);
    require(vsock.backend.buffered_bytes() <=
            kBudget + kMaxConnections * (WindowBudget::kMinWindow + kMaxPayload));
}

uint32_t any_word(FuzzInput& input) {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i)
        value = (value << 8) | input.byte();
    return value;
}

Header make_any_header(FuzzInput& input) {
    static constexpr uint64_t kCids[] = {16, 16, 16, 17, 3, 2, 1, ~uint64_t{0}};
    auto header = FakeGuest::header(static_cast<Op>(input.byte() % 10), Port{uint32_t{input.byte()} % 4},
                                    Port{5000U + input.byte() % 3});
    const uint8_t twists = input.byte();
    if ((twists & 1) != 0) header.src_cid = kCids[input.byte() % 8];
    if ((twists & 2) != 0) header.dst_cid = kCids[input.byte() % 8];
    if ((twists & 4) != 0) header.type = input.byte();
    if ((twists & 8) != 0) header.flags = input.byte();
    if ((twists & 16) != 0) header.buf_alloc = any_word(input);
    if ((twists & 32) != 0) header.fwd_cnt = any_word(input);
    if ((twists & 64) != 0) header.len = any_word(input);
    return header;
}

void act_for_programs(FakeVsock& vsock, FuzzInput& input) {
    auto& opener = vsock.opener;
    const uint8_t action = input.byte();
    switch (action % 6) {
        case 0:
            opener.answer = static_cast<FakeOpener::Answer>(input.byte() % 3);
            return;
        case 1: {
            if (opener.waiting.empty()) return;
            const auto done = std::move(opener.waiting.back());
            opener.waiting.pop_back();
            if (input.byte() % 2 == 0) return done(fail(ErrorCode::NotFound, "nobody"));
            auto pair = sys::socket_pair(SOCK_STREAM).value();
            sys::set_non_blocking(pair.first, true).value();
            opener.programs.push_back(std::move(pair.first));
            return done(std::move(pair.second));
        }
        case 2: {
            auto pair = sys::socket_pair(SOCK_STREAM).value();
            sys::set_non_blocking(pair.first, true).value();
            opener.programs.push_back(std::move(pair.first));
            (void)vsock.backend.connect(std::move(pair.second), Port{uint32_t{input.byte()} % 4});
            return;
        }
        default:
            break;
    }
    if (opener.programs.empty()) return;
    const size_t index = input.byte() % opener.programs.size();
    auto& program = opener.programs[index];
    static Bytes buffer(64 * 1024);
    switch (action % 6) {
        case 3:
            (void)sys::write_some(program, ByteView(buffer).first(input.byte() * 256U));
            return;
        case 4:
            (void)sys::read_some(program, buffer);
            return;
        default:
            if (input.byte() % 2 == 0)
                opener.programs.erase(opener.programs.begin() + static_cast<ptrdiff_t>(index));
            else
                ::shutdown(program.get(), input.byte() % 3);
            return;
    }
}

void attack_with_packets(FuzzInput& input) {
    auto& vsock = fixture();
    vsock.machine.release_all();
    vsock.guest.start(virtio::FakeDriver::kUsualFeatures, {16, 32, 8});
    static const Bytes kPayload(kMaxPayload, 0x5a);
    while (!input.is_empty()) {
        switch (input.byte() % 8) {
            case 0:
            case 1:
            case 2: {
                const auto header = make_any_header(input);
                vsock.guest.send(header);
                break;
            }
            case 3: {
                auto header = make_any_header(input);
                const uint32_t size = input.byte() * 257U;
                header.op = static_cast<uint16_t>(Op::RW);
                if (header.len == 0) header.len = size;
                vsock.guest.send(header, ByteView(kPayload).first(size));
                break;
            }
            case 4:
                (void)vsock.guest.receive();
                break;
            case 5:
                vsock.guest.set_refill(input.byte() % 2 == 0);
                break;
            case 6:
                act_for_programs(vsock, input);
                break;
            default:
                vsock.machine.run();
                check(vsock);
                break;
        }
    }
    vsock.machine.run();
    check(vsock);
}

// Three rings of 16 entries in the first page, then buffers.
constexpr uint16_t kSize = 16;
constexpr uint64_t kRing = 1024;
constexpr uint64_t kBase = virtio::FakeMachine::kMemoryBase;

void attack_with_rings(FuzzInput& input) {
    auto& vsock = fixture();
    auto& driver = vsock.guest.driver();
    const auto& memory = *vsock.machine.memory();
    memory.fill_zero(GuestAddress(kBase), 16 * 1024).value();
    const bool uses_features = input.byte() % 2 == 0;
    require(
        driver.negotiate(uses_features ? virtio::FakeDriver::kUsualFeatures : virtio::feature::VERSION_1));
    for (uint16_t i = 0; i < queue_index::kCount; ++i)
        driver.set_up_queue(i, {.size = kSize,
                                .descriptor_table = GuestAddress(kBase + i * kRing),
                                .available_ring = GuestAddress(kBase + i * kRing + 256),
                                .used_ring = GuestAddress(kBase + i * kRing + 512)});
    driver.write(mmio::Status, 15);
    vsock.machine.run();

    uint16_t available[queue_index::kCount] = {};
    while (!input.is_empty()) {
        const uint16_t queue = input.byte() % queue_index::kCount;
        const uint64_t ring = kBase + queue * kRing;
        switch (input.byte() % 7) {
            case 0:  // a descriptor or what follows, anyhow
                memory.write_bytes(GuestAddress(ring + input.byte()), Bytes(16, input.byte())).value();
                break;
            case 1: {  // a descriptor that makes sense
                const virtio::Descriptor descriptor{.addr = kBase + 4096 + 64U * input.byte(),
                                                    .len = input.byte() * 16U,
                                                    .flags = static_cast<uint16_t>(input.byte() % 8),
                                                    .next = static_cast<uint16_t>(input.byte() % 18)};
                memory.write(GuestAddress(ring + 16U * (input.byte() % kSize)), descriptor).value();
                break;
            }
            case 2: {  // one more chain
                const uint64_t entry = available[queue] % kSize;
                memory.write<Le16>(GuestAddress(ring + 260 + 2 * entry), input.byte() % 17).value();
                memory.store_release_u16(GuestAddress(ring + 258), ++available[queue]).value();
                break;
            }
            case 3: {  // a packet, where descriptors may point
                const auto header = make_any_header(input);
                memory.write(GuestAddress(kBase + 4096 + 64U * input.byte()), header).value();
                break;
            }
            case 4:
                driver.notify(queue);
                break;
            case 5:
                act_for_programs(vsock, input);
                break;
            default:
                vsock.machine.run();
                check(vsock);
                break;
        }
    }
    vsock.machine.run();
    check(vsock);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    log::silence();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    FuzzInput input({data, size});
    auto& vsock = fixture();
    vsock.opener.answer = FakeOpener::Answer::Accept;
    if (input.byte() % 2 == 0)
        attack_with_packets(input);
    else
        attack_with_rings(input);
    vsock.guest.driver().reset();
    vsock.guest.set_refill(true);
    require(vsock.backend.connection_count() == 0);
    // Openers that never answered keep their place: answer them.
    for (const auto& done : vsock.opener.waiting)
        done(fail(ErrorCode::NotFound, "nobody"));
    vsock.opener.waiting.clear();
    vsock.opener.programs.clear();
    vsock.opener.ports.clear();
    vsock.machine.run();
    return 0;
}

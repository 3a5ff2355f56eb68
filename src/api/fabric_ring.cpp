// SPDX-License-Identifier: Apache-2.0
#include "api/fabric_ring.hpp"

#include <algorithm>
#include <atomic>
#include <string>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "support/bits.hpp"
#include "support/check.hpp"
#include "support/endian.hpp"
#include "support/system.hpp"

namespace alcove::api {

namespace {

constexpr uint32_t kMagic = 0x62614641;  // "AFab"
constexpr uint64_t kWrittenOffset = 64;
constexpr uint64_t kTakenOffset = 128;
constexpr uint64_t kDataWantedOffset = 192;
constexpr uint64_t kRoomWantedOffset = 256;

struct RingHeader {
    Le32 magic;
    Le32 data_bytes;
};
struct Slot {
    Le32 payload_bytes;
    std::array<uint8_t, kFabricHeaderBytes> header;
};
static_assert(sizeof(Slot) == kFabricSlotBytes);
static_assert(kFabricDataBytes % kFabricSlotBytes == 0, "a slot never goes around the end");

constexpr uint64_t record_bytes(uint32_t payload_bytes) {
    return kFabricSlotBytes + align_up<uint64_t>(payload_bytes, kFabricSlotBytes);
}
constexpr uint64_t kLargestRecord = record_bytes(kFabricMaxPayload);
static_assert(kFabricDataBytes >= 2 * kLargestRecord);

uint64_t load(const Mapping& mapping, uint64_t offset) {
    return __atomic_load_n(reinterpret_cast<const uint64_t*>(mapping.data() + offset), __ATOMIC_ACQUIRE);
}

void store(const Mapping& mapping, uint64_t offset, uint64_t value) {
    __atomic_store_n(reinterpret_cast<uint64_t*>(mapping.data() + offset), value, __ATOMIC_RELEASE);
}

// Between a store for the other end and a look at what it stored: see the top of the header.
void fence() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

// Whether progress from `before` to `after` passed the position that somebody waits at.
constexpr bool has_passed(uint64_t wanted, uint64_t before, uint64_t after) {
    return wanted - before < after - before;
}

// The two pieces of [position, position + length) in a ring's data.
template <typename Byte>
std::array<std::span<Byte>, 2> pieces(Byte* data, uint64_t position, uint64_t length) {
    const uint64_t at = position % kFabricDataBytes;
    const uint64_t first = std::min(length, kFabricDataBytes - at);
    return {std::span(data + at, first), std::span(data, length - first)};
}

Result<void> check_ring(const Fd& ring) {
    const uint64_t size = TRY(sys::file_size(ring));
    if (size != kFabricRingBytes) return fail(ErrorCode::InvalidArgument, "no fabric ring: wrong size");
    return {};
}

Result<void> check_header(const Mapping& ring) {
    const auto header = *read_object<RingHeader>(ring.bytes().first(sizeof(RingHeader)));
    if (header.magic != kMagic || header.data_bytes != kFabricDataBytes)
        return fail(ErrorCode::InvalidArgument, "no fabric ring: wrong header");
    return {};
}

Result<Fd> make_ring() {
    auto ring = TRY(sys::memfd("alcove-fabric"));
    if (::fchmod(ring.get(), 0600) < 0) return fail_errno(errno, "fchmod of a fabric ring");
    TRY(sys::truncate(ring, kFabricRingBytes));
    TRY(sys::add_seals(ring, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL));
    const RingHeader header{.magic = kMagic, .data_bytes = static_cast<uint32_t>(kFabricDataBytes)};
    TRY(sys::write_all_at(ring, object_bytes(header), 0));
    return ring;
}

Result<Fd> open_for_reading(const Fd& ring) {
    return sys::open("/proc/self/fd/" + std::to_string(ring.get()), O_RDONLY);
}

}  // namespace

Result<FabricPair> make_fabric_pair() {
    FabricPair pair;
    pair.first.own_ring = TRY(make_ring());
    pair.second.own_ring = TRY(make_ring());
    pair.first.peer_ring = TRY(open_for_reading(pair.second.own_ring));
    pair.second.peer_ring = TRY(open_for_reading(pair.first.own_ring));
    auto doorbells = TRY(sys::socket_pair(SOCK_STREAM));
    pair.first.doorbell = std::move(doorbells.first);
    pair.second.doorbell = std::move(doorbells.second);
    return pair;
}

Result<FabricRing> FabricRing::open(const Fd& own_ring, const Fd& peer_ring) {
    TRY(check_ring(own_ring));
    TRY(check_ring(peer_ring));
    auto own = TRY(Mapping::shared(own_ring, kFabricRingBytes));
    auto peer = TRY(Mapping::shared_read_only(peer_ring, kFabricRingBytes));
    TRY(check_header(own));
    TRY(check_header(peer));
    const uint64_t written = load(own, kWrittenOffset);
    const uint64_t taken = load(own, kTakenOffset);
    return FabricRing(std::move(own), std::move(peer), written, taken);
}

// ---- sending

Result<uint64_t> FabricRing::room() const {
    const uint64_t in_use = written_ - load(peer_, kTakenOffset);
    if (in_use > kFabricDataBytes)
        return fail(ErrorCode::InvalidMessage, "fabric: the peer has taken more than there was");
    return kFabricDataBytes - in_use;
}

Result<bool> FabricRing::has_room(uint32_t payload_bytes) const {
    ALCOVE_CHECK(payload_bytes <= kFabricMaxPayload, "a record's size is bounded");
    const uint64_t there_is = TRY(room());
    return there_is >= record_bytes(payload_bytes);
}

FabricRing::Space FabricRing::payload_space(uint32_t payload_bytes) const {
    return pieces(own_.data() + kFabricDataOffset, written_ + kFabricSlotBytes, payload_bytes);
}

bool FabricRing::send(ByteView header, uint32_t payload_bytes) {
    ALCOVE_CHECK(header.size() <= kFabricHeaderBytes, "the header fits into its slot");
    Slot slot{.payload_bytes = payload_bytes, .header = {}};
    std::copy(header.begin(), header.end(), slot.header.begin());
    std::memcpy(own_.data() + kFabricDataOffset + written_ % kFabricDataBytes, &slot, sizeof slot);
    const uint64_t before = written_;
    written_ += record_bytes(payload_bytes);
    store(own_, kWrittenOffset, written_);
    fence();
    return has_passed(load(peer_, kDataWantedOffset), before, written_);
}

Result<bool> FabricRing::await_room() {
    // Passed when all but kLargestRecord of the data size has been taken.
    store(own_, kRoomWantedOffset, written_ + kLargestRecord - 1 - kFabricDataBytes);
    fence();
    const uint64_t there_is = TRY(room());
    return there_is < kLargestRecord;
}

// ---- receiving

bool FabricRing::is_empty() const {
    return load(peer_, kWrittenOffset) == taken_;
}

Result<FabricRing::Record> FabricRing::front() {
    const uint64_t there_is = load(peer_, kWrittenOffset) - taken_;
    const auto nonsense = [](const char* what) {
        return fail(ErrorCode::InvalidMessage, std::string("fabric: the peer ") + what);
    };
    if (there_is > kFabricDataBytes) return nonsense("has sent more than there is room for");
    if (there_is < kFabricSlotBytes) return nonsense("has sent less than a record");
    const auto slot = *read_object<Slot>(
        peer_.bytes().subspan(kFabricDataOffset + taken_ % kFabricDataBytes, sizeof(Slot)));
    const uint32_t payload_bytes = slot.payload_bytes;
    if (payload_bytes > kFabricMaxPayload || record_bytes(payload_bytes) > there_is)
        return nonsense("has sent a record longer than it is");
    return Record{.header = slot.header, .payload_bytes = payload_bytes};
}

FabricRing::Contents FabricRing::payload(const Record& record, uint32_t offset, uint32_t length) const {
    ALCOVE_CHECK(offset <= record.payload_bytes && length <= record.payload_bytes - offset,
                 "a part of a payload lies inside");
    const uint8_t* data = peer_.data() + kFabricDataOffset;
    return pieces(data, taken_ + kFabricSlotBytes + offset, length);
}

bool FabricRing::drop(const Record& record) {
    const uint64_t before = taken_;
    taken_ += record_bytes(record.payload_bytes);
    store(own_, kTakenOffset, taken_);
    fence();
    return has_passed(load(peer_, kRoomWantedOffset), before, taken_);
}

bool FabricRing::await_data() {
    store(own_, kDataWantedOffset, taken_);
    fence();
    return is_empty();
}

}  // namespace alcove::api

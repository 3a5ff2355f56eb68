// SPDX-License-Identifier: Apache-2.0
//
// Two VMs of a fabric, joined: records go both ways through memory that their VMMs share, and nobody stands
// in between. Each end owns a ring in a memfd that it alone can write; the other end has it read-only. A ring
// holds what its owner sends, and besides every index that its owner writes, those of its receiving half
// included:
//
//     0      Le32 magic, Le32 data size; then 64-bit words, each on a cache line of its own:
//     64     written      bytes that the owner ever sent
//     128    taken        bytes that the owner ever took out of the *other* ring
//     192    data_wanted  the owner sleeps until the other end's `written` passes this
//     256    room_wanted  the owner waits until the other end's `taken` passes this
//     4096   data: byte n of the stream is at n modulo the data size
//
// A record is a slot of 64 bytes (its payload's size, then a header of the user's), then the payload, padded
// to a multiple of 64. Records are published whole.
//
// The other end is a process that a guest may have taken over. Each of its indices and sizes is copied once,
// and the copy is checked: an error says that it is nonsense, and the join is of no use any more. What can
// not be nonsense (data_wanted, room_wanted) can cost a doorbell too many, or the liar one too few.
//
// Who is asleep and who rings. The one that goes to sleep stores what it waits for, then looks once more; the
// other one stores its progress, then looks whether somebody waits for it. Between store and look both have a
// full fence, so in the one order of all fences either the sleeper's look comes later and sees the progress,
// or the other's look comes later and sees the wish: release and acquire alone would let both looks pass both
// stores. `written` is stored with release and loaded with acquire besides, so that a record's bytes are seen
// with it; so is `taken`, so that nobody overwrites what is still being copied. A wish is a position and not
// a flag: progress passes it once, and rings once.
#pragma once

#include <array>

#include "support/mapping.hpp"

namespace alcove::api {

inline constexpr uint32_t kFabricSlotBytes = 64;
inline constexpr uint32_t kFabricHeaderBytes = 60;
inline constexpr uint32_t kFabricMaxPayload = 64 * 1024;  // a virtio-vsock packet's, as Linux makes them
inline constexpr uint64_t kFabricDataOffset = 4096;
// Two buffers of Linux's. Copies through 128 KiB to 1 MiB cost the same; through 4 MiB they miss the cache.
inline constexpr uint64_t kFabricDataBytes = 512 * 1024;
inline constexpr uint64_t kFabricRingBytes = kFabricDataOffset + kFabricDataBytes;

// What one of the two VMMs gets.
struct FabricEnd {
    Fd own_ring;   // memfd of kFabricRingBytes, sealed against changes of its size
    Fd peer_ring;  // the other's, open for reading only
    Fd doorbell;   // connected to the other's (api/fabric_doorbell.hpp)
};
struct FabricPair {
    FabricEnd first;
    FabricEnd second;
};
// Pages come as they are used: a pair that nobody uses costs two pages. Needs /proc.
Result<FabricPair> make_fabric_pair();

class FabricRing {
  public:
    // Begins where this end's owner last left off. ErrorCode::InvalidArgument when these are no rings.
    static Result<FabricRing> open(const Fd& own_ring, const Fd& peer_ring);

    // Two, because a payload may go around the end of the ring.
    using Space = std::array<MutableByteView, 2>;
    using Contents = std::array<ByteView, 2>;

    // ---- sending. Sizes are at most kFabricMaxPayload.

    Result<bool> has_room(uint32_t payload_bytes) const;
    // Where the next record's payload goes. There is room for it.
    Space payload_space(uint32_t payload_bytes) const;
    // Publishes it. True when the other end wants the doorbell rung.
    [[nodiscard]] bool send(ByteView header, uint32_t payload_bytes);
    // The other end rings when there is room for the largest record. False: there is now, it will not.
    Result<bool> await_room();

    // ---- receiving

    bool is_empty() const;
    struct Record {
        std::array<uint8_t, kFabricHeaderBytes> header;
        uint32_t payload_bytes;
    };
    // The oldest record, which is there; the same one until drop().
    Result<Record> front();
    // The part [offset, offset + length) of its payload. The sender can change it under our eyes: it is to be
    // copied, once.
    Contents payload(const Record& record, uint32_t offset, uint32_t length) const;
    // True when the other end wants the doorbell rung.
    [[nodiscard]] bool drop(const Record& record);
    // The other end rings when there is something. False: there is now, it will not.
    bool await_data();

  private:
    FabricRing(Mapping own, Mapping peer, uint64_t written, uint64_t taken)
        : own_(std::move(own)), peer_(std::move(peer)), written_(written), taken_(taken) {}
    Result<uint64_t> room() const;

    Mapping own_;
    Mapping peer_;      // read-only
    uint64_t written_;  // ours alone, like the next; what stands in the ring is for the other end
    uint64_t taken_;
};

}  // namespace alcove::api

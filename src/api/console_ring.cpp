// SPDX-License-Identifier: Apache-2.0
#include "api/console_ring.hpp"

#include <algorithm>

#include <fcntl.h>
#include <sys/stat.h>

#include "support/endian.hpp"
#include "support/system.hpp"

namespace alcove::api {

namespace {

constexpr uint32_t kMagic = 0x6e6f4341;  // "ACon"
constexpr uint64_t kClaimedOffset = 64;
constexpr uint64_t kWrittenOffset = 128;

struct RingHeader {
    Le32 magic;
    Le32 data_bytes;
};

Result<void> check_ring(const Fd& ring) {
    const uint64_t size = TRY(sys::file_size(ring));
    RingHeader header;
    if (size != kConsoleRingBytes) return fail(ErrorCode::InvalidArgument, "no console ring: wrong size");
    TRY(sys::read_exact_at(ring, {reinterpret_cast<uint8_t*>(&header), sizeof header}, 0));
    if (header.magic != kMagic || header.data_bytes != kConsoleDataBytes)
        return fail(ErrorCode::InvalidArgument, "no console ring: wrong header");
    return {};
}

// The producer alone stores the counters; release pairs with the readers' acquire.
void store(const Mapping& mapping, uint64_t offset, uint64_t value) {
    auto* counter = reinterpret_cast<uint64_t*>(mapping.data() + offset);
    std::atomic_ref(*counter).store(value, std::memory_order_release);
}

uint64_t load_counter(const Mapping& mapping, uint64_t offset) {
    const auto* counter = reinterpret_cast<const uint64_t*>(mapping.data() + offset);
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

}  // namespace

Result<Fd> make_console_ring() {
    auto ring = TRY(sys::memfd("alcove-console"));
    if (::fchmod(ring.get(), 0600) < 0) return fail_errno(errno, "fchmod of the console ring");
    TRY(sys::truncate(ring, kConsoleRingBytes));
    TRY(sys::allocate(ring, 0, 0, kConsoleRingBytes));
    TRY(sys::add_seals(ring, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL));
    const RingHeader header{.magic = kMagic, .data_bytes = static_cast<uint32_t>(kConsoleDataBytes)};
    TRY(sys::write_all_at(ring, object_bytes(header), 0));
    return ring;
}

Result<ConsoleRingWriter> ConsoleRingWriter::open(const Fd& ring) {
    TRY(check_ring(ring));
    auto mapping = TRY(Mapping::shared(ring, kConsoleRingBytes));
    const uint64_t written = load_counter(mapping, kWrittenOffset);
    return ConsoleRingWriter(std::move(mapping), written);
}

void ConsoleRingWriter::write(ByteView bytes) {
    while (!bytes.empty()) {
        const uint64_t at = position_ % kConsoleDataBytes;
        const size_t count = std::min<uint64_t>(bytes.size(), kConsoleDataBytes - at);
        store(mapping_, kClaimedOffset, position_ + count);
        // The claim has to be seen before the bytes change: a release store alone would let them pass it.
        std::atomic_thread_fence(std::memory_order_seq_cst);
        std::memcpy(mapping_.data() + kConsoleDataOffset + at, bytes.data(), count);
        position_ += count;
        store(mapping_, kWrittenOffset, position_);
        bytes = bytes.subspan(count);
    }
}

Result<ConsoleRingReader> ConsoleRingReader::open(const Fd& ring) {
    TRY(check_ring(ring));
    auto mapping = TRY(Mapping::shared_read_only(ring, kConsoleRingBytes));
    return ConsoleRingReader(std::move(mapping));
}

uint64_t ConsoleRingReader::load(uint64_t offset) const {
    return load_counter(mapping_, offset);
}

ConsoleRingReader::Piece ConsoleRingReader::read() {
    Piece piece;
    const uint64_t written = load(kWrittenOffset);
    if (written <= position_) return piece;  // nothing new, or a producer that counts backwards
    const uint64_t oldest = written > kConsoleDataBytes ? written - kConsoleDataBytes : 0;
    const uint64_t from = std::max(position_, oldest);
    piece.data.resize(written - from);
    const uint64_t at = from % kConsoleDataBytes;
    const size_t first = std::min<uint64_t>(piece.data.size(), kConsoleDataBytes - at);
    std::memcpy(piece.data.data(), mapping_.data() + kConsoleDataOffset + at, first);
    std::memcpy(piece.data.data() + first, mapping_.data() + kConsoleDataOffset, piece.data.size() - first);
    std::atomic_thread_fence(std::memory_order_seq_cst);  // the copy is done before the claim is read
    const uint64_t claimed = load(kClaimedOffset);
    // Bytes below this may have been overwritten during the copy: all of them, if it took long.
    const uint64_t safe = claimed > kConsoleDataBytes ? claimed - kConsoleDataBytes : 0;
    const uint64_t lost = std::min<uint64_t>(safe > from ? safe - from : 0, piece.data.size());
    piece.data.erase(piece.data.begin(), piece.data.begin() + static_cast<ptrdiff_t>(lost));
    piece.skipped = from + lost - position_;
    position_ = written;
    return piece;
}

}  // namespace alcove::api

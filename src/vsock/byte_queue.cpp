// SPDX-License-Identifier: Apache-2.0
#include "vsock/byte_queue.hpp"

#include <algorithm>

#include "support/check.hpp"

namespace alcove::vsock {

namespace {
constexpr size_t kSmallestPiece = 1024;
constexpr size_t kLargestPiece = 64 * 1024;
}  // namespace

void ByteQueue::append(std::span<const memory::GuestSlice> slices) {
    for (const auto& slice : slices)
        append(slice);
}

void ByteQueue::append(const memory::GuestSlice& slice) {
    size_t done = 0;
    while (done < slice.size()) {
        if (pieces_.empty() || pieces_.back().used == pieces_.back().bytes.size()) {
            const size_t size = std::clamp(slice.size() - done, kSmallestPiece, kLargestPiece);
            pieces_.push_back(Piece{.bytes = Bytes(size), .used = 0, .read = 0});
            capacity_ += size;
        }
        auto& piece = pieces_.back();
        const size_t count = std::min(slice.size() - done, piece.bytes.size() - piece.used);
        memory::GuestMemory::copy_out(slice.sub(done, count),
                                      MutableByteView(piece.bytes).subspan(piece.used, count));
        piece.used += count;
        size_ += count;
        done += count;
    }
}

ByteView ByteQueue::front() const {
    if (pieces_.empty()) return {};
    const auto& piece = pieces_.front();
    return ByteView(piece.bytes).subspan(piece.read, piece.used - piece.read);
}

void ByteQueue::drop(size_t count) {
    ALCOVE_CHECK(count <= front().size(), "only what is there is dropped");
    if (count == 0) return;
    auto& piece = pieces_.front();
    piece.read += count;
    size_ -= count;
    if (piece.read < piece.used) return;
    // A piece that was read to its end goes even when it has room: memory is worth more than reuse.
    capacity_ -= piece.bytes.size();
    pieces_.pop_front();
}

void ByteQueue::clear() {
    pieces_.clear();
    pieces_.shrink_to_fit();
    size_ = 0;
    capacity_ = 0;
}

}  // namespace alcove::vsock

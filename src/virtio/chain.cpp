// SPDX-License-Identifier: Apache-2.0
#include "virtio/chain.hpp"

#include <algorithm>

namespace alcove::virtio {

namespace {

// Calls `visit(slice, start, count, done)` for each piece of [offset, offset + length): `done` bytes of it
// came before. Says how many bytes there were.
template <typename Visit>
size_t for_each_part(std::span<const memory::GuestSlice> slices, uint64_t offset, uint64_t length,
                     Visit visit) {
    size_t done = 0;
    for (const auto& slice : slices) {
        if (done == length) break;
        if (offset >= slice.size()) {
            offset -= slice.size();
            continue;
        }
        const size_t count = std::min<uint64_t>(slice.size() - offset, length - done);
        visit(slice, offset, count, done);
        done += count;
        offset = 0;
    }
    return done;
}

}  // namespace

void append_part(std::span<const memory::GuestSlice> slices, uint64_t offset, uint64_t length,
                 std::vector<memory::GuestSlice>& into) {
    for_each_part(slices, offset, length,
                  [&](const memory::GuestSlice& slice, size_t start, size_t count, size_t) {
                      into.push_back(slice.sub(start, count));
                  });
}

size_t copy_from(std::span<const memory::GuestSlice> slices, uint64_t offset, MutableByteView into) {
    return for_each_part(slices, offset, into.size(),
                         [&](const memory::GuestSlice& slice, size_t start, size_t count, size_t done) {
                             memory::GuestMemory::copy_out(slice.sub(start, count),
                                                           into.subspan(done, count));
                         });
}

size_t copy_to(const memory::GuestMemory& memory, std::span<const memory::GuestSlice> slices, uint64_t offset,
               ByteView from) {
    return for_each_part(slices, offset, from.size(),
                         [&](const memory::GuestSlice& slice, size_t start, size_t count, size_t done) {
                             memory.copy_in(slice.sub(start, count), from.subspan(done, count));
                         });
}

}  // namespace alcove::virtio

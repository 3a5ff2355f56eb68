// SPDX-License-Identifier: Apache-2.0
//
// One virtqueue against a hostile driver: the input lays down the rings and some memory behind them, byte
// by byte, and between steps the rings change. Whatever pop() gives must lie in RAM and within its bounds.
#include <algorithm>
#include <cstdlib>

#include "support/fuzz_input.hpp"
#include "virtio/driver_fake.hpp"
#include "virtio/queue.hpp"

namespace {

using namespace alcove;
using memory::GuestAddress;

constexpr uint64_t kRamSize = 64 * 1024;
constexpr uint16_t kSize = 16;

void require(bool condition) {
    if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const auto memory =
        memory::GuestMemory::create_anonymous({.base = GuestAddress(0), .size = kRamSize}).value();
    memory->fill_zero(GuestAddress(0), 4096).value();
    FuzzInput input({data, size});
    const uint64_t features = virtio::feature::VERSION_1 |
                              ((input.byte() & 1) != 0 ? virtio::feature::EVENT_IDX : 0) |
                              virtio::feature::INDIRECT_DESC;
    const virtio::QueueLayout layout{.size = kSize,
                                     .descriptor_table = GuestAddress(0),
                                     .available_ring = GuestAddress(512),
                                     .used_ring = GuestAddress(1024)};
    auto queue = virtio::Queue::create(memory, layout, features).value();
    virtio::Chain chain;
    std::vector<uint16_t> heads;

    while (!input.is_empty()) {
        switch (input.byte() % 6) {
            case 0: {  // descriptors, and the indirect tables that follow them
                const uint64_t at = 8U * input.byte();
                memory->write_bytes(GuestAddress(at), input.take(16)).value();
                break;
            }
            case 1:  // the available ring
                memory->write_bytes(GuestAddress(512 + input.byte() % 48U), input.take(2)).value();
                break;
            case 2: {
                const auto result = queue.pop(chain);
                if (!result) return 0;
                if (!*result) break;
                uint64_t total = 0;
                for (const auto& slice : chain.readable)
                    total += slice.size();
                require(total == chain.readable_bytes);
                for (const auto& slice : chain.writable)
                    total += slice.size();
                require(total == uint64_t{chain.readable_bytes} + chain.writable_bytes);
                require(chain.descriptors <= kSize && queue.in_flight() <= kSize);
                heads.push_back(chain.head);
                Bytes copy(100);
                virtio::copy_from(chain.readable, input.byte(), copy);
                virtio::copy_to(*memory, chain.writable, input.byte(), copy);
                break;
            }
            case 3:
                if (heads.empty()) break;
                if (!queue.push_used(heads.back(), input.byte())) return 0;
                heads.pop_back();
                break;
            case 4:
                if (!queue.publish_and_check() || !queue.disable_notifications()) return 0;
                break;
            case 5:
                if (!queue.enable_notifications()) return 0;
                if (input.byte() % 2 == 0 && !heads.empty()) {
                    queue.unpop(1);
                    heads.pop_back();
                }
                break;
        }
    }
    return 0;
}

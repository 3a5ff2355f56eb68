// SPDX-License-Identifier: Apache-2.0
//
// As much of a driver's side of a virtqueue (VIRTIO 1.2, 2.7) as one request takes.
#pragma once

#include "unikernel/unikernel.hpp"
#include "virtio/spec.hpp"

struct Virtqueue {
    struct {
        uint64_t address;
        uint32_t length;
        uint16_t flags, next;
    } descriptors[4];       // virtio::Descriptor, in words that can be volatile
    uint16_t available[8];  // flags, index, ring
    uint16_t used[32];
};

// Waits until the device has used a buffer, or says that it needs a reset: whether it does. Not for ever.
inline bool needs_reset_instead(const volatile Virtqueue& queue, auto&& device_status) {
    constexpr uint64_t kPatience = 1'000'000'000;  // cycles
    const auto needs_reset = [&] {
        return (device_status() & alcove::virtio::status::DEVICE_NEEDS_RESET) != 0;
    };
    const uint64_t begin = read_tsc();
    while (read_tsc() - begin < kPatience && !needs_reset() && queue.used[1] == 0)
        asm volatile("pause");
    return needs_reset();
}

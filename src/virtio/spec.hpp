// SPDX-License-Identifier: Apache-2.0
//
// What VIRTIO 1.2 lays down and nothing more: device ids, status bits, features of the ring, the layout of
// a split virtqueue and the registers of virtio-mmio version 2.
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/bits.hpp"
#include "support/endian.hpp"

namespace alcove::virtio {

// VIRTIO 1.2, 5: device types.
namespace device_id {
inline constexpr uint32_t kEntropy = 4;
inline constexpr uint32_t kSocket = 19;
inline constexpr uint32_t kNitroSecureModule = 33;
}  // namespace device_id

// VIRTIO 1.2, 2.1: bits of the device status field.
namespace status {
inline constexpr uint32_t ACKNOWLEDGE = 1;
inline constexpr uint32_t DRIVER = 2;
inline constexpr uint32_t DRIVER_OK = 4;
inline constexpr uint32_t FEATURES_OK = 8;
inline constexpr uint32_t DEVICE_NEEDS_RESET = 64;
inline constexpr uint32_t FAILED = 128;
}  // namespace status

// VIRTIO 1.2, 6: features of transport and ring, as bits of the 64-bit feature word.
namespace feature {
inline constexpr uint64_t INDIRECT_DESC = bit<uint64_t>(28);
inline constexpr uint64_t EVENT_IDX = bit<uint64_t>(29);
inline constexpr uint64_t VERSION_1 = bit<uint64_t>(32);
}  // namespace feature

// VIRTIO 1.2, 2.7.5: one entry of the descriptor table.
struct Descriptor {
    Le64 addr;   // 0  guest-physical
    Le32 len;    // 8
    Le16 flags;  // 12
    Le16 next;   // 14
};
static_assert(sizeof(Descriptor) == 16 && alignof(Descriptor) == 1);

namespace descriptor_flag {
inline constexpr uint16_t NEXT = 1;
inline constexpr uint16_t WRITE = 2;
inline constexpr uint16_t INDIRECT = 4;
}  // namespace descriptor_flag

// VIRTIO 1.2, 2.7.8: one entry of the used ring.
struct UsedElement {
    Le32 id;   // 0
    Le32 len;  // 4
};
static_assert(sizeof(UsedElement) == 8 && alignof(UsedElement) == 1);

// VIRTIO 1.2, 2.7.6 and 2.7.8: both rings begin with flags and idx, 16 bits each; behind the entries stands
// the event index of EVENT_IDX.
namespace ring {
inline constexpr uint64_t kFlagsOffset = 0;
inline constexpr uint64_t kIndexOffset = 2;
inline constexpr uint64_t kEntriesOffset = 4;
inline constexpr uint16_t AVAIL_F_NO_INTERRUPT = 1;
inline constexpr uint16_t USED_F_NO_NOTIFY = 1;
inline constexpr uint16_t kMaxSize = 32768;

constexpr uint64_t descriptor_table_bytes(uint16_t size) {
    return uint64_t{sizeof(Descriptor)} * size;
}
// With the event index: it is part of the ring whether or not it is used.
constexpr uint64_t available_bytes(uint16_t size) {
    return kEntriesOffset + uint64_t{2} * size + 2;
}
constexpr uint64_t used_bytes(uint16_t size) {
    return kEntriesOffset + uint64_t{sizeof(UsedElement)} * size + 2;
}
constexpr uint64_t used_event_offset(uint16_t size) {
    return kEntriesOffset + uint64_t{2} * size;
}
constexpr uint64_t avail_event_offset(uint16_t size) {
    return kEntriesOffset + uint64_t{sizeof(UsedElement)} * size;
}
}  // namespace ring

// VIRTIO 1.2, 4.2.2: virtio-mmio registers, version 2. Each is 32 bits wide.
namespace mmio {
enum Register : uint32_t {
    MagicValue = 0x000,
    Version = 0x004,
    DeviceID = 0x008,
    VendorID = 0x00c,
    DeviceFeatures = 0x010,
    DeviceFeaturesSel = 0x014,
    DriverFeatures = 0x020,
    DriverFeaturesSel = 0x024,
    QueueSel = 0x030,
    QueueNumMax = 0x034,
    QueueNum = 0x038,
    QueueReady = 0x044,
    QueueNotify = 0x050,
    InterruptStatus = 0x060,
    InterruptACK = 0x064,
    Status = 0x070,
    QueueDescLow = 0x080,
    QueueDescHigh = 0x084,
    QueueDriverLow = 0x090,
    QueueDriverHigh = 0x094,
    QueueDeviceLow = 0x0a0,
    QueueDeviceHigh = 0x0a4,
    SHMSel = 0x0ac,
    SHMLenLow = 0x0b0,
    SHMLenHigh = 0x0b4,
    SHMBaseLow = 0x0b8,
    SHMBaseHigh = 0x0bc,
    ConfigGeneration = 0x0fc,
    Config = 0x100,
};

inline constexpr uint32_t kMagic = 0x74726976;  // "virt"
inline constexpr uint32_t kVersion = 2;
inline constexpr uint64_t kWindowSize = 4096;  // ours: a page for each device, so that it can be mapped

inline constexpr uint32_t INT_VRING = 1;
inline constexpr uint32_t INT_CONFIG = 2;
}  // namespace mmio

}  // namespace alcove::virtio

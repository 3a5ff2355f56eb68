// SPDX-License-Identifier: Apache-2.0
//
// What VIRTIO 1.2 lays down and nothing more: device ids, status bits, features of the ring, the layout of
// a split virtqueue, and the registers of virtio-mmio version 2 and virtio-pci.
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/bits.hpp"
#include "support/endian.hpp"

namespace alcove::virtio {

// VIRTIO 1.2, 5: device types.
namespace device_id {
inline constexpr uint32_t kNetwork = 1;
inline constexpr uint32_t kBlock = 2;
inline constexpr uint32_t kConsole = 3;
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

// VIRTIO 1.2, 4.1: virtio over PCI, without the legacy interface.
namespace virtio_pci {
inline constexpr uint16_t kVendorId = 0x1af4;
inline constexpr uint16_t kFirstDeviceId = 0x1040;  // to which the device type is added
inline constexpr uint8_t kRevision = 1;
inline constexpr uint16_t NO_VECTOR = 0xffff;

// 4.1.4: cfg_type of a capability.
inline constexpr uint8_t COMMON_CFG = 1;
inline constexpr uint8_t NOTIFY_CFG = 2;
inline constexpr uint8_t ISR_CFG = 3;
inline constexpr uint8_t DEVICE_CFG = 4;
inline constexpr uint8_t PCI_CFG = 5;

// 4.1.4: what follows cap_vndr and cap_next.
struct Capability {
    uint8_t cap_len = 0;          // 2   of the whole capability
    uint8_t cfg_type = 0;         // 3
    uint8_t bar = 0;              // 4
    uint8_t id = 0;               // 5
    uint8_t padding[2] = {0, 0};  // 6
    Le32 offset;                  // 8
    Le32 length;                  // 12
};
static_assert(sizeof(Capability) == 14 && alignof(Capability) == 1);
inline constexpr uint8_t kCapabilitySize = 16;

struct NotifyCapability {
    Capability cap;
    Le32 notify_off_multiplier;  // 16
};
static_assert(sizeof(NotifyCapability) == 18);

struct PciCfgCapability {
    Capability cap;
    uint8_t pci_cfg_data[4] = {0, 0, 0, 0};  // 16
};
static_assert(sizeof(PciCfgCapability) == 18);

// 4.1.4.3.
struct CommonConfig {
    Le32 device_feature_select;     // 0x00
    Le32 device_feature;            // 0x04  read-only
    Le32 driver_feature_select;     // 0x08
    Le32 driver_feature;            // 0x0c
    Le16 config_msix_vector;        // 0x10
    Le16 num_queues;                // 0x12  read-only
    uint8_t device_status = 0;      // 0x14
    uint8_t config_generation = 0;  // 0x15  read-only
    Le16 queue_select;              // 0x16
    Le16 queue_size;                // 0x18
    Le16 queue_msix_vector;         // 0x1a
    Le16 queue_enable;              // 0x1c
    Le16 queue_notify_off;          // 0x1e  read-only
    Le64 queue_desc;                // 0x20
    Le64 queue_driver;              // 0x28
    Le64 queue_device;              // 0x30
    Le16 queue_notify_data;         // 0x38  read-only, NOTIF_CONFIG_DATA
    Le16 queue_reset;               // 0x3a  RING_RESET
};
static_assert(sizeof(CommonConfig) == 60 && offsetof(CommonConfig, device_status) == 0x14 &&
              offsetof(CommonConfig, queue_select) == 0x16 && offsetof(CommonConfig, queue_desc) == 0x20 &&
              offsetof(CommonConfig, queue_reset) == 0x3a);

// 4.1.4.5: bits of the ISR status.
inline constexpr uint8_t ISR_QUEUE = 1;
inline constexpr uint8_t ISR_CONFIG = 2;
}  // namespace virtio_pci

}  // namespace alcove::virtio

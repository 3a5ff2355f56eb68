// SPDX-License-Identifier: Apache-2.0
//
// What the driver of the Nitro Enclaves (NE) PCI device lays down and nothing more: identity, registers,
// commands, the layouts of requests and replies, states.
//
// Source: Linux 6.12, drivers/virt/nitro_enclaves/ne_pci_dev.h (all layouts) and ne_pci_dev.c (how they are
// used); names are that header's, without its prefixes. All integers are little-endian.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "support/bits.hpp"
#include "support/endian.hpp"

namespace alcove::ne {

// PCI_DEVICE_ID_NE, PCI_BAR_NE. The driver looks at vendor, device and BAR only; class and revision are those
// seen in public listings of AWS's device.
namespace pci_id {
inline constexpr uint16_t VENDOR = 0x1d0f;
inline constexpr uint16_t DEVICE = 0xe4c1;
inline constexpr uint32_t CLASS = 0x078000;  // communication controller, other
inline constexpr uint8_t REVISION = 0x01;
inline constexpr uint8_t BAR = 3;
}  // namespace pci_id

// "MSI-X interrupt vectors". The driver asks for as many vectors as the table holds.
namespace vector {
inline constexpr uint16_t REPLY = 0;  // a command's reply is in RECV_DATA
inline constexpr uint16_t EVENT = 1;  // some enclave changed its state by itself
inline constexpr uint16_t kCount = 2;
}  // namespace vector

// "Nitro Enclaves (NE) PCI Device MMIO registers": offsets in BAR 3.
namespace reg {
inline constexpr uint64_t ENABLE = 0x0000;   // 1 byte
inline constexpr uint64_t VERSION = 0x0002;  // 2 bytes
inline constexpr uint64_t COMMAND = 0x0004;  // 4 bytes, write only
inline constexpr uint64_t EVTCNT = 0x000c;   // 4 bytes, read only
inline constexpr uint64_t SEND_DATA = 0x0010;
inline constexpr uint64_t RECV_DATA = 0x0100;  // read only
inline constexpr uint64_t kEnd = 0x01f0;
}  // namespace reg

inline constexpr size_t SEND_DATA_SIZE = 240;
inline constexpr size_t RECV_DATA_SIZE = 240;
static_assert(reg::SEND_DATA + SEND_DATA_SIZE == reg::RECV_DATA);
static_assert(reg::RECV_DATA + RECV_DATA_SIZE == reg::kEnd);

inline constexpr uint8_t ENABLE_OFF = 0;
inline constexpr uint8_t ENABLE_ON = 1;
inline constexpr uint16_t VERSION_MAX = 0x0001;

// EVTCNT: counters of replies and of events.
using EvtcntReply = Field<uint32_t, 15, 0>;
using EvtcntEvent = Field<uint32_t, 31, 16>;

// ne_pci_dev.c, NE_DEFAULT_TIMEOUT_MSECS: how long the driver waits for a reply.
inline constexpr uint32_t DEFAULT_TIMEOUT_MSECS = 120'000;

// enum ne_pci_dev_cmd_type. 0 is INVALID_CMD.
enum class Command : uint32_t {
    ENCLAVE_START = 1,
    ENCLAVE_GET_SLOT = 2,
    ENCLAVE_STOP = 3,
    SLOT_ALLOC = 4,
    SLOT_FREE = 5,
    SLOT_ADD_MEM = 6,
    SLOT_ADD_VCPU = 7,
    SLOT_COUNT = 8,
    NEXT_SLOT = 9,
    SLOT_INFO = 10,
    SLOT_ADD_BULK_VCPUS = 11,
};

// struct enclave_start_req
struct EnclaveStart {
    static constexpr Command kCommand = Command::ENCLAVE_START;
    static constexpr uint64_t DEBUG_MODE = 1;  // flags, uapi/linux/nitro_enclaves.h NE_ENCLAVE_DEBUG_MODE

    Le64 slot_uid;     // 0
    Le64 enclave_cid;  // 8   0: the device chooses
    Le64 flags;        // 16
};
static_assert(sizeof(EnclaveStart) == 24 && offsetof(EnclaveStart, flags) == 16);

// struct enclave_get_slot_req
struct EnclaveGetSlot {
    static constexpr Command kCommand = Command::ENCLAVE_GET_SLOT;

    Le64 enclave_cid;  // 0
};
static_assert(sizeof(EnclaveGetSlot) == 8);

// struct enclave_stop_req
struct EnclaveStop {
    static constexpr Command kCommand = Command::ENCLAVE_STOP;

    Le64 slot_uid;  // 0
};
static_assert(sizeof(EnclaveStop) == 8);

// struct slot_alloc_req
struct SlotAlloc {
    static constexpr Command kCommand = Command::SLOT_ALLOC;

    uint8_t unused;  // 0
};
static_assert(sizeof(SlotAlloc) == 1);

// struct slot_free_req
struct SlotFree {
    static constexpr Command kCommand = Command::SLOT_FREE;

    Le64 slot_uid;  // 0
};
static_assert(sizeof(SlotFree) == 8);

// struct slot_add_mem_req
struct SlotAddMem {
    static constexpr Command kCommand = Command::SLOT_ADD_MEM;

    Le64 slot_uid;  // 0
    Le64 paddr;     // 8   the parent's guest-physical address
    Le64 size;      // 16  bytes
};
static_assert(sizeof(SlotAddMem) == 24 && offsetof(SlotAddMem, size) == 16);

// struct slot_add_vcpu_req
struct SlotAddVcpu {
    static constexpr Command kCommand = Command::SLOT_ADD_VCPU;

    Le64 slot_uid;                   // 0
    Le32 vcpu_id;                    // 8
    std::array<uint8_t, 4> padding;  // 12
};
static_assert(sizeof(SlotAddVcpu) == 16 && offsetof(SlotAddVcpu, vcpu_id) == 8);

// struct slot_count_req
struct SlotCount {
    static constexpr Command kCommand = Command::SLOT_COUNT;

    uint8_t unused;  // 0
};
static_assert(sizeof(SlotCount) == 1);

// struct next_slot_req
struct NextSlot {
    static constexpr Command kCommand = Command::NEXT_SLOT;

    Le64 slot_uid;  // 0
};
static_assert(sizeof(NextSlot) == 8);

// struct slot_info_req
struct SlotInfo {
    static constexpr Command kCommand = Command::SLOT_INFO;

    Le64 slot_uid;  // 0
};
static_assert(sizeof(SlotInfo) == 8);

// struct slot_add_bulk_vcpus_req
struct SlotAddBulkVcpus {
    static constexpr Command kCommand = Command::SLOT_ADD_BULK_VCPUS;

    Le64 slot_uid;  // 0
    Le64 nr_vcpus;  // 8
};
static_assert(sizeof(SlotAddBulkVcpus) == 16 && offsetof(SlotAddBulkVcpus, nr_vcpus) == 8);

// State of a slot, in replies (ne_misc_dev.h, NE_STATE_*). 1 is not defined.
enum class SlotState : uint16_t {
    INIT = 0,
    RUNNING = 2,
    STOPPED = 0xffff,
};

// struct ne_pci_dev_cmd_reply
struct Reply {
    Le32 rc;                          // 0   two's complement: 0, or a negative errno
    std::array<uint8_t, 4> padding0;  // 4
    Le64 slot_uid;                    // 8   all but SLOT_COUNT
    Le64 enclave_cid;                 // 16  ENCLAVE_START
    Le64 slot_count;                  // 24  SLOT_COUNT
    Le64 mem_regions;                 // 32  SLOT_ALLOC: how many there may be; SLOT_INFO: how many there are
    Le64 mem_size;                    // 40  SLOT_INFO, bytes
    Le64 nr_vcpus;                    // 48  SLOT_INFO
    Le64 flags;                       // 56  SLOT_INFO, as given to ENCLAVE_START
    Le16 state;                       // 64  SLOT_INFO, SlotState
    std::array<uint8_t, 6> padding1;  // 66
};
static_assert(sizeof(Reply) == 72 && alignof(Reply) == 1);
static_assert(offsetof(Reply, slot_uid) == 8 && offsetof(Reply, enclave_cid) == 16);
static_assert(offsetof(Reply, slot_count) == 24 && offsetof(Reply, mem_regions) == 32);
static_assert(offsetof(Reply, mem_size) == 40 && offsetof(Reply, nr_vcpus) == 48);
static_assert(offsetof(Reply, flags) == 56 && offsetof(Reply, state) == 64);

// ne_misc_dev.c: what the driver demands of memory and enclaves.
inline constexpr uint64_t MIN_MEM_REGION_SIZE = 2_MiB;
inline constexpr uint64_t MIN_ENCLAVE_MEM_SIZE = 64_MiB;

}  // namespace alcove::ne

// SPDX-License-Identifier: Apache-2.0
//
// The VMM of a primary and alcoved: the commands of the NE device (nitro.md 1.5 to 1.9). The connection is
// what names the primary; nothing in a message does.
//
//     VMM                                   alcoved
//      | -- Hello ------------------------> |   both at once
//      | <------------------------- Hello - |
//      | -- one of the eleven commands ---> |
//      | <------------------------- Reply - |   before the next command
//      | <------------------- SlotChanged - |   at any time, for a slot that ended by itself
//      | -- ReleaseAll -------------------> |   at any time: ENABLE=0, reset, reboot
//      | <---------------------- Released - |   nothing of the primary's is with an enclave any more
//      | -- Policy -----------------------> |   at any time: root in the primary asks (from version 2 on)
//      | <-------------- Policy or Failed - |   what holds now
//
// Memory. Before the VMM sends SlotAddMem it parks the vCPUs, drains its devices, takes the range out of its
// memory slots and fences it; a Reply that refuses lets it put the range back as it was. From a Reply with rc
// 0 until the Reply to SlotFree, or Released, it leaves the range alone; then the range is fresh zeros in the
// primary's memory, and goes back into the memory slots. None of that is taken on trust: alcoved has the
// contents moved and punched out whatever the VMM did, and one that kept its mapping looks at holes of its
// own.
//
// Commands carry numbers, each one more than the one before (from 1, wrapping). On a new connection (alcoved
// was restarted) the VMM sends the command that has not been answered once more, with its old number: one
// that was done gets its stored reply, one that was not is done now. ReleaseAll may be sent again at any
// time; it ends the command in hand, whose Reply then comes before Released or never.
//
// A VMM may have been taken over by its guest. A message out of turn, of an unknown type or of a wrong size
// closes the connection, and the primary and its enclaves end.
#pragma once

#include <array>
#include <variant>

#include "api/protocol.hpp"

namespace alcove::api::ne {

inline constexpr Protocol kProtocol = Protocol::Ne;
inline constexpr VersionRange kVersions{.min = 1, .max = 2};
inline constexpr uint16_t kPolicyVersion = 2;

// Beside one primary, as AWS allows.
inline constexpr uint32_t kMaxEnclaves = 4;

// A command's type is kFirstCommand + its number in the device's COMMAND register. Names and meanings of the
// fields are the device's.
inline constexpr uint16_t kFirstCommand = 16;

struct EnclaveStart {
    static constexpr uint16_t kType = kFirstCommand + 1;

    Le32 request;
    Le32 reserved;
    Le64 slot_uid;
    Le64 enclave_cid;  // 0: alcoved chooses
    Le64 flags;        // bit 0: debug mode
};

struct EnclaveGetSlot {
    static constexpr uint16_t kType = kFirstCommand + 2;

    Le32 request;
    Le32 reserved;
    Le64 enclave_cid;
};

struct EnclaveStop {
    static constexpr uint16_t kType = kFirstCommand + 3;

    Le32 request;
    Le32 reserved;
    Le64 slot_uid;
};

struct SlotAlloc {
    static constexpr uint16_t kType = kFirstCommand + 4;

    Le32 request;
    Le32 reserved;
};

struct SlotFree {
    static constexpr uint16_t kType = kFirstCommand + 5;

    Le32 request;
    Le32 reserved;
    Le64 slot_uid;
};

struct SlotAddMem {
    static constexpr uint16_t kType = kFirstCommand + 6;

    Le32 request;
    Le32 reserved;
    Le64 slot_uid;
    Le64 paddr;  // guest-physical, of the primary
    Le64 size;   // bytes
};

struct SlotAddVcpu {
    static constexpr uint16_t kType = kFirstCommand + 7;

    Le32 request;
    Le32 vcpu_id;
    Le64 slot_uid;
};

struct SlotCount {
    static constexpr uint16_t kType = kFirstCommand + 8;

    Le32 request;
    Le32 reserved;
};

struct NextSlot {
    static constexpr uint16_t kType = kFirstCommand + 9;

    Le32 request;
    Le32 reserved;
    Le64 slot_uid;
};

struct SlotInfo {
    static constexpr uint16_t kType = kFirstCommand + 10;

    Le32 request;
    Le32 reserved;
    Le64 slot_uid;
};

struct SlotAddBulkVcpus {
    static constexpr uint16_t kType = kFirstCommand + 11;

    Le32 request;
    Le32 reserved;
    Le64 slot_uid;
    Le64 nr_vcpus;
};

using CommandBody = std::variant<EnclaveStart, EnclaveGetSlot, EnclaveStop, SlotAlloc, SlotFree, SlotAddMem,
                                 SlotAddVcpu, SlotCount, NextSlot, SlotInfo, SlotAddBulkVcpus>;

// The command of an envelope. ErrorCode::InvalidMessage when it is none, or `reserved` is not zero.
Result<CommandBody> decode_command(const Envelope& envelope);
Bytes encode_command(const CommandBody& command);
uint32_t request_of(const CommandBody& command);

// alcoved -> VMM. The answer to every command; what a command does not fill is zero.
struct Reply {
    static constexpr uint16_t kType = 32;

    Le32 request;
    Le32 rc;  // two's complement: 0, or a negative errno of at least -4095
    Le64 slot_uid;
    Le64 enclave_cid;
    Le64 slot_count;
    Le64 mem_regions;
    Le64 mem_size;  // bytes
    Le64 nr_vcpus;
    Le64 flags;
    Le16 state;  // 0 INIT, 2 RUNNING, 0xffff STOPPED
    std::array<uint8_t, 6> reserved;
};
static_assert(sizeof(Reply) == 72);

// alcoved -> VMM. The enclave of a slot ended by itself; SlotInfo answers likewise from now on.
struct SlotChanged {
    static constexpr uint16_t kType = 33;

    Le64 slot_uid;
    Le16 state;  // the new one
    std::array<uint8_t, 6> reserved;
};
static_assert(sizeof(SlotChanged) == 16);

// VMM -> alcoved. Stop and free every slot. Answered with Released when that is done, each once.
struct ReleaseAll {
    static constexpr uint16_t kType = 34;

    Le32 request;  // a number of its own, which comes back
    Le32 reserved;
};

// alcoved -> VMM.
struct Released {
    static constexpr uint16_t kType = 35;

    Le32 request;
    Le32 reserved;
};

// VMM -> alcoved: the CPU policy of enclaves that are allocated from now on. alcoved -> VMM: what it is.
struct Policy {
    static constexpr uint16_t kType = 36;
    static constexpr uint32_t kAsk = 0;  // to alcoved only: change nothing
    static constexpr uint32_t kDedicated = 1;
    static constexpr uint32_t kShared = 2;

    Le32 request;  // a number of its own, which comes back
    Le32 policy;
};

}  // namespace alcove::api::ne

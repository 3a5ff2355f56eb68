// SPDX-License-Identifier: Apache-2.0
//
// alcoved asks alcove-broker, the only process of Alcove's that is root. Both send Hello first. Requests may
// follow one another without waiting; each is answered once, with the id it carried, not always in order:
//
//     Launch + files   ->  Launched + pidfd     the shim and its VMM run; the rest is said by the shim
//     Kill             ->  Done                 the VMM is killed; the shim stays and tells why it ended
//     Remove           ->  Done                 everything of the VM is gone: processes, cgroup, folder
//     List             ->  Listing              what there is, for a daemon that has been restarted
//     AssignCores      ->  CoresAssigned        the VMM runs on other CPUs from now on
//     LimitMemory      ->  Done                 the VM may use other memory from now on
//     any              ->  Failed               (api/protocol.hpp)
//
// The broker believes a process whose user is alcoved's, and of it only what it can check.
#pragma once

#include <array>

#include "api/cpu_mask.hpp"
#include "api/network.hpp"
#include "api/protocol.hpp"
#include "api/sgx.hpp"
#include "api/vm_id.hpp"
#include "api/vm_role.hpp"

namespace alcove::api::broker {

inline constexpr VersionRange kVersions{.min = 6, .max = 6};

// With 1 + disk_count descriptors, regular files or block devices: the image, open for reading only, and the
// disks, open for reading only or for both, as the guest may then do. Then one for each network, and of EPC
// with a budget a regular file as large as all EPC, open for both, where what is beyond the budget goes. A
// carved enclave's one descriptor is the RAM file of its primary VM, open for both: its image comes out of
// there, with all its memory, and what it will be is said to its shim later (shim::Begin): vcpu_count,
// image_size, guest_cid and threads_per_core are 0, debug and dedicated mode are not set, and memory_bytes is
// the most that it can come to have.
struct Launch {
    static constexpr uint16_t kType = 16;
    static constexpr uint32_t kDebug = 1;  // of an enclave: a console; PCR0 to 2 are zero
    static constexpr uint32_t kDedicated =
        2;                                    // host_cpus are whole cores for this VM alone; otherwise shared
    static constexpr uint32_t kCarved = 4;    // an enclave that is carved out of a primary VM
    static constexpr uint32_t kEnclaves = 8;  // a primary VM that may carve: it has the NE device
    // An enclave that is started with a primary VM, out of its share: one like others, but that its CID 3 is
    // that VM.
    static constexpr uint32_t kProvisioned = 16;

    Le32 request;
    Le32 flags;
    VmId::Field vm_id;
    Le32 vcpu_count;               // 1 to 32
    Le32 page_size;                // bytes: 4096 or 2097152
    Le32 vmm_slot;                 // 0 to 999, of no other VM there is: the VMM's user is 60000 + vmm_slot
    Le32 role;                     // VmRole
    Le32 disk_count;               // 0 to 8 of a primary VM, 0 of an enclave
    Le32 threads_per_core;         // as the guest sees its vCPUs: 1, or 2 of more than one
    Le64 memory_bytes;             // a multiple of page_size
    Le64 image_size;               // bytes from the image's beginning that are the image
    Le64 guest_cid;                // 4 or more; 3 of a primary VM
    CpuMask host_cpus;             // where the VMM runs; at least one
    TextField<128> module_id;      // in attestation documents: "i-...-enc..."; empty of a primary VM
    std::array<uint8_t, 48> pcr3;  // final values: H(zeros || role); zero where there is none
    std::array<uint8_t, 48> pcr4;
    Networks networks;  // of a primary VM
    // Of a primary VM with SGX: `sgx` without its root secret, which the broker asks of alcove-attestor, and
    // whose it is: attestor::GetSgxRoot. With SGX by the host's processors it opens their devices instead.
    TextField<80> sgx_root_owner;
    Sgx sgx;
};
static_assert(sizeof(Launch) == 764);
// Each number by itself, and the role's rules. ErrorCode::InvalidArgument says which is wrong.
Result<void> check_numbers(const Launch& launch);

// With one descriptor: a pidfd of the shim.
struct Launched {
    static constexpr uint16_t kType = 17;
    static constexpr size_t kMaxTail = 256;         // why a flag is missing, for people
    static constexpr uint32_t kExclusiveCores = 1;  // the kernel keeps every other process off the cores

    Le32 request;
    Le32 flags;
    Le32 shim_pid;
    Le32 reserved;
};

// A VM that runs moves, with all its threads, to other CPUs: a primary VM whose enclave has got some of its
// cores or has given them back, and that enclave. Who loses CPUs is asked before who gets them.
struct AssignCores {
    static constexpr uint16_t kType = 23;

    Le32 request;
    Le32 flags;  // Launch::kDedicated or 0
    VmId::Field vm_id;
    CpuMask host_cpus;  // at least one; with kDedicated whole cores
};

struct CoresAssigned {
    static constexpr uint16_t kType = 24;
    static constexpr size_t kMaxTail = 256;  // as Launched

    Le32 request;
    Le32 flags;  // Launched::kExclusiveCores
};

// The memory that a VM which runs may use follows from the same numbers as at its launch, of which those of
// `launch` are the ones that hold now: its EPC has another budget. What was there is not changed otherwise.
// ErrorCode::Busy when it uses more than that; then nothing is changed.
struct LimitMemory {
    static constexpr uint16_t kType = 25;

    Launch launch;  // with the id of this request
};

struct Kill {
    static constexpr uint16_t kType = 18;

    Le32 request;
    Le32 reserved;
    VmId::Field vm_id;
};

// Whatever still runs of the VM is killed first. A VM that is not there is ErrorCode::NotFound.
struct Remove {
    static constexpr uint16_t kType = 19;

    Le32 request;
    Le32 reserved;
    VmId::Field vm_id;
};

struct Done {
    static constexpr uint16_t kType = 20;

    Le32 request;
    Le32 reserved;
};

struct List {
    static constexpr uint16_t kType = 21;

    Le32 request;
    Le32 reserved;
    VmId::Field after;  // ids above this one; all zeros: from the first
};

struct ListEntry {
    static constexpr uint32_t kShimAlive = 1;  // processes in the shim's cgroup
    static constexpr uint32_t kVmmAlive = 2;   // processes in the VMM's cgroup

    VmId::Field vm_id;
    Le32 flags;
    Le32 vmm_slot;  // 0xffffffff when it has none
};

// Entries by ascending id follow as the tail.
struct Listing {
    static constexpr uint16_t kType = 22;
    static constexpr size_t kMaxEntries = 512;
    static constexpr size_t kMaxTail = kMaxEntries * sizeof(ListEntry);

    Le32 request;
    Le32 count;
    Le32 more;  // 1: ask again, after the last entry
    Le32 reserved;
};

Bytes encode_listing(uint32_t request, std::span<const ListEntry> entries);  // of all; cuts and sets `more`
struct ListingReply {
    uint32_t request;
    bool more;
    std::vector<ListEntry> entries;
};
Result<ListingReply> decode_listing(const Envelope& envelope);

}  // namespace alcove::api::broker

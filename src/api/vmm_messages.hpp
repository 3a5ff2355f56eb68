// SPDX-License-Identifier: Apache-2.0
//
// Between a shim and the VMM it is the parent of. The VMM finds the channel at descriptor 3.
//
//     shim                                VMM
//      | -- Hello ------------------------> |   both at once
//      | <------------------------- Hello - |
//      | -- Launch + descriptors ---------> |   builds the machine
//      | <----------------------- Started - |   the vCPUs are about to enter the guest; or Failed with
//      |                                    |   request 0: this machine can not be built, the process exits
//      | <------------------------- Ready - |   heartbeat seen (may never come)
//      | <-------- OpenPort / OpenPortReply |   any number, each answered once, in any order
//      | -- StatisticsRequest / Statistics  |   any number, one at a time
//      | -- SgxRequest / SgxReport          |   any number, of a VM with SGX (api/sgx_messages.hpp)
//      | <-------------------- AttestorLost |   the line to alcove-attestor ended; answered once,
//      | -- AttestorLine -----------------> |   when there is a new one, or never will be
//      | <------------------ NeLineWanted - |   of a primary VM that may carve: it needs a line to
//      | -- NeLine -----------------------> |   alcoved; answered once, when there is one
//      | -- FabricJoin, FabricLeave ------> |   any number, before and after Started
//      | <----------------------- AppExit - |   of AppExit and Ready the first counts
//      | -- Stop -------------------------> |
//      | <----------------------- Stopped - |   the last message; then the process exits
//
// A VMM whose channel is closed has lost its shim: it ends the guest and exits. Nothing a VMM says is
// believed for more than it costs: a message that does not belong here closes the channel and ends the VM.
// Times are nanoseconds of CLOCK_MONOTONIC.
#pragma once

#include "api/fabric_peer.hpp"
#include "api/network.hpp"
#include "api/protocol.hpp"
#include "api/sgx.hpp"
#include "api/stop_reason.hpp"
#include "api/vm_id.hpp"
#include "api/vm_role.hpp"

namespace alcove::api::vmm {

inline constexpr VersionRange kVersions{.min = 8, .max = 8};
inline constexpr int kChannelDescriptor = 3;  // in the VMM, when its main() begins

// shim -> VMM, with the descriptors of LaunchDescriptors.
struct Launch {
    static constexpr uint16_t kType = 16;
    static constexpr uint32_t kConsole = 1;      // console output goes to the ring; otherwise it is dropped
    static constexpr uint32_t kEnclaves = 2;     // of a primary VM: it has the NE device
    static constexpr uint32_t kCarved = 4;       // of an enclave: CID 3 is its primary VM, not this host
    static constexpr uint32_t kProvisioned = 8;  // likewise, but its heartbeat there is this host's to answer

    VmId::Field vm_id;        // for the log; of a primary VM, what SMBIOS tells the guest
    Le32 machine_version;     // 1
    Le32 flags;               // the ones above; others are 0
    Le32 vcpu_count;          // 1 to 32
    Le32 page_size;           // bytes: 4096 or 2097152, what the RAM descriptor is made of
    Le64 memory_bytes;        // size of the RAM descriptor, all of it reserved
    Le64 image_size;          // of the image, which begins at offset 0 of its descriptor
    Le64 guest_cid;           // the guest's own CID, 4 or more; 3 of a primary VM
    Le32 console_ring_bytes;  // size of the console ring descriptor (api/console_ring.hpp), or 0
    Le32 role;                // VmRole
    Le32 disk_count;
    Le32 threads_per_core;  // as the guest sees its vCPUs: 1, or 2 of more than one
    Networks networks;
    Sgx sgx;

    bool is_primary() const { return role == static_cast<uint32_t>(VmRole::Primary); }
};
static_assert(sizeof(Launch) == 332);

// What the numbers above may be; the shim refuses the rest, and so does the VMM.
struct LaunchDescriptors {
    Fd kvm;             // /dev/kvm
    Fd ram;             // memfd of memory_bytes, sealed against any change of its size
    Fd image;           // memfd, sealed against every change, opened for reading
    Fd connect_socket;  // listening Unix stream socket: a host program connects and says "CONNECT <port>\n"
    Fd attestor;        // an enclave's connection to alcove-attestor, its measurements already set
    Fd console_ring;    // memfd; only with Launch::kConsole
    Fd spill;  // of EPC with a budget: a file with room for all EPC, whose former contents are of no interest
    std::vector<Fd> epc;  // of SGX by the host's processors: /dev/sgx_vepc, opened for each section of the VM
    Fd provision;         // and /dev/sgx_provision, if it has the provisioning key
    std::vector<Fd> disks;  // of a primary VM; one that is open for reading only is that for the guest, too
    std::vector<Fd> networks;
};
// The order on the wire is this one, without those that there are not.
struct LaunchOrder {
    Launch launch;
    LaunchDescriptors descriptors;
};
// Checks everything: sizes, ranges, and that as many descriptors came as the flags say.
Result<LaunchOrder> decode_launch(const Envelope& envelope, std::vector<Fd> descriptors);
// The same way back: ErrorCode::InvalidMessage for numbers that decode_launch would refuse.
Result<Channel::Message> encode_launch(LaunchOrder order);

// VMM -> shim. Sent just before the first vCPU enters the guest.
struct Started {
    static constexpr uint16_t kType = 17;

    Le64 launch_received_ns;    // when Launch had come
    Le64 image_loaded_ns;       // kernel, ramdisks and tables are in place
    Le64 first_instruction_ns;  // now
};

enum class ReadyAnsweredBy : uint32_t {
    Alcove = 1,       // nobody listens on heartbeat port 9000: the VMM itself answered
    HostProgram = 2,  // a host program listens there and took the connection
};
// VMM -> shim. The enclave's heartbeat came (Nitro boot protocol: one byte 0xB7 to port 9000, and back).
struct Ready {
    static constexpr uint16_t kType = 18;

    Le64 time_ns;
    Le32 answered_by;  // ReadyAnsweredBy
    Le32 reserved;
};

enum class AppExitKind : uint32_t { Exited = 1, Signalled = 2 };
// VMM -> shim. What the guest's init reported about its application, if it did.
struct AppExit {
    static constexpr uint16_t kType = 19;

    Le64 time_ns;
    Le32 kind;   // AppExitKind
    Le32 value;  // exit code, or signal number
};

// VMM -> shim.
struct Stopped {
    static constexpr uint16_t kType = 20;
    static constexpr size_t kMaxTail =
        512;  // detail for people: "KVM_EXIT_INTERNAL_ERROR, suberror 1, rip ..."

    Le64 time_ns;
    Le16 reason;  // StopReason, one that a VMM may tell
    Le16 vcpu;    // which vCPU brought it about; 0xffff when none did
    Le32 reserved;
};

// VMM -> shim. The enclave connects to a host port that the VMM does not serve itself.
struct OpenPort {
    static constexpr uint16_t kType = 21;

    Le32 request;  // chosen by the VMM, comes back in the reply
    Le32 port;
};

enum class OpenPortStatus : uint32_t {
    Connected = 0,  // a connected, non-blocking Unix stream socket comes with the reply
    Refused = 1,    // nobody listens: answer the guest with RST
    TooMany = 2,    // over the rate limit or the listener's backlog: RST as well
};
// shim -> VMM.
struct OpenPortReply {
    static constexpr uint16_t kType = 22;

    Le32 request;
    Le32 port;
    Le32 status;  // OpenPortStatus
    Le32 reserved;
};

// shim -> VMM. Answered with Statistics.
struct StatisticsRequest {
    static constexpr uint16_t kType = 23;

    Le32 request;
    Le32 reserved;
};

// One counter; api/statistics.hpp has the ids.
struct StatisticsEntry {
    Le32 id;
    Le32 index;  // for counters that exist several times (a vCPU, a queue), else 0
    Le64 value;
};

// VMM -> shim. Entries follow as the tail.
struct Statistics {
    static constexpr uint16_t kType = 24;
    static constexpr size_t kMaxEntries = 512;
    static constexpr size_t kMaxTail = kMaxEntries * sizeof(StatisticsEntry);

    Le32 request;
    Le32 count;  // of entries
};

Bytes encode_statistics(uint32_t request, std::span<const StatisticsEntry> entries);
struct StatisticsReply {
    uint32_t request;
    std::vector<StatisticsEntry> entries;
};
Result<StatisticsReply> decode_statistics(const Envelope& envelope);  // `count` and the tail must agree

// shim -> VMM. End the guest now; it is not asked. The answer is Stopped with HostRequest.
struct Stop {
    static constexpr uint16_t kType = 25;

    Le32 reserved;
};

// VMM -> shim, while the guest runs, once for each line. Answered with AttestorLine, which may take as long
// as the attestor is away.
struct AttestorLost {
    static constexpr uint16_t kType = 26;

    Le32 reserved;
};

enum class AttestorLineStatus : uint32_t {
    Resumed = 0,  // the descriptor is this VM's new connection, with the state that the old one had
    Gone = 1,     // the attestor knows this VM no more: there will be none
};
// shim -> VMM.
struct AttestorLine {
    static constexpr uint16_t kType = 27;

    Le32 status;  // AttestorLineStatus
    Le32 reserved;
};

// VMM -> shim. Its line to alcoved (api/ne_messages.hpp) is not there yet, or ended. Once for each line;
// answered with NeLine, which may take as long as alcoved is away.
struct NeLineWanted {
    static constexpr uint16_t kType = 28;

    Le32 reserved;
};

// shim -> VMM. With one descriptor.
struct NeLine {
    static constexpr uint16_t kType = 29;

    Le32 reserved;
};

// shim -> VMM, with the descriptors of FabricPeer: packets between the guest and peer_cid go this way from
// now on. A peer that was joined already is joined anew.
struct FabricJoin {
    static constexpr uint16_t kType = 30;

    Le64 peer_cid;  // 3, or of a primary VM its enclave's
    Le32 flags;     // FabricPeer::kConsole
    Le32 reserved;
};
Channel::Message encode_fabric_join(FabricPeer peer);
Result<FabricPeer> decode_fabric_join(const Envelope& envelope, std::vector<Fd> descriptors);

// shim -> VMM. The peer is no more, or no more joined; one that never was is as good.
struct FabricLeave {
    static constexpr uint16_t kType = 31;

    Le64 peer_cid;
};

}  // namespace alcove::api::vmm

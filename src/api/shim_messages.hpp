// SPDX-License-Identifier: Apache-2.0
//
// alcoved and the shim of one VM. The shim listens on shim.sock in the VM's folder from before Launched until
// Release; a daemon connects to it after a launch and after its own restart in the same way, and only the
// connection made last is served. Both send Hello first, then the daemon sends Attach:
//
//     Attach             ->  State                  and from then on State at every change, Progress while
//                                                   the image is copied, ImageMetadata when there is some
//                                                   (all with request 0)
//     Stop               ->  Done                   State says when it has ended
//     StatisticsRequest  ->  Statistics
//     SgxRequest         ->  SgxReport              VMs with SGX
//     Console            ->  ConsoleRing + ring     debug enclaves and primary VMs (api/console_ring.hpp)
//     GetPidfd           ->  Pidfd + pidfd          of the VMM
//     Release            ->  Done                   only when it ends or has ended; once it has, and the
//                                                   attestor knows or does not answer, the shim exits
//     any                ->  Failed                 (api/protocol.hpp)
//
// Two VMs are joined by telling both shims, each with its end of one pair (make_fabric_pair):
//
//     FabricJoin + end   ->  Done                   for the VMM, now or when it is launched. A primary VM's
//     next
//                                                   life is joined with nobody
//     FabricLeave        ->  Done
//
// A carved enclave begins in Phase::Gathering, with no memory:
//
//     AddMemory          ->  Done                   a region of its primary's RAM is the enclave's
//     Begin              ->  Done                   at once; then as any enclave, from Copying on
//     GiveBack           ->  Done                   whatever phase it is in: its VMM is gone, and its primary
//                                                   has all its memory again
//
// A primary VM that may carve has a line from its VMM to alcoved (api/ne_messages.hpp), a new one for each
// life and each daemon:
//
//     GetRam             ->  Ram + file             the memory of the life that there is
//     NeLine + socket    ->  Done                   for the VMM; the answer to
//                        <-  NeLineWanted           pushed when the VMM asks for one, and after Attach if it
//                                                   still does
//
// Times are nanoseconds of CLOCK_MONOTONIC, 0 for what has not happened.
#pragma once

#include <array>

#include "api/protocol.hpp"
#include "api/sgx_messages.hpp"
#include "api/stop_reason.hpp"
#include "api/vm_id.hpp"
#include "api/vmm_messages.hpp"

namespace alcove::api::shim {

inline constexpr VersionRange kVersions{.min = 8, .max = 8};
inline constexpr const char* kSocketName = "shim.sock";            // SOCK_SEQPACKET, in the VM's folder
inline constexpr const char* kConnectSocketName = "connect.sock";  // SOCK_STREAM: "CONNECT <port>\n"
std::string port_socket_name(uint32_t port);  // "port-9000.sock": made by a host program that listens

enum class Phase : uint32_t {
    Copying = 1,    // the image is copied, measured, checked
    Reserving = 2,  // measurements are with the attestor; memory is being reserved. A primary VM that was
                    // reset comes here again, and so back from Running
    Starting = 3,   // the VMM builds the machine
    Running = 4,    // the guest runs
    Ready = 5,      // its heartbeat came
    Stopping = 6,   // asked to end
    Ended = 7,      // State::reason says why; the VMM is gone
    Gathering = 8,  // of a carved enclave, before Copying: it is given memory, and then begun
};
std::optional<Phase> phase_from(uint32_t value);

struct Attach {
    static constexpr uint16_t kType = 16;

    Le32 request;
    Le32 reserved;
};

enum class SignatureState : uint32_t { Unknown = 0, Unsigned = 1, Valid = 2 };

// Everything there is to know. An answer to Attach, and pushed whole at every change: who reads one has
// missed nothing.
struct State {
    static constexpr uint16_t kType = 17;
    static constexpr size_t kMaxTail = 1024;  // the detail of the end or of the failure, printable ASCII
    static constexpr uint32_t kDebug = 1;
    static constexpr uint32_t kMeasured = 2;  // the PCRs are valid

    Le32 request;  // 0 when pushed
    Le32 phase;
    VmId::Field vm_id;
    Le32 flags;
    Le32 vmm_pid;

    // The image's measurements, whatever a debug enclave's documents will say.
    std::array<uint8_t, 48> pcr0;
    std::array<uint8_t, 48> pcr1;
    std::array<uint8_t, 48> pcr2;
    std::array<uint8_t, 48> pcr8;  // zero when unsigned
    Le32 signature;                // SignatureState
    Le32 reserved;
    Le64 certificate_not_before;  // seconds since 1970, of the signing certificate; 0 when unsigned
    Le64 certificate_not_after;
    TextField<256> certificate_subject;  // cut when longer

    Le64 begun_ns;  // the shim began
    Le64 measured_ns;
    Le64 launch_received_ns;  // the VMM had its orders
    Le64 image_loaded_ns;
    Le64 first_instruction_ns;
    Le64 ready_ns;
    Le64 ended_ns;
    Le32 ready_answered_by;  // vmm::ReadyAnsweredBy, 0 before
    Le32 app_exit_kind;      // vmm::AppExitKind, 0 when it reported none
    Le32 app_exit_value;

    Le16 reason;       // StopReason, 0 before the end
    Le16 vcpu;         // that brought it about; 0xffff when none did
    Le32 exit_status;  // of the VMM process: its code, or 128 + signal
    Le32 error_code;   // ErrorCode when reason is LaunchFailed or RestartFailed, else 0
    Le32 restarts;     // of a primary VM: lives that ended in a reset
};
static_assert(sizeof(State) == 636);

struct Progress {
    static constexpr uint16_t kType = 18;

    Le64 bytes_done;
    Le64 bytes_total;
};

// What the image says of itself: its metadata section, as it is, which nobody has measured or read. An image
// with more is as one that has none.
struct ImageMetadata {
    static constexpr uint16_t kType = 43;
    static constexpr size_t kMaxTail = 48 * 1024;

    Le32 request;  // 0: pushed
    Le32 reserved;
};

struct Stop {
    static constexpr uint16_t kType = 19;

    Le32 request;
    Le32 force_after_ms;  // how long the VMM may take before it is killed; at most 60000
};

struct StatisticsRequest {
    static constexpr uint16_t kType = 20;

    Le32 request;
    Le32 reserved;
};

// The answer to StatisticsRequest is vmm::Statistics (type 24), as the VMM gave it.
using Statistics = vmm::Statistics;

// As the VMM is asked and answers.
using SgxRequest = vmm::SgxRequest;  // type 41
using SgxReport = vmm::SgxReport;    // type 42

struct Console {
    static constexpr uint16_t kType = 21;

    Le32 request;
    Le32 reserved;
};

// With one descriptor: the ring, open for reading.
struct ConsoleRing {
    static constexpr uint16_t kType = 22;

    Le32 request;
    Le32 ring_bytes;
};

struct GetPidfd {
    static constexpr uint16_t kType = 23;

    Le32 request;
    Le32 reserved;
};

// With one descriptor.
struct Pidfd {
    static constexpr uint16_t kType = 25;  // 24 is Statistics

    Le32 request;
    Le32 vmm_pid;
};

// In Gathering only, one at a time. The contents of [parent_offset, parent_offset + size) of the primary's
// RAM file are moved to enclave_offset of the enclave's, which is where it ends so far, and are punched out
// of the former. After Failed the primary has them as before; ErrorCode::MemoryLost: it has not, and can not
// go on.
struct AddMemory {
    static constexpr uint16_t kType = 32;

    Le32 request;
    Le32 reserved;
    Le64 parent_offset;
    Le64 size;
    Le64 enclave_offset;
};

// In Gathering only. The image is looked for 8 MiB into the enclave's memory; one that is none ends the
// enclave later, as LaunchFailed.
struct Begin {
    static constexpr uint16_t kType = 33;
    static constexpr uint32_t kDebug = 1;

    Le32 request;
    Le32 flags;
    Le32 vcpu_count;
    Le32 threads_per_core;
    Le64 guest_cid;
    Le64 memory_bytes;  // all that was added
};

// The VMM, if there is one, is killed first. Then each region is fresh zero pages in the primary's RAM file.
// ErrorCode::OutOfMemory: the host has no pages for it, although the enclave has none any more; ask again.
struct GiveBack {
    static constexpr uint16_t kType = 34;

    Le32 request;
    Le32 reserved;
};

// Of a primary VM whose guest runs.
struct GetRam {
    static constexpr uint16_t kType = 35;

    Le32 request;
    Le32 reserved;
};

// With one descriptor: the RAM file, open for reading and writing.
struct Ram {
    static constexpr uint16_t kType = 36;

    Le32 request;
    Le32 page_size;  // bytes
    Le64 bytes;
};

// shim -> alcoved.
struct NeLineWanted {
    static constexpr uint16_t kType = 37;

    Le32 restarts;  // which life wants it: State::restarts
    Le32 reserved;
};

// With one descriptor: one end of a connection that speaks api/ne_messages.hpp. Failed with NotFound when
// that life is over.
struct NeLine {
    static constexpr uint16_t kType = 38;

    Le32 request;
    Le32 restarts;
};

// With the descriptors of FabricPeer. ErrorCode::EnclaveDied when the VM has ended.
struct FabricJoin {
    static constexpr uint16_t kType = 39;

    Le32 request;
    Le32 flags;  // FabricPeer::kConsole
    Le64 peer_cid;
};
Channel::Message encode_fabric_join(uint32_t request, FabricPeer peer);
Result<FabricPeer> decode_fabric_join(const Envelope& envelope, std::vector<Fd> descriptors);

struct FabricLeave {
    static constexpr uint16_t kType = 40;

    Le32 request;
    Le32 reserved;
    Le64 peer_cid;
};

struct Release {
    static constexpr uint16_t kType = 26;

    Le32 request;
    Le32 reserved;
};

struct Done {
    static constexpr uint16_t kType = 27;

    Le32 request;
    Le32 reserved;
};

}  // namespace alcove::api::shim

// SPDX-License-Identifier: Apache-2.0
//
// All that alcoved knows of one VM, of either role: what was asked for, what it got, what its shim told.
// Values only. Everything but `progress` and `timings` is kept in the database.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/network.hpp"
#include "api/vm_id.hpp"
#include "api/vm_role.hpp"
#include "daemon/vm_state.hpp"
#include "host/units.hpp"
#include "sgx/configuration.hpp"
#include "support/error.hpp"

namespace alcove::daemon {

using PcrValue = std::array<uint8_t, 48>;

// As the launcher measured the image; the documents of a debug enclave carry zeros in PCR0 to 2 all the same.
struct Measurements {
    PcrValue pcr0{};
    PcrValue pcr1{};
    PcrValue pcr2{};
    PcrValue pcr8{};  // zero when unsigned
    bool operator==(const Measurements&) const = default;
};

struct ImageSignature {
    std::string subject;
    int64_t not_before = 0;  // seconds since 1970
    int64_t not_after = 0;
    bool operator==(const ImageSignature&) const = default;
};

struct AppExit {
    bool signalled = false;  // else it exited
    uint32_t value = 0;      // exit code or signal number
    bool operator==(const AppExit&) const = default;
};

struct StoredError {
    ErrorCode code = ErrorCode::Internal;
    std::string message;
    bool operator==(const StoredError&) const = default;
};

struct Progress {
    uint64_t done = 0;
    uint64_t total = 0;
};

// CLOCK_MONOTONIC nanoseconds of this boot; 0 for what has not happened.
struct Timings {
    uint64_t requested = 0;  // the API request came
    uint64_t begun = 0;      // the shim began
    uint64_t measured = 0;
    uint64_t launch_received = 0;  // the VMM had its orders
    uint64_t image_loaded = 0;
    uint64_t first_instruction = 0;
    uint64_t ready = 0;
    uint64_t ended = 0;
};

enum class HeartbeatAnswer : uint8_t { None, Alcove, HostProgram };

struct DiskRecord {
    uint64_t bytes = 0;
    bool read_only = false;
    std::string serial;  // in the embedded host: the disk that was attached for it; else empty
    bool operator==(const DiskRecord&) const = default;
};

struct NetworkRecord {
    api::NetworkKind kind = api::NetworkKind::None;
    api::MacAddress mac{};
    bool operator==(const NetworkRecord&) const = default;
};

struct VmRecord {
    // "i-...-enc..." of an enclave, "i-..." of a primary VM: also its VmId, and its module_id or asset tag.
    std::string id;
    api::VmRole role = api::VmRole::Enclave;
    std::string name;  // may be empty
    VmState state = VmState::Reserving;
    bool ready = false;  // its heartbeat came; never of a primary VM
    HeartbeatAnswer heartbeat = HeartbeatAnswer::None;

    uint64_t cid = 0;
    uint32_t vcpus = 0;
    uint64_t memory_bytes = 0;
    host::PageSize pages = host::PageSize::Size4K;
    host::CpuPolicy policy = host::CpuPolicy::Dedicated;
    std::string core_note;  // of dedicated CPUs that others may use all the same: why; else empty
    bool debug = false;
    uint64_t image_bytes = 0;
    uint32_t vmm_slot = 0;
    std::vector<DiskRecord> disks;
    bool enclaves = false;  // of a primary VM: it may carve enclaves out of itself
    host::CpuPolicy enclave_policy = host::CpuPolicy::Dedicated;  // ... of those that it carves from now on
    std::string parent;     // of an enclave of a primary VM: that VM; else empty
    uint64_t slot_uid = 0;  // of one that it carved: its handle there; 0 of one that was started with it
    std::vector<NetworkRecord> networks;
    std::optional<sgx::Configuration> sgx;  // of a primary VM
    uint32_t restarts = 0;                  // lives that ended in a reset

    int64_t created_ms = 0;  // wall clock, since 1970; 0 for what has not happened
    int64_t ready_ms = 0;
    int64_t ended_ms = 0;

    std::string image_metadata;  // as eif::Metadata::encode() has it; empty: none that is known
    std::optional<Measurements> measurements;
    std::optional<ImageSignature> signature;
    std::optional<AppExit> app_exit;
    std::string reason;  // why it ended: api::stop_reason_name(), or kLost
    std::string detail;  // the VMM's words on it
    uint32_t vmm_pid = 0;
    uint32_t exit_status = 0;  // of the VMM
    std::optional<StoredError> error;

    std::optional<Progress> progress;
    Timings timings;

    bool is_primary() const { return role == api::VmRole::Primary; }
    bool is_carved() const { return slot_uid != 0; }
    bool has_parent() const { return !parent.empty(); }
    bool has_console() const { return debug || is_primary(); }

    // The reason of a VM of which nothing was left when alcoved came back: the host was restarted.
    static constexpr const char* kLost = "lost";
};

// Of a record: ids are made in this alphabet.
inline api::VmId vm_id(const std::string& record_id) {
    return api::VmId::parse(record_id).value();
}

struct Event {
    uint64_t sequence = 0;  // ascending, never reused
    int64_t time_ms = 0;
    std::string vm;    // id; empty for the host's own
    std::string kind;  // "state", "ready", "cores", "restarted", "removed", "adopted"
    std::string detail;
};

}  // namespace alcove::daemon

// SPDX-License-Identifier: Apache-2.0
//
// What the API says of an enclave or a primary VM, as values and as text. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/invocation.hpp"
#include "codec/json.hpp"
#include "support/error.hpp"
#include "support/result.hpp"

namespace alcove::cli {

struct DiskView {
    uint64_t bytes = 0;
    bool read_only = false;
    std::string serial;  // of the disk attached to the embedded host, if it is one
};

struct NetworkView {
    std::string kind;
    std::string mac;
};

// Of a running VM with SGX in software.
struct EpcUse {
    uint64_t resident_pages = 0;
    uint64_t evicted_pages = 0;
    uint64_t enclaves = 0;
};

struct VmView {
    VmKind kind = VmKind::Enclave;
    std::string id;
    std::string name;
    std::string state;
    bool ready = false;
    uint64_t cid = 0;
    uint64_t vcpus = 0;
    uint64_t memory_mib = 0;
    std::string pages;
    std::string policy;
    std::string core_note;  // why dedicated CPUs are not exclusive, if they are not
    bool debug = false;
    std::string parent;  // of an enclave of a primary VM: that VM
    std::string created;
    std::vector<std::pair<std::string, std::string>> pcrs;  // "PCR0", hexadecimal
    std::string signer;
    std::string reason;
    std::string detail;
    std::optional<Error> error;
    std::vector<DiskView> disks;                            // of a primary VM
    std::vector<NetworkView> networks;                      // of a primary VM
    uint64_t restarts = 0;                                  // of a primary VM
    uint64_t epc_mib = 0;                                   // of a primary VM with SGX
    std::string population;                                 // likewise
    std::optional<EpcUse> epc_use;                          // where the list says so
    std::optional<std::pair<uint64_t, uint64_t>> progress;  // done, total

    bool is_over() const { return state == "stopped" || state == "failed"; }
};

// ErrorCode::JsonMalformed when it is not what the API promises.
Result<VmView> read_vm(const codec::json::Json& json, VmKind kind = VmKind::Enclave);

// Of one kind.
std::string render_list(const std::vector<VmView>& vms, VmKind kind = VmKind::Enclave);
std::string render_vm(const VmView& vm);

// "running", "running (ready)", "stopped: power_off", "failed: E32".
std::string state_text(const VmView& vm);
// What a VM on its way is doing: "measuring the image, 45 %".
std::string progress_text(const VmView& vm);
// For whoever started it: what it asked for and has not quite got. Empty when there is nothing.
std::string core_remark(const VmView& vm);
// Why a VM that is over never was ready, or never ran.
Error ending_error(const VmView& vm);

}  // namespace alcove::cli

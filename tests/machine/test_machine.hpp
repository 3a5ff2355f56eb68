// SPDX-License-Identifier: Apache-2.0
//
// A machine for a test: made from a kernel file and a few words, run to its end or to a deadline, its console
// collected. With a disk it is a primary VM: what it has is behind PCI then. Files are found in the folder
// ALCOVE_TEST_FILES (the payload of the embedded host).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "machine/machine.hpp"
#include "support/mapping.hpp"
#include "virtio/rng.hpp"

namespace alcove::tests {

// The path of a test file, or nothing when it is not there.
std::optional<std::string> find_test_file(const std::string& name);
Result<Mapping> map_test_file(const std::string& name);

struct GuestOptions {
    std::string kernel = {};                           // name of a test file
    std::optional<std::string> initrd = std::nullopt;  // likewise
    std::string command_line = {};
    uint32_t vcpus = 1;
    uint64_t memory_bytes = 64 << 20;
    bool with_rng = true;
    std::optional<sgx::Configuration> sgx = std::nullopt;
    std::optional<std::string> disk = std::nullopt;  // path of a file; makes the machine a primary VM
    bool ends_when_halted = false;
    std::chrono::seconds deadline{30};
    std::string stop_at = {};           // stop the machine when the console has this; empty: never
    std::string drop_epc_at = {};       // likewise: all EPC is lost
    std::string machine_check_at = {};  // likewise: the host's hardware fails under vCPU 0
    std::string spill_at = {};          // likewise, of EPC with a budget: `on_spill` has the spill file
    std::function<void(const Fd&)> on_spill = {};
    std::string call_at = {};  // likewise: `call`, by the loop, when the guest has had time to go on
    std::function<void(machine::Machine&, EventLoop&)> call = {};
};

// What had happened when the guest sent kMark to its console: vCPU 0's returns of KVM_RUN (the mark's own is
// one), exits of all enclaves, EPC pages that left memory.
inline constexpr uint8_t kMark = 1;
struct Mark {
    uint64_t runs;
    uint64_t asynchronous_exits;
    uint64_t evictions;
};

struct GuestRun {
    std::optional<machine::MachineEnd> end;  // nothing: the deadline came first
    std::string console;
    uint64_t kvm_runs = 0;
    std::optional<sgx::EngineReport> sgx;
    sgx::SpillingStore::Statistics spill{};
    std::vector<Mark> marks;
};

// Runs the guest; any failure to make it is an Error.
Result<GuestRun> run_guest(const GuestOptions& options);

}  // namespace alcove::tests

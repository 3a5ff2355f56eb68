// SPDX-License-Identifier: Apache-2.0
//
// What a VMM is asked about the SGX of its VM, and what it answers: sections, pages, counters, enclaves.
//
//     alcoved -> shim -> VMM   SgxRequest
//     VMM -> shim -> alcoved   SgxReport, with the state after what was asked for; or Failed
#pragma once

#include <optional>
#include <vector>

#include "api/protocol.hpp"

namespace alcove::api::vmm {

enum class SgxAction : uint32_t {
    Report = 0,
    Drop = 1,        // all EPC is lost at once, as after a change of machines (sgx.md 7.5)
    SetBudget = 2,   // of EPC with a budget: how much is in memory from now on
    SetBalloon = 3,  // of EPC with a balloon: how much of it the guest is asked for from now on
};

struct SgxRequest {
    static constexpr uint16_t kType = 41;

    Le32 request;
    Le32 action;  // SgxAction
    Le64 mib;     // of SetBudget, not 0, and SetBalloon; else 0
};
// An action that there is, with what belongs to it.
std::optional<SgxAction> sgx_action_of(const SgxRequest& request);

struct SgxSectionEntry {
    Le64 base;
    Le64 size;
};
struct SgxLeafEntry {
    TextField<16> name;  // "EADD"
    Le64 completed;
    Le64 faulted;
};
struct SgxEnclaveEntry {
    static constexpr uint32_t kInitialized = 1;
    static constexpr uint32_t kDebug = 2;

    Le64 eid;
    Le64 base;  // linear
    Le64 size;
    Le64 entries;  // EENTER and ERESUME
    Le64 asynchronous_exits;
    Le32 pages;  // in the EPC, SECS included
    Le32 threads_inside;
    Le32 flags;
    Le32 reserved;
    std::array<uint8_t, 32> mrenclave;  // zero before EINIT
    std::array<uint8_t, 32> mrsigner;
    std::array<Le64, 16> encls;  // completed leaves of ENCLS that worked on its pages, by number
    std::array<Le64, 8> enclu;   // completed leaves of ENCLU, by number
};
static_assert(sizeof(SgxEnclaveEntry) == 312);

// The three lists follow as the tail, one behind the other.
struct SgxReport {
    static constexpr uint16_t kType = 42;
    static constexpr size_t kMaxSections = 8;
    static constexpr size_t kMaxLeaves = 32;
    static constexpr size_t kMaxEnclaves = 200;
    static constexpr size_t kMaxTail = kMaxSections * sizeof(SgxSectionEntry) +
                                       kMaxLeaves * sizeof(SgxLeafEntry) +
                                       kMaxEnclaves * sizeof(SgxEnclaveEntry);

    Le32 request;
    Le32 sections;
    Le32 leaves;
    Le32 enclaves;
    Le32 enclaves_in_all;  // more than `enclaves` when not all fit
    Le32 valid_pages;      // that belong to an enclave
    Le32 resident_pages;
    Le32 evicted_pages;
    Le32 budget_pages;  // 0: all are in memory. Of EPC with a budget also:
    Le32 has_balloon;   // 0 or 1
    Le64 evictions;     // pages that went to the spill file
    Le64 loads;         // and came back
    Le64 overdrafts;    // that came although none could leave
    // Of EPC with a balloon; else 0. In bytes:
    Le64 balloon_target;      // what the guest is asked for
    Le64 balloon_held;        // what it gives, as the engine counts it
    Le64 balloon_reported;    // what its program says it holds: nobody relies on it
    Le64 asynchronous_exits;  // of all enclaves, also of those that are gone
};

struct SgxBalloon {
    uint64_t target = 0;  // bytes, all of them
    uint64_t held = 0;
    uint64_t reported = 0;
    bool operator==(const SgxBalloon&) const = default;
};

struct SgxState {
    uint32_t enclaves_in_all = 0;
    uint32_t valid_pages = 0;
    uint32_t resident_pages = 0;
    uint32_t evicted_pages = 0;
    uint32_t budget_pages = 0;
    uint64_t evictions = 0;
    uint64_t loads = 0;
    uint64_t overdrafts = 0;
    uint64_t asynchronous_exits = 0;
    std::optional<SgxBalloon> balloon{};
    std::vector<SgxSectionEntry> sections{};
    std::vector<SgxLeafEntry> leaves{};
    std::vector<SgxEnclaveEntry> enclaves{};
};
// Of enclaves, as many as fit.
Bytes encode_sgx_report(uint32_t request, const SgxState& state);
struct SgxReply {
    uint32_t request;
    SgxState state;
};
// ErrorCode::InvalidMessage when the lists are not as long as it says, or a name is none.
Result<SgxReply> decode_sgx_report(const Envelope& envelope);

}  // namespace alcove::api::vmm

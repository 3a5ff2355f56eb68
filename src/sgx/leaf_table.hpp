// SPDX-License-Identifier: Apache-2.0
//
// The list of leaf functions: ENCLS and ENCLU look up EAX here.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "sgx/leaves.hpp"

namespace alcove::sgx {

enum class LeafKind : uint8_t {
    FaultsOnly,   // RAX and flags stay as they are
    GivesStatus,  // RAX and ZF say how it went; CF, PF, AF, OF, SF are cleared
    SetsRip,      // and all else
};
enum class Generation : uint8_t { SGX1, SGX2 };
enum class Place : uint8_t {
    Outside,  // #GP(0) inside an enclave
    Inside,   // #GP(0) outside
};

struct LeafRow {
    uint32_t number;
    std::string_view name;
    Outcome<void> (*run)(Call&);
    LeafKind kind;
    Generation generation;
    Place place;  // of ENCLU; ENCLS needs ring 0 and so is outside
};

// By number, without gaps.
std::span<const LeafRow> encls_leaves();
std::span<const LeafRow> enclu_leaves();

// Runs it, and puts a status where the architecture has it. Ends with an exception or the host's error, or
// not.
Outcome<void> run_leaf(const LeafRow& row, Call& call);

}  // namespace alcove::sgx

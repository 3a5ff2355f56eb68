// SPDX-License-Identifier: Apache-2.0
//
// One execution of a leaf function: what it works on, and the steps that leaves share. Each leaf is a
// function of its own, Outcome<void> leaf(Call&), in a file named for it, in the order of the manual's
// pseudocode; leaf_table.hpp has the list.
#pragma once

#include "sgx/epcm.hpp"
#include "sgx/page_sealer.hpp"
#include "sgx/page_store.hpp"
#include "sgx/platform.hpp"
#include "sgx/processor.hpp"
#include "sgx/sections.hpp"

namespace alcove::sgx {

// What all leaf functions of a VM share.
struct EpcParts {
    const Sections& sections;
    const Features& features;
    const Platform& platform;
    Epcm& epcm;
    PageStore& store;
    PageSealer& sealer;
};

class Call {
  public:
    Call(const EpcParts& parts, Processor& processor, LeafContext& cpu)
        : parts_(parts), processor_(processor), cpu_(cpu) {}

    const Features& features() const { return parts_.features; }
    const Platform& platform() const { return parts_.platform; }
    PageSealer& sealer() { return parts_.sealer; }
    PageStore& store() { return parts_.store; }
    Epcm& epcm() { return parts_.epcm; }
    Processor& processor() { return processor_; }
    LeafContext& cpu() { return cpu_; }
    Registers& registers() { return cpu_.registers(); }

    // #PF because of the EPC or the EPCM: present, with the SGX bit.
    Exception epcm_fault(uint64_t linear, Access access) const;
    // The address resolves to an EPC page, else #PF.
    Outcome<PageIndex> epc_page(uint64_t linear, Access access);

    // An operand in ordinary memory, copied once.
    template <typename T>
    Outcome<T> read(uint64_t linear) {
        T value;
        TRY_LEAF(cpu_.read(linear, {reinterpret_cast<uint8_t*>(&value), sizeof(T)}));
        return value;
    }
    template <typename T>
    Outcome<void> write(uint64_t linear, const T& value) {
        return cpu_.write(linear, object_bytes(value));
    }

    // The page is not in use by another leaf in a way that excludes this one, else #GP(0), or the status.
    Outcome<Hold> hold(PageIndex page, Latch set);
    Outcome<Hold> hold_or(PageIndex page, Latch set, Status busy);
    // Exclusive, and VALID = 0, else #PF.
    Outcome<Hold> claim_free(PageIndex page, uint64_t linear);

    Outcome<PagePin> pin(PageIndex page) { return outcome_of(parts_.store.pin(page)); }

    // A valid SECS, else #PF. It stays while the page is held, or something in the enclave is.
    Outcome<Enclave*> enclave(PageIndex secs, uint64_t linear, Access access);

    // For ENCLU leaves inside: the operand lies in ELRANGE, else #GP(0); it resolves to an EPC page, else
    // #PF.
    Outcome<void> require_in_enclave(uint64_t linear) const;
    // What direct access demands: a REG page of this enclave, at this address, in no other state, with the
    // right; else #PF. This processor being inside keeps it.
    Outcome<void> check_direct(PageIndex page, uint64_t linear, Access access);
    // All of these, then a copy: an operand of the enclave's.
    template <typename T>
    Outcome<T> read_enclave(uint64_t linear) {
        TRY_LEAF(require_in_enclave(linear));
        const auto page = TRY_LEAF(epc_page(linear, Access::Read));
        TRY_LEAF(check_direct(page, linear, Access::Read));
        const auto pinned = TRY_LEAF(pin(page));
        return pinned.template read<T>(linear % kPageSize);
    }
    // A result, of a size and alignment that keep it within the page.
    template <typename T>
    Outcome<void> write_enclave(PageIndex page, uint64_t linear, const T& value) {
        const auto pinned = TRY_LEAF(pin(page));
        pinned.write(linear % kPageSize, value);
        return {};
    }

    const Inside& inside() const { return *processor_.inside; }

    // A leaf of ENCLS says whose pages it works on; nobody's without that. For statistics.
    void works_for(PageIndex secs) { enclave_ = secs; }
    std::optional<PageIndex> worked_for() const { return enclave_; }

  private:
    const EpcParts& parts_;
    Processor& processor_;
    LeafContext& cpu_;
    std::optional<PageIndex> enclave_;
};

// Does the EPCM let code inside this enclave use the page at this address so?
bool allows_direct(const Entry& entry, PageIndex secs, uint64_t linear, Access access);

constexpr bool is_canonical(uint64_t linear) {  // 48 bits
    return linear + (uint64_t{1} << 47) < uint64_t{1} << 48;
}

}  // namespace alcove::sgx

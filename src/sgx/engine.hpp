// SPDX-License-Identifier: Apache-2.0
//
// The SGX of one VM in software: its EPC, EPCM and enclaves, and the instructions that work on them. The
// layer that traps ENCLS and ENCLU calls in here on the thread of the vCPU concerned; any number of vCPUs may
// be in here at once (epcm.hpp says what keeps them apart).
//
// Errors (Outcome's third way) are the host's: memory or the spill file of a VM with a budget. The VM cannot
// go on then.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "sgx/aex.hpp"
#include "sgx/leaf_table.hpp"

namespace alcove::sgx {

// An access of code inside an enclave that the guest's page tables allow.
struct DirectAccess {
    struct Ordinary {};  // outside ELRANGE: memory as for anybody, EPC reads as ones
    struct Enclosed {
        PageIndex page;
        uint64_t rights;  // secinfo::R, W, X that a translation may have
    };
    using Answer = std::variant<Ordinary, Enclosed>;
};

struct EnclaveReport {
    uint64_t eid;
    Measurement mrenclave;  // of an initialized enclave
    Measurement mrsigner;
    uint64_t base;
    uint64_t size;
    uint32_t pages;  // in the EPC, SECS included
    uint32_t threads_inside;
    uint64_t entries;
    uint64_t asynchronous_exits;
    std::array<uint64_t, 16> encls;  // completed leaves of ENCLS that worked on its pages, by number
    std::array<uint64_t, 8> enclu;   // completed leaves of ENCLU, by number
    bool initialized;
    bool debug;
};
// EPC that the guest holds and does not use: SECS of enclaves that were begun and have no page, VA pages that
// no version was put into. None of it is in memory.
struct IdlePages {
    uint32_t secs = 0;
    uint32_t version_arrays = 0;

    // What its host has more for it: of each enclave something is kept elsewhere.
    uint64_t bytes() const {
        return uint64_t{secs} * (kPageSize - kBytesOfEnclave) + uint64_t{version_arrays} * kPageSize;
    }
};
struct LeafCount {
    std::string_view name;
    uint64_t completed;
    uint64_t faulted;
};
struct EngineReport {
    std::vector<memory::GuestRange> sections;
    uint32_t valid_pages;
    IdlePages idle{};
    PageStore::Occupancy occupancy;
    uint64_t asynchronous_exits = 0;      // of all enclaves, also of those that are gone
    std::vector<EnclaveReport> enclaves;  // by EID, without the idle ones
    std::vector<LeafCount> leaves;        // ENCLS, then ENCLU
};

class Engine {
  public:
    // `store` has the pages of `sections`; `root` is the platform's secret (platform.hpp). Everything that
    // the crypto library loads at its first use is loaded here: the process may close its sandbox afterwards.
    static Result<std::unique_ptr<Engine>> create(Sections sections, Features features,
                                                  std::unique_ptr<PageStore> store, const Key128& root);

    // The instruction at registers().rip was ENCLS or ENCLU. Done: the registers are as after it. An
    // exception: deliver it, nothing has changed; inside an enclave that is an event for
    // asynchronous_exit().
    Outcome<void> encls(Processor& processor, LeafContext& cpu);
    Outcome<void> enclu(Processor& processor, LeafContext& cpu);

    // The processor is inside. Afterwards its registers are the outside's; deliver the event that comes back.
    // With EventKind::Interrupt and nothing to deliver, it is a way to stop: the guest resumes by itself.
    Outcome<Event> asynchronous_exit(Processor& processor, LeafContext& cpu, const Event& event);

    // SDM vol. 3D, "Access Control": the answer for code inside, once the guest's page tables led from
    // `linear` to `address`. An exception: #PF with the SGX bit, #GP for a fetch outside ELRANGE.
    Outcome<DirectAccess::Answer> check_access(const Processor& processor, uint64_t linear, Access access,
                                               memory::GuestAddress address);

    // Bytes of a page that check_access() gave, within it: what code inside this enclave would read.
    Result<void> read_page(PageIndex page, uint64_t offset, MutableByteView into);
    // Keeps such a page in memory for as long as the pin lives: to map it for code inside.
    Result<PagePin> hold_page(PageIndex page) { return store_->pin(page); }

    // All EPC is lost at once. Every vCPU is stopped and has left its enclave (asynchronous_exit).
    void drop_all();

    EngineReport report() const;
    const Features& features() const { return features_; }
    const Sections& sections() const { return sections_; }
    // For tests: the first invariant that does not hold.
    std::optional<std::string> find_inconsistency() const;

  private:
    struct Counter {
        std::atomic<uint64_t> completed{0};
        std::atomic<uint64_t> faulted{0};
    };

    Engine(Sections sections, Features features, std::unique_ptr<PageStore> store, Platform platform);
    Outcome<void> count(Counter& counter, Outcome<void> outcome);
    // Of one that may be gone by now.
    template <size_t Leaves>
    void count_for_enclave(PageIndex secs, std::array<uint64_t, Leaves> Enclave::*counters, uint32_t leaf);

    Sections sections_;
    Features features_;
    std::unique_ptr<PageStore> store_;
    Platform platform_;
    Epcm epcm_;
    PageSealer sealer_;
    EpcParts parts_;
    std::array<Counter, 16> encls_counters_;
    std::array<Counter, 8> enclu_counters_;
    std::atomic<uint64_t> asynchronous_exits_{0};
};

}  // namespace alcove::sgx

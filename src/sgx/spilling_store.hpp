// SPDX-License-Identifier: Apache-2.0
//
// EPC with a budget: population `oversubscribe`. As many pages are in memory as the budget allows; when
// another one is wanted, the clock hand takes one that was not used since it last came by, and it goes to a
// spill file, encrypted, its tag and version kept here in memory. Whatever happens to the file, a page comes
// back as it went or not at all: an older copy, another page's, or a changed byte is an error.
//
//                    pin                          hand passes, unused
//         ┌─ Empty ───────► Moving ──► Resident ─────────────────────► Moving ──► Evicted
//         │                   ▲            │ discard                     │           │ pin
//         └───────────────────┼────────────┘                             │           │
//                             └──────────────────────────────────────────┴───────────┘
//                                      pin (Moving → Resident), or it was used after all
//
// All EPC that is not resident costs a hole in the memory file. The guest notices nothing but time.
//
// Errors of pin(): ErrorCode::NoSpace, SystemCall (the spill file cannot be written), Truncated (it was cut),
// CryptoFailed (it was changed). The pages in memory are as they were.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "crypto/aes.hpp"
#include "sgx/page_store.hpp"
#include "support/fd.hpp"
#include "support/mapping.hpp"

namespace alcove::sgx {

// How the guest's processors reach pages by translations of their own (shadow page tables). Called without a
// lock of the store's; pin() may be waiting on other threads.
class PageMappings {
  public:
    virtual ~PageMappings() = default;
    // Since the last call; forgets it.
    virtual bool was_accessed(PageIndex page) = 0;
    // When this returns true, no processor reaches the page any more until it is mapped again, which needs a
    // pin. False: not now.
    virtual bool unmap(PageIndex page) = 0;
};

class SpillingStore : public PageStore {
  public:
    // Leaves on all processors pin a handful each at once.
    static constexpr uint32_t kMinBudget = 64;

    struct Plan {
        const Fd& memory;  // a memfd, as with StaticStore
        Fd spill;          // a file nobody else writes, of any size
        uint32_t pages = 0;
        uint32_t budget = 0;  // pages
        PageMappings& mappings;
    };
    // ErrorCode::InvalidArgument when the budget is below kMinBudget.
    static Result<std::unique_ptr<SpillingStore>> create(Plan plan);
    ~SpillingStore() override;

    Result<PagePin> pin(PageIndex page) override;
    void discard(PageIndex page) override;
    Occupancy occupancy() const override;

    // Pages beyond it leave at once, but for those that are in use. After an error it is what it was.
    Result<void> set_budget(uint32_t pages);
    uint32_t budget() const;

    struct Statistics {
        uint64_t evictions = 0;
        uint64_t loads = 0;       // of evicted pages
        uint64_t overdrafts = 0;  // pages that came although none could leave
    };
    Statistics statistics() const;

  protected:
    void unpin(PageIndex page) override;

  private:
    enum class State : uint8_t { Empty, Resident, Moving, Evicted };
    struct Page {
        State state = State::Empty;
        bool used = false;  // since the hand came by
        uint16_t pins = 0;
        uint64_t version = 0;
        crypto::AesTag tag{};
    };
    using Lock = std::unique_lock<std::mutex>;

    SpillingStore(Plan plan, Mapping mapping, Fd memory, const crypto::AesKey& key);
    MutableByteView bytes_of(PageIndex page) const;
    Result<void> bring_in(Lock& lock, PageIndex page);
    // Until fewer than `limit` are resident, or none can leave.
    Result<void> make_room(Lock& lock, uint32_t limit);
    std::optional<PageIndex> next_candidate();
    Result<bool> try_evict(Lock& lock, PageIndex page);
    Result<void> write_out(PageIndex page, uint64_t version, crypto::AesTag& tag);
    Result<void> read_back(PageIndex page, uint64_t version, const crypto::AesTag& tag);
    Result<void> punch(PageIndex page);
    Result<void> write_back() const;
    void settle(Page& page, State state);

    Mapping mapping_;
    Fd memory_;
    Fd spill_;
    PageMappings& mappings_;
    crypto::AesKey key_;

    mutable std::mutex mutex_;  // all below; held for no system call
    std::condition_variable settled_;
    std::vector<Page> pages_;
    uint32_t budget_;
    uint32_t resident_ = 0;  // Resident and Moving
    uint32_t evicted_ = 0;
    uint32_t hand_ = 0;
    uint64_t last_version_ = 0;
    Statistics statistics_{};
};

}  // namespace alcove::sgx

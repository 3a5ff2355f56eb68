// SPDX-License-Identifier: Apache-2.0
//
// The EPCM (enclave page cache map): what each EPC page is, whose, and who may do what with it. Beside it
// stand the enclaves, each with what the processor keeps in a SECS where no software sees it, and the latches
// by which leaf functions on several processors keep out of each other's way.
//
// Two kinds of exclusion, and no third:
//
// - A *latch* is the architecture's own: "Table: Base Concurrency Restrictions" and "Additional Concurrency
//   Restrictions" of each leaf. It is tried, never waited for; whoever does not get it gives the guest the
//   answer the manual has for that (#GP or EPC_PAGE_CONFLICT). It is held from a leaf's checks to its end,
//   also while pages are copied, hashed or encrypted, so that leaves on different pages run side by side.
// - The *lock* around EpcmState is ours. It is held for a few comparisons and assignments, never while memory
//   of the guest's is touched, a page fetched or cryptography done, and nothing else is locked under it.
//
// A processor inside an enclave is a third protection, the architecture's too: EREMOVE and EWB fail while a
// processor is inside that may have a translation. So ENCLU leaves that run inside need latches only against
// each other.
//
// Source: SDM vol. 3D, "Enclave Page Cache Map (EPCM)" and "EPC and Management of EPC Pages".
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "crypto/sha256_blocks.hpp"
#include "sgx/page_index.hpp"
#include "sgx/spec_enclave.hpp"
#include "support/guarded.hpp"

namespace alcove::sgx {

struct Entry {
    bool VALID = false;
    bool BLOCKED = false;
    uint64_t flags = 0;           // R, W, X, PENDING, MODIFIED, PR and PT, as in SECINFO.FLAGS
    PageIndex ENCLAVESECS{};      // of TCS, REG and TRIM pages
    uint64_t ENCLAVEADDRESS = 0;  // likewise
    uint64_t mark = 0;            // the enclave's epoch when translations became stale (is_tracked())
    bool vacant = false;          // a VA page that no version was put into

    PageType type() const { return static_cast<PageType>(secinfo::PT::get(flags)); }
    bool is(uint64_t bits) const { return (flags & bits) == bits; }
    bool is_any(uint64_t bits) const { return (flags & bits) != 0; }
    bool is_child() const { return VALID && type() != PageType::SECS && type() != PageType::VA; }
    bool operator==(const Entry&) const = default;
};

// A processor inside an enclave, or on its way in.
struct Occupant {
    uint32_t processor = 0;
    PageIndex tcs{};
    uint64_t entry_epoch = 0;
};

// A SECS as far as it is not reserved at its end: a guest may have as many enclaves as it has EPC pages, and
// each of them is kept in memory of ours.
struct SecsFields {
    Le64 SIZE;
    Le64 BASEADDR;
    Le32 SSAFRAMESIZE;
    Le32 MISCSELECT;
    std::array<uint8_t, 24> RESERVED1;
    sgx::ATTRIBUTES ATTRIBUTES;
    Measurement MRENCLAVE;
    std::array<uint8_t, 32> RESERVED2;
    Measurement MRSIGNER;
    std::array<uint8_t, 32> RESERVED3;
    std::array<uint8_t, 64> CONFIGID;
    Le16 ISVPRODID;
    Le16 ISVSVN;
    Le16 CONFIGSVN;

    static SecsFields of(const SECS& secs) { return *read_object<SecsFields>(object_bytes(secs)); }
};
static_assert(sizeof(SecsFields) == offsetof(SECS, RESERVED4));

struct Enclave {
    // What software may learn: fields that leaves give out. INIT in ATTRIBUTES says whether EINIT is done.
    SecsFields secs{};
    // What it may not.
    uint64_t eid = 0;
    crypto::Sha256Blocks measurement{};
    std::array<uint8_t, 16> isvfamilyid{};
    std::array<uint8_t, 16> isvextprodid{};

    uint32_t children = 0;  // valid TCS, REG and TRIM pages
    uint64_t epoch = 1;
    std::vector<Occupant> occupants{};

    // For `alcove sgx list`.
    uint64_t entries = 0;
    uint64_t asynchronous_exits = 0;
    std::array<uint64_t, 16> encls{};  // that worked on its pages and completed, by number
    std::array<uint64_t, 8> enclu{};   // likewise, inside

    bool is_initialized() const { return (secs.ATTRIBUTES.FLAGS & attributes::INIT) != 0; }
    bool is_debug() const { return (secs.ATTRIBUTES.FLAGS & attributes::DEBUG) != 0; }
    bool is_idle() const { return children == 0 && !is_initialized(); }
    bool contains(uint64_t linear_address) const {  // ELRANGE
        return linear_address - secs.BASEADDR < secs.SIZE;
    }
};
// What one is counted as, with its place among the others.
inline constexpr uint64_t kBytesOfEnclave = 1024;
static_assert(sizeof(Enclave) + 128 <= kBytesOfEnclave);

// What a leaf holds of a page; several together.
enum class Latch : uint8_t {
    None = 0,
    Shared = 1,
    Exclusive = 2,  // of Shared and Exclusive
    Modify = 4,     // against the others of EACCEPT, EACCEPTCOPY, EMODPE, EMODPR and EMODT
    Build = 8,      // of a SECS: against the others of EADD, EEXTEND and EINIT
};
constexpr Latch operator|(Latch a, Latch b) {
    return static_cast<Latch>(static_cast<uint8_t>(a) | static_cast<uint8_t>(b));
}
constexpr bool has(Latch set, Latch one) {
    return (static_cast<uint8_t>(set) & static_cast<uint8_t>(one)) != 0;
}

// What is under the lock.
class EpcmState {
  public:
    explicit EpcmState(uint32_t pages) : entries_(pages), latches_(pages) {}

    uint32_t pages() const { return static_cast<uint32_t>(entries_.size()); }
    Entry& entry(PageIndex page) { return entries_.at(number(page)); }
    const Entry& entry(PageIndex page) const { return entries_.at(number(page)); }

    // Null unless it is a valid SECS. Stays where it is until the SECS goes.
    Enclave* enclave(PageIndex secs);
    const Enclave* enclave(PageIndex secs) const;
    // The enclave of a valid TCS, REG or TRIM page.
    Enclave& enclave_of(const Entry& child);
    const std::map<PageIndex, std::unique_ptr<Enclave>>& enclaves() const { return enclaves_; }

    void add_enclave(PageIndex secs, std::unique_ptr<Enclave> enclave);  // the entry too
    void add_child(PageIndex page, const Entry& entry);
    void invalidate(PageIndex page);  // any page; a SECS has no children
    uint64_t next_eid() { return ++last_eid_; }

    // Can no processor have a translation of this child any more that was made before its mark?
    bool is_tracked(const Entry& child);

    bool try_latch(PageIndex page, Latch set);
    void unlatch(PageIndex page, Latch set);

    // Everything is invalid from now on; nobody is inside and no leaf runs.
    void drop_all();

    // The first thing that is not as it must be: our own mistake (README.md, "Invariants").
    std::optional<std::string> find_inconsistency() const;

  private:
    struct Latches {
        uint16_t shared = 0;
        bool exclusive = false;
        bool modify = false;
        bool build = false;
    };

    std::vector<Entry> entries_;
    std::vector<Latches> latches_;
    std::map<PageIndex, std::unique_ptr<Enclave>> enclaves_;
    uint64_t last_eid_ = 0;
};

using Epcm = Guarded<EpcmState>;

// A latch that was got, until this object ends. Not under the lock.
class Hold {
  public:
    static std::optional<Hold> attempt(Epcm& epcm, PageIndex page, Latch set);

    Hold(Hold&& other) noexcept;
    Hold& operator=(Hold&&) = delete;
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold();

  private:
    Hold(Epcm* epcm, PageIndex page, Latch set) : epcm_(epcm), page_(page), set_(set) {}

    Epcm* epcm_;
    PageIndex page_;
    Latch set_;
};

}  // namespace alcove::sgx

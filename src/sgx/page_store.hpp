// SPDX-License-Identifier: Apache-2.0
//
// Where the contents of EPC pages are. A page that is read or written has to be there (resident) meanwhile,
// so the engine pins it: a static store has every page in memory, one with a budget fetches it
// (spilling_store.hpp).
//
// Pages are also written by the enclave's own code on other processors at any time: as with guest memory,
// bytes are copied once, and the copy is checked and used.
#pragma once

#include <cstdint>
#include <utility>

#include "sgx/page_index.hpp"
#include "sgx/spec.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::sgx {

class PageStore;

// A page that stays resident until this object ends.
class PagePin {
  public:
    PagePin(PagePin&& other) noexcept
        : store_(std::exchange(other.store_, nullptr)), page_(other.page_), bytes_(other.bytes_) {}
    PagePin& operator=(PagePin&&) = delete;
    PagePin(const PagePin&) = delete;
    PagePin& operator=(const PagePin&) = delete;
    ~PagePin();

    // Within the page; our own offsets.
    void read(uint64_t offset, MutableByteView into) const;
    void write(uint64_t offset, ByteView from) const;
    void zero() const;

    template <typename T>
    requires std::is_trivially_copyable_v<T> T read(uint64_t offset)
    const {
        T value;
        read(offset, {reinterpret_cast<uint8_t*>(&value), sizeof(T)});
        return value;
    }
    template <typename T>
    void write(uint64_t offset, const T& value) const {
        write(offset, object_bytes(value));
    }

  private:
    friend class PageStore;
    PagePin(PageStore* store, PageIndex page, uint8_t* bytes) : store_(store), page_(page), bytes_(bytes) {}

    PageStore* store_;
    PageIndex page_;
    uint8_t* bytes_;
};

// All members may be called from any thread, and may wait for a disk: never under a lock.
class PageStore {
  public:
    virtual ~PageStore() = default;

    // A page nobody wrote, or that was discarded, reads as zeros. An error is the host's: memory or disk.
    virtual Result<PagePin> pin(PageIndex page) = 0;
    // Its contents are of no use any more. Not while it is pinned.
    virtual void discard(PageIndex page) = 0;

    struct Occupancy {
        uint32_t resident = 0;
        uint32_t evicted = 0;
    };
    virtual Occupancy occupancy() const = 0;

  protected:
    friend class PagePin;
    virtual void unpin(PageIndex page) = 0;
    PagePin make_pin(PageIndex page, uint8_t* bytes) { return {this, page, bytes}; }
};

}  // namespace alcove::sgx

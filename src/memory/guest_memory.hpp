// SPDX-License-Identifier: Apache-2.0
//
// The only way into a guest's RAM. The guest writes it at any time from other processors, so nothing hands
// out a pointer or reference into it: values are copied out once and the copy is checked and used. Bulk
// data moves by GuestSlice, which a system call fills or drains (guest_io.hpp) and no code looks into.
//
// Every write passes writable(), where dirty tracking will live. All members may be called from any
// thread; regions are fixed at creation. Parts of them can be fenced off while their pages belong to somebody
// else: there is no RAM there then, and slices made before read ones and take no writes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <shared_mutex>
#include <span>
#include <type_traits>
#include <vector>

#include "memory/guest_address.hpp"
#include "support/bytes.hpp"
#include "support/fd.hpp"
#include "support/mapping.hpp"
#include "support/result.hpp"

namespace alcove::memory {

class Fences;

// A checked piece of guest RAM of one region. Opaque: only this folder looks behind it.
class GuestSlice {
  public:
    size_t size() const { return size_; }
    // The part [offset, offset + length); the caller keeps within size().
    GuestSlice sub(size_t offset, size_t length) const;

  private:
    friend class GuestMemory;
    friend struct GuestSliceAccess;
    GuestSlice(uint8_t* data, size_t size, const Fences* fences)
        : data_(data), size_(size), fences_(fences) {}
    uint8_t* data_;
    size_t size_;
    const Fences* fences_;  // of the memory, which outlives its slices
};

// The ranges of this process's mappings that are fenced off. An access holds the lock shared for as long as
// it touches memory, a fence is put up and taken down under the lock alone: no access is under way then.
class Fences {
  public:
    // Runs `touch` unless [data, data + size) meets a fence; says whether it did.
    template <typename Touch>
    bool outside(const uint8_t* data, size_t size, Touch touch) const {
        const std::shared_lock lock(mutex_);
        if (meets(data, size)) return false;
        touch();
        return true;
    }
    // `change` runs under the lock, and decides.
    Result<void> add(const uint8_t* data, size_t size, const std::function<Result<void>()>& change);
    Result<void> remove(const uint8_t* data, size_t size, const std::function<Result<void>()>& change);

  private:
    bool meets(const uint8_t* data, size_t size) const;

    mutable std::shared_mutex mutex_;
    std::map<const uint8_t*, const uint8_t*> ranges_;  // begin to end; they do not overlap
};

class GuestMemory {
  public:
    struct Region {
        GuestRange range;
        uint64_t file_offset;  // in the RAM file
    };

    // Maps `regions` of the RAM file. They are sorted, page-aligned, and do not overlap: our own plan.
    static Result<std::shared_ptr<GuestMemory>> create(const Fd& ram_file, std::span<const Region> regions);
    // Anonymous memory at one range: for tests and fuzzers.
    static Result<std::shared_ptr<GuestMemory>> create_anonymous(GuestRange range);

    // A copy of a value, or ErrorCode::GuestAddressInvalid when it does not lie whole in one region.
    template <typename T>
    requires std::is_trivially_copyable_v<T> Result<T> read(GuestAddress address)
    const {
        T value;
        TRY(read_bytes(address, {reinterpret_cast<uint8_t*>(&value), sizeof(T)}));
        return value;
    }
    // No type with padding: it would carry bytes of ours into the guest.
    template <typename T>
    requires(std::is_trivially_copyable_v<T>&& std::has_unique_object_representations_v<T>)
        Result<void> write(GuestAddress address, const T& value)
    const { return write_bytes(address, {reinterpret_cast<const uint8_t*>(&value), sizeof(T)}); }
    Result<void> read_bytes(GuestAddress address, MutableByteView into) const;
    Result<void> write_bytes(GuestAddress address, ByteView from) const;
    Result<void> fill_zero(GuestAddress address, uint64_t length) const;

    // Ring indices: naturally aligned 16-bit words shared with a running vCPU. load_acquire pairs with the
    // guest's release of an index (it sees what was written before); store_release publishes what we
    // wrote before it.
    Result<uint16_t> load_acquire_u16(GuestAddress address) const;
    Result<void> store_release_u16(GuestAddress address, uint16_t value) const;

    Result<GuestSlice> slice(GuestAddress address, uint64_t length) const;
    // Copies between a slice and our memory: payloads that we have to look at are copied out first.
    static void copy_out(const GuestSlice& slice, MutableByteView into);  // into.size() <= slice.size()
    void copy_in(const GuestSlice& slice, ByteView from) const;           // from.size() <= slice.size()

    // Takes the range, whole pages of one region, out of reach of this process (PROT_NONE), and gives it
    // back. Its mapping stays, so that the hypervisor's slots need not move. System calls that were given a
    // slice of it fail with EFAULT.
    Result<void> fence(GuestRange range);
    Result<void> unfence(GuestRange range);

    // For the hypervisor's memory slots: where a region is mapped in this process.
    struct MappedRegion {
        Region region;
        uint64_t host_address;
    };
    std::vector<MappedRegion> mapped_regions() const;
    uint64_t total_size() const;
    bool is_ram(GuestRange range) const;

  private:
    struct Mapped {
        Region region;
        Mapping mapping;
    };
    explicit GuestMemory(std::vector<Mapped> regions) : regions_(std::move(regions)) {}

    uint8_t* find(GuestAddress address, uint64_t length) const;  // nullptr when outside
    // Run `touch` on the bytes; an error when they are not RAM or fenced off.
    template <typename Touch>
    Result<void> readable(GuestAddress address, uint64_t length, Touch touch) const;
    template <typename Touch>
    Result<void> writable(GuestAddress address, uint64_t length, Touch touch) const;

    std::vector<Mapped> regions_;  // by ascending address
    Fences fences_;
};

}  // namespace alcove::memory

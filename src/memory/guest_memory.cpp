// SPDX-License-Identifier: Apache-2.0
#include "memory/guest_memory.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>

#include <sys/mman.h>

#include "support/bits.hpp"

namespace alcove::memory {

namespace {

Failure outside(GuestAddress address, uint64_t length) {
    char text[96];
    std::snprintf(text, sizeof text, "guest range 0x%llx + %llu is not RAM",
                  static_cast<unsigned long long>(address.value()), static_cast<unsigned long long>(length));
    return fail(ErrorCode::GuestAddressInvalid, text);
}

}  // namespace

GuestSlice GuestSlice::sub(size_t offset, size_t length) const {
    ALCOVE_CHECK(range_within(offset, length, size_), "a part of a slice lies inside it");
    return {data_ + offset, length, fences_};
}

bool Fences::meets(const uint8_t* data, size_t size) const {
    if (size == 0) return false;
    auto after = ranges_.lower_bound(data + size);  // begins behind the access
    return after != ranges_.begin() && std::prev(after)->second > data;
}

Result<void> Fences::add(const uint8_t* data, size_t size, const std::function<Result<void>()>& change) {
    const std::unique_lock lock(mutex_);
    ALCOVE_CHECK(!meets(data, size), "what is fenced off is not fenced off again");
    TRY(change());
    ranges_.emplace(data, data + size);
    return {};
}

Result<void> Fences::remove(const uint8_t* data, size_t size, const std::function<Result<void>()>& change) {
    const std::unique_lock lock(mutex_);
    const auto fence = ranges_.find(data);
    ALCOVE_CHECK(fence != ranges_.end() && fence->second == data + size,
                 "a fence is taken down as it was put up");
    TRY(change());
    ranges_.erase(fence);
    return {};
}

Result<std::shared_ptr<GuestMemory>> GuestMemory::create(const Fd& ram_file,
                                                         std::span<const Region> regions) {
    std::vector<Mapped> mapped;
    uint64_t end = 0;
    for (const auto& region : regions) {
        const auto [base, size] = region.range;
        ALCOVE_CHECK(size > 0 && is_aligned(base.value() | size | region.file_offset, uint64_t{4_KiB}),
                     "regions are whole pages");
        ALCOVE_CHECK(base.value() >= end, "regions are sorted and do not overlap");
        end = region.range.end();
        auto mapping =
            TRY(Mapping::shared(ram_file, size, region.file_offset).context("mapping guest memory"));
        mapped.push_back(Mapped{.region = region, .mapping = std::move(mapping)});
    }
    return std::shared_ptr<GuestMemory>(new GuestMemory(std::move(mapped)));
}

Result<std::shared_ptr<GuestMemory>> GuestMemory::create_anonymous(GuestRange range) {
    auto mapping = TRY(Mapping::anonymous(range.size));
    std::vector<Mapped> mapped;
    mapped.push_back(Mapped{.region = {.range = range, .file_offset = 0}, .mapping = std::move(mapping)});
    return std::shared_ptr<GuestMemory>(new GuestMemory(std::move(mapped)));
}

uint8_t* GuestMemory::find(GuestAddress address, uint64_t length) const {
    for (const auto& [region, mapping] : regions_) {
        if (!region.range.contains(address)) continue;
        const uint64_t offset = address.value() - region.range.base.value();
        return range_within(offset, length, region.range.size) ? mapping.data() + offset : nullptr;
    }
    return nullptr;
}

template <typename Touch>
Result<void> GuestMemory::readable(GuestAddress address, uint64_t length, Touch touch) const {
    uint8_t* data = find(address, length);
    const bool touched = data != nullptr && fences_.outside(data, length, [&] { touch(data); });
    if (!touched) return outside(address, length);
    return {};
}

// The one door for writes.
template <typename Touch>
Result<void> GuestMemory::writable(GuestAddress address, uint64_t length, Touch touch) const {
    return readable(address, length, touch);
}

Result<void> GuestMemory::read_bytes(GuestAddress address, MutableByteView into) const {
    return readable(address, into.size(), [&](const uint8_t* data) {
        if (!into.empty()) std::memcpy(into.data(), data, into.size());
    });
}

Result<void> GuestMemory::write_bytes(GuestAddress address, ByteView from) const {
    return writable(address, from.size(), [&](uint8_t* data) {
        if (!from.empty()) std::memcpy(data, from.data(), from.size());
    });
}

Result<void> GuestMemory::fill_zero(GuestAddress address, uint64_t length) const {
    return writable(address, length, [&](uint8_t* data) { std::memset(data, 0, length); });
}

Result<uint16_t> GuestMemory::load_acquire_u16(GuestAddress address) const {
    if (!is_aligned(address.value(), uint64_t{2})) return outside(address, sizeof(uint16_t));
    uint16_t value = 0;
    TRY(readable(address, sizeof value, [&](const uint8_t* data) {
        value = __atomic_load_n(reinterpret_cast<const uint16_t*>(static_cast<const void*>(data)),
                                __ATOMIC_ACQUIRE);
    }));
    return value;
}

Result<void> GuestMemory::store_release_u16(GuestAddress address, uint16_t value) const {
    if (!is_aligned(address.value(), uint64_t{2})) return outside(address, sizeof(uint16_t));
    return writable(address, sizeof value, [&](uint8_t* data) {
        __atomic_store_n(reinterpret_cast<uint16_t*>(static_cast<void*>(data)), value, __ATOMIC_RELEASE);
    });
}

Result<GuestSlice> GuestMemory::slice(GuestAddress address, uint64_t length) const {
    uint8_t* found = nullptr;
    TRY(writable(address, length, [&](uint8_t* data) { found = data; }));
    return GuestSlice(found, length, &fences_);
}

void GuestMemory::copy_out(const GuestSlice& slice, MutableByteView into) {
    ALCOVE_CHECK(into.size() <= slice.size(), "a copy stays inside its slice");
    if (into.empty()) return;
    const bool copied = slice.fences_->outside(slice.data_, into.size(),
                                               [&] { std::memcpy(into.data(), slice.data_, into.size()); });
    if (!copied) std::memset(into.data(), 0xff, into.size());
}

void GuestMemory::copy_in(const GuestSlice& slice, ByteView from) const {
    ALCOVE_CHECK(from.size() <= slice.size(), "a copy stays inside its slice");
    if (from.empty()) return;
    fences_.outside(slice.data_, from.size(), [&] { std::memcpy(slice.data_, from.data(), from.size()); });
}

Result<void> GuestMemory::fence(GuestRange range) {
    uint8_t* data = find(range.base, range.size);
    ALCOVE_CHECK(data != nullptr && is_aligned(range.base.value() | range.size, uint64_t{4_KiB}),
                 "what is fenced off is whole pages of RAM");
    return fences_.add(data, range.size, [&]() -> Result<void> {
        if (::mprotect(data, range.size, PROT_NONE) != 0) return fail_errno(errno, "mprotect");
        return {};
    });
}

Result<void> GuestMemory::unfence(GuestRange range) {
    uint8_t* data = find(range.base, range.size);
    ALCOVE_CHECK(data != nullptr, "only RAM is fenced off");
    return fences_.remove(data, range.size, [&]() -> Result<void> {
        if (::mprotect(data, range.size, PROT_READ | PROT_WRITE) != 0) return fail_errno(errno, "mprotect");
        return {};
    });
}

std::vector<GuestMemory::MappedRegion> GuestMemory::mapped_regions() const {
    std::vector<MappedRegion> result;
    for (const auto& [region, mapping] : regions_)
        result.push_back({.region = region, .host_address = reinterpret_cast<uint64_t>(mapping.data())});
    return result;
}

uint64_t GuestMemory::total_size() const {
    uint64_t total = 0;
    for (const auto& [region, mapping] : regions_)
        total += region.range.size;
    return total;
}

bool GuestMemory::is_ram(GuestRange range) const {
    return range.size > 0 && readable(range.base, range.size, [](const uint8_t*) {}).has_value();
}

}  // namespace alcove::memory

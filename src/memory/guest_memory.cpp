// SPDX-License-Identifier: Apache-2.0
#include "memory/guest_memory.hpp"

#include <cstdio>
#include <cstring>

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
    return {data_ + offset, length};
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

const uint8_t* GuestMemory::readable(GuestAddress address, uint64_t length) const {
    for (const auto& [region, mapping] : regions_) {
        if (!region.range.contains(address)) continue;
        const uint64_t offset = address.value() - region.range.base.value();
        return range_within(offset, length, region.range.size) ? mapping.data() + offset : nullptr;
    }
    return nullptr;
}

// The one door for writes.
uint8_t* GuestMemory::writable(GuestAddress address, uint64_t length) const {
    return const_cast<uint8_t*>(readable(address, length));
}

Result<void> GuestMemory::read_bytes(GuestAddress address, MutableByteView into) const {
    const uint8_t* source = readable(address, into.size());
    if (source == nullptr) return outside(address, into.size());
    std::memcpy(into.data(), source, into.size());
    return {};
}

Result<void> GuestMemory::write_bytes(GuestAddress address, ByteView from) const {
    uint8_t* target = writable(address, from.size());
    if (target == nullptr) return outside(address, from.size());
    std::memcpy(target, from.data(), from.size());
    return {};
}

Result<void> GuestMemory::fill_zero(GuestAddress address, uint64_t length) const {
    uint8_t* target = writable(address, length);
    if (target == nullptr) return outside(address, length);
    std::memset(target, 0, length);
    return {};
}

Result<uint16_t> GuestMemory::load_acquire_u16(GuestAddress address) const {
    const uint8_t* source = readable(address, sizeof(uint16_t));
    if (source == nullptr || !is_aligned(address.value(), uint64_t{2}))
        return outside(address, sizeof(uint16_t));
    return __atomic_load_n(reinterpret_cast<const uint16_t*>(static_cast<const void*>(source)),
                           __ATOMIC_ACQUIRE);
}

Result<void> GuestMemory::store_release_u16(GuestAddress address, uint16_t value) const {
    uint8_t* target = writable(address, sizeof(uint16_t));
    if (target == nullptr || !is_aligned(address.value(), uint64_t{2}))
        return outside(address, sizeof(uint16_t));
    __atomic_store_n(reinterpret_cast<uint16_t*>(static_cast<void*>(target)), value, __ATOMIC_RELEASE);
    return {};
}

Result<GuestSlice> GuestMemory::slice(GuestAddress address, uint64_t length) const {
    uint8_t* data = writable(address, length);
    if (data == nullptr) return outside(address, length);
    return GuestSlice(data, length);
}

void GuestMemory::copy_out(const GuestSlice& slice, MutableByteView into) {
    ALCOVE_CHECK(into.size() <= slice.size(), "a copy stays inside its slice");
    std::memcpy(into.data(), slice.data_, into.size());
}

void GuestMemory::copy_in(const GuestSlice& slice, ByteView from) const {
    ALCOVE_CHECK(from.size() <= slice.size(), "a copy stays inside its slice");
    std::memcpy(slice.data_, from.data(), from.size());
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
    return range.size > 0 && readable(range.base, range.size) != nullptr;
}

}  // namespace alcove::memory

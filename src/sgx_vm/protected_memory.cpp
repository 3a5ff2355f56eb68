// SPDX-License-Identifier: Apache-2.0
#include "sgx_vm/protected_memory.hpp"

#include <algorithm>

#include "sgx/small_pages.hpp"
#include "support/system.hpp"

namespace alcove::sgx_vm {

namespace {

constexpr uint64_t kOnesSize = 2_MiB;

Result<Fd> make_ones() {
    auto file = TRY(sys::memfd("sgx-ones"));
    TRY(sys::truncate(file, kOnesSize));
    const auto bytes = TRY(Mapping::shared(file, kOnesSize));
    std::fill_n(bytes.data(), bytes.size(), uint8_t{0xff});
    return file;
}

}  // namespace

Result<ProtectedMemory> ProtectedMemory::create(const sgx::Sections& sections, const Fd& epc,
                                                memory::GuestAddress base, uint32_t vcpus) {
    const auto file = TRY(make_ones());
    std::vector<RepeatedMapping> ones;
    for (const auto& range : sections.ranges()) {
        auto mapping = TRY(RepeatedMapping::create(file, kOnesSize, range.size));
        ones.push_back(std::move(mapping));
    }
    auto contents = TRY(Mapping::shared(epc, uint64_t{sections.pages()} * sgx::kPageSize));
    auto private_pages = TRY(PrivatePages::create(base, vcpus));
    return ProtectedMemory(sections.ranges(), std::move(contents), std::move(ones), std::move(private_pages));
}

Result<void> ProtectedMemory::use_small_epc_pages() const {
    return sgx::use_small_pages(epc_);
}

std::vector<kvm::MemorySlot> ProtectedMemory::slots(uint32_t first_ordinary, uint32_t first_protected) const {
    using kvm::View;
    std::vector<kvm::MemorySlot> slots;
    const auto add = [&](View view, uint32_t flags, memory::GuestRange range, const uint8_t* data) {
        uint32_t& next = view == View::Ordinary ? first_ordinary : first_protected;
        slots.push_back({.slot = kvm::slot_of(view, next++),
                         .flags = flags,
                         .guest_address = range.base.value(),
                         .size = range.size,
                         .host_address = reinterpret_cast<uint64_t>(data)});
    };
    uint64_t offset = 0;
    for (size_t i = 0; i < sections_.size(); ++i) {
        add(View::Ordinary, KVM_MEM_READONLY, sections_[i], ones_[i].data());
        add(View::Protected, 0, sections_[i], epc_.data() + offset);
        offset += sections_[i].size;
    }
    add(View::Protected, 0, private_.range(), reinterpret_cast<const uint8_t*>(private_.host_address()));
    add(View::Protected, KVM_MEM_READONLY, {.base = ones(), .size = sgx::kPageSize}, ones_.front().data());
    return slots;
}

}  // namespace alcove::sgx_vm

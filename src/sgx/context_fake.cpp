// SPDX-License-Identifier: Apache-2.0
#include "sgx/context_fake.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "sgx/static_store.hpp"
#include "support/system.hpp"

namespace alcove::sgx {

namespace {

uint64_t epc_size(const std::vector<memory::GuestRange>& sections) {
    uint64_t size = 0;
    for (const auto& section : sections)
        size += section.size;
    return size;
}

Exception page_fault(uint64_t linear, Access access, uint8_t cpl, bool present) {
    uint32_t error = present ? pfec::P : 0;
    if (access == Access::Write) error |= pfec::W;
    if (access == Access::Execute) error |= pfec::I;
    if (cpl == 3) error |= pfec::U;
    return {.vector = vector::PF, .error_code = error, .address = linear};
}

// The rest of a span up to the next page.
size_t within_page(uint64_t linear, size_t size) {
    return std::min<size_t>(size, kPageSize - linear % kPageSize);
}

}  // namespace

Features FakeMachine::fake_features() {
    Features features;
    features.attributes = attributes::DEBUG | attributes::MODE64BIT | attributes::PROVISIONKEY |
                          attributes::EINITTOKEN_KEY | attributes::KSS;
    features.xfrm = xcr0::X87 | xcr0::SSE | xcr0::AVX;
    features.components = {{.bit = 2, .offset = 576, .size = 256}};
    return features;
}

FakeMachine::FakeMachine(Options options)
    : ram_(memory::GuestMemory::create_anonymous({memory::GuestAddress(0), kRamSize}).value()),
      epc_file_(sys::memfd("epc").value()) {
    const uint64_t size = epc_size(options.sections);
    sys::truncate(epc_file_, size).value();
    epc_ = Mapping::shared(epc_file_, size).value();
    if (!options.store)
        options.store = StaticStore::create(epc_file_, static_cast<uint32_t>(size / kPageSize)).value();
    engine_ = Engine::create(Sections::create(options.sections).value(), options.features,
                             std::move(options.store), kRoot)
                  .value();
}

void FakeMachine::map(uint64_t linear, FakeMapping mapping) {
    const std::unique_lock lock(mutex_);
    pages_[align_down(linear, kPageSize)] = mapping;
}

void FakeMachine::unmap(uint64_t linear) {
    const std::unique_lock lock(mutex_);
    pages_.erase(align_down(linear, kPageSize));
}

std::optional<FakeMapping> FakeMachine::find(uint64_t linear) const {
    if (linear - kKernelRam < kRamSize)
        return FakeMapping{.address = memory::GuestAddress(align_down(linear - kKernelRam, kPageSize)),
                           .user = false};
    const uint64_t page = (linear - kKernelEpc) / kPageSize;
    if (linear >= kKernelEpc && page < engine_->sections().pages())
        return FakeMapping{.address = engine_->sections().address_of(PageIndex(static_cast<uint32_t>(page))),
                           .user = false};
    const std::shared_lock lock(mutex_);
    const auto found = pages_.find(align_down(linear, kPageSize));
    if (found == pages_.end()) return std::nullopt;
    return found->second;
}

MutableByteView FakeMachine::epc_bytes(PageIndex page) {
    return epc_.mutable_bytes().subspan(number(page) * kPageSize, kPageSize);
}

Outcome<memory::GuestAddress> FakeCpu::translate(uint64_t linear, Access access) {
    TRY_LEAF(require(is_canonical(linear)));
    const auto mapping = machine_.find(linear);
    if (!mapping) return page_fault(linear, access, mode_.cpl, false);
    const bool allowed = (mode_.cpl != 3 || mapping->user) &&
                         (access != Access::Write || mapping->writable) &&
                         (access != Access::Execute || mapping->executable);
    if (!allowed) return page_fault(linear, access, mode_.cpl, true);
    return memory::GuestAddress(mapping->address.value() + linear % kPageSize);
}

Outcome<void> FakeCpu::read(uint64_t linear, MutableByteView into) {
    while (!into.empty()) {
        const size_t part = within_page(linear, into.size());
        const auto address = TRY_LEAF(translate(linear, Access::Read));
        if (!machine_.ram().read_bytes(address, into.first(part)))
            std::fill_n(into.begin(), part, uint8_t{0xff});  // EPC, or nothing there
        into = into.subspan(part);
        linear += part;
    }
    return {};
}

Outcome<void> FakeCpu::write(uint64_t linear, ByteView from) {
    for (uint64_t at = linear; at < linear + from.size(); at = align_down(at, kPageSize) + kPageSize)
        TRY_LEAF(translate(at, Access::Write));
    while (!from.empty()) {
        const size_t part = within_page(linear, from.size());
        const auto address = TRY_LEAF(translate(linear, Access::Write));
        static_cast<void>(machine_.ram().write_bytes(address, from.first(part)));  // or dropped
        from = from.subspan(part);
        linear += part;
    }
    return {};
}

Outcome<void> FakeCpu::touch(uint64_t linear, MutableByteView bytes, Access access) {
    const auto address = TRY_LEAF(translate(linear, access));
    const auto answer = TRY_LEAF(machine_.engine().check_access(processor_, linear, access, address));
    const auto* enclosed = std::get_if<DirectAccess::Enclosed>(&answer);
    if (enclosed == nullptr) return access == Access::Write ? write(linear, bytes) : read(linear, bytes);
    const MutableByteView there =
        machine_.epc_bytes(enclosed->page).subspan(linear % kPageSize, bytes.size());
    if (access == Access::Write) std::copy(bytes.begin(), bytes.end(), there.begin());
    if (access == Access::Read) std::copy(there.begin(), there.end(), bytes.begin());
    return {};
}

Outcome<void> FakeCpu::store(uint64_t linear, ByteView from) {
    Bytes copy = to_bytes(from);
    return touch(linear, copy, Access::Write);
}

}  // namespace alcove::sgx

// SPDX-License-Identifier: Apache-2.0
#include "ne/rules.hpp"

#include <algorithm>
#include <cerrno>

#include "api/limits.hpp"
#include "support/bits.hpp"
#include "support/checked.hpp"

namespace alcove::ne {

int check_region(const Parent& parent, uint64_t paddr, uint64_t size) {
    const uint64_t granule = parent.granule();
    if (size == 0 || !is_aligned(paddr, granule) || !is_aligned(size, granule)) return EINVAL;
    if (!checked_add(paddr, size)) return EINVAL;
    const bool inside = std::ranges::any_of(parent.ram, [&](const memory::GuestRange& range) {
        return paddr >= range.base.value() && range_within(paddr - range.base.value(), size, range.size);
    });
    return inside ? 0 : EINVAL;
}

int check_new_region(const Parent& parent, const CarvedMap& carved, SlotUid slot, uint64_t paddr,
                     uint64_t size) {
    const int refused = check_region(parent, paddr, size);
    if (refused != 0) return refused;
    const memory::GuestRange region{memory::GuestAddress(paddr), size};
    if (carved.overlaps(region)) return EBUSY;
    return carved.most_pieces_with(region, slot) > parent.max_ram_pieces ? ENOSPC : 0;
}

int check_vcpu(const Parent& parent, uint64_t id) {
    if (!parent.has_vcpu(id)) return EINVAL;
    const auto vcpu = static_cast<VcpuId>(id);
    return parent.core(vcpu) == parent.core(VcpuId{0}) ? EBUSY : 0;
}

int check_start_cid(uint64_t enclave_cid) {
    return enclave_cid == 0 || api::is_guest_cid(enclave_cid) ? 0 : EINVAL;
}

int check_start_flags(uint64_t flags) {
    return (flags & ~EnclaveStart::DEBUG_MODE) == 0 ? 0 : EINVAL;
}

}  // namespace alcove::ne

// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "ECREATE": makes a SECS out of a free page and begins the measurement.
#include <bit>

#include "sgx/leaves.hpp"
#include "sgx/measurement.hpp"
#include "sgx/reserved.hpp"

namespace alcove::sgx {

namespace {

// XSETBV would accept it, and the enclave may have it.
bool is_legal_xfrm(uint64_t xfrm, const Features& features) {
    constexpr uint64_t kAlways = xcr0::X87 | xcr0::SSE;
    return (xfrm & kAlways) == kAlways && (xfrm & ~features.xfrm) == 0;
}

uint64_t frame_demand(const SECS& secs, const Features& features) {
    const bool exinfo = (secs.MISCSELECT & miscselect::EXINFO) != 0;
    return features.xsave_size(secs.ATTRIBUTES.XFRM) + sizeof(GPRSGX) + (exinfo ? sizeof(EXINFO) : 0);
}

bool has_legal_range(const SECS& secs, const Features& features) {
    const bool long64 = (secs.ATTRIBUTES.FLAGS & attributes::MODE64BIT) != 0;
    const uint8_t limit = long64 ? features.max_enclave_size_64 : features.max_enclave_size_not64;
    if (secs.SIZE >= uint64_t{1} << limit || secs.SIZE < 2 * kPageSize ||
        !std::has_single_bit<uint64_t>(secs.SIZE))
        return false;
    return is_canonical(secs.BASEADDR) && is_aligned<uint64_t>(secs.BASEADDR, secs.SIZE);
}

bool is_acceptable(const SECS& secs, const Features& features) {
    if (!is_legal_xfrm(secs.ATTRIBUTES.XFRM, features)) return false;
    if ((secs.MISCSELECT & ~features.miscselect) != 0) return false;
    if (uint64_t{secs.SSAFRAMESIZE} * kPageSize < frame_demand(secs, features)) return false;
    if (!has_legal_range(secs, features)) return false;
    if ((secs.ATTRIBUTES.FLAGS & ~features.attributes) != 0) return false;  // INIT is never among them
    if (!all_zero(secs.RESERVED1, secs.RESERVED2, secs.RESERVED3, secs.RESERVED4)) return false;
    const bool kss = (secs.ATTRIBUTES.FLAGS & attributes::KSS) != 0;
    return kss || (all_zero(secs.CONFIGID) && secs.CONFIGSVN == 0);
}

}  // namespace

Outcome<void> ecreate(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, PAGEINFO::kAlignment) && is_aligned(regs.rcx, kPageSize)));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Write));

    const auto info = TRY_LEAF(call.read<PAGEINFO>(regs.rbx));
    TRY_LEAF(require(is_aligned<uint64_t>(info.SRCPGE, kPageSize) &&
                     is_aligned<uint64_t>(info.SECINFO, SECINFO::kAlignment)));
    TRY_LEAF(require(info.LINADDR == 0 && info.SECS == 0));
    const auto secinfo = TRY_LEAF(call.read<SECINFO>(info.SECINFO));
    TRY_LEAF(require(secinfo.FLAGS == secinfo::pt(PageType::SECS) && all_zero(secinfo.RESERVED)));

    const auto hold = TRY_LEAF(call.claim_free(page, regs.rcx));
    const auto source = TRY_LEAF(call.read<SECS>(info.SRCPGE));
    TRY_LEAF(require(is_acceptable(source, call.features())));

    auto enclave = std::make_unique<Enclave>();
    enclave->secs = SecsFields::of(source);
    enclave->secs.MRENCLAVE = {};
    enclave->secs.MRSIGNER = {};
    enclave->secs.ISVPRODID = 0;
    enclave->secs.ISVSVN = 0;
    enclave->measurement = measure_ecreate(source.SSAFRAMESIZE, source.SIZE);
    call.epcm().with([&](EpcmState& state) {
        enclave->eid = state.next_eid();
        state.add_enclave(page, std::move(enclave));
    });
    call.works_for(page);
    return {};
}

}  // namespace alcove::sgx

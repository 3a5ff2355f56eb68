// SPDX-License-Identifier: Apache-2.0
//
// SDM vol. 3D, "EEXTEND": measures 256 bytes of a page.
#include "sgx/leaves.hpp"
#include "sgx/measurement.hpp"

namespace alcove::sgx {

Outcome<void> eextend(Call& call) {
    const auto& regs = call.registers();
    TRY_LEAF(require(is_aligned(regs.rbx, kPageSize)));
    const auto secs = TRY_LEAF(call.epc_page(regs.rbx, Access::Read));
    TRY_LEAF(require(is_aligned(regs.rcx, kChunkSize)));
    const auto page = TRY_LEAF(call.epc_page(regs.rcx, Access::Read));

    const auto hold = TRY_LEAF(call.hold(page, Latch::Shared));
    const auto entry = call.epcm().with([&](EpcmState& state) { return state.entry(page); });
    if (!entry.VALID || (entry.type() != PageType::REG && entry.type() != PageType::TCS))
        return call.epcm_fault(regs.rcx, Access::Read);
    const auto secs_hold = TRY_LEAF(call.hold(entry.ENCLAVESECS, Latch::Build));
    TRY_LEAF(require(entry.ENCLAVESECS == secs));
    Enclave* enclave = TRY_LEAF(call.enclave(secs, regs.rbx, Access::Read));
    TRY_LEAF(require(!enclave->is_initialized()));

    const auto pinned = TRY_LEAF(call.pin(page));
    const uint64_t in_page = regs.rcx % kPageSize;
    measure_eextend(enclave->measurement, entry.ENCLAVEADDRESS - enclave->secs.BASEADDR + in_page,
                    pinned.read<std::array<uint8_t, kChunkSize>>(in_page));
    call.works_for(secs);
    return {};
}

}  // namespace alcove::sgx

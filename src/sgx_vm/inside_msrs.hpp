// SPDX-License-Identifier: Apache-2.0
//
// Registers that hold something else while their vCPU is in an enclave, so that instructions which enclaves
// may not use fault there. What the guest has in them comes back at every exit; an INIT waits for that one
// too (enclave_watch.hpp), so KVM's reset never meets ours.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "support/bits.hpp"
#include "support/result.hpp"

namespace alcove::sgx_vm {

class InsideMsrs {
  public:
    // With bit 0, CPUID in ring 3 is #GP(0) (SDM vol. 4, "MISC_FEATURES_ENABLES"); KVM emulates it.
    static constexpr uint32_t MISC_FEATURES_ENABLES = 0x140;
    static constexpr uint64_t kCpuidFaults = bit<uint64_t>(0);
    // Zero makes SYSENTER #GP(0) (SDM vol. 2B, "SYSENTER"); else it goes to ring 0 at an address of the
    // guest's.
    static constexpr uint32_t IA32_SYSENTER_CS = 0x174;

    // `sysenter`: the host's processors have it in 64-bit mode (cpuid_entries.hpp).
    explicit InsideMsrs(bool sysenter) : count_(sysenter ? 2 : 1) {}

    // `vcpu` is a kvm::Vcpu, or a test's.
    template <typename Vcpu>
    Result<void> enter(const Vcpu& vcpu) {
        for (auto& row : rows()) {
            row.outside = TRY(vcpu.msr(row.index));
            TRY(vcpu.set_msr(row.index, (row.outside & row.kept) | row.set));
        }
        return {};
    }
    template <typename Vcpu>
    Result<void> leave(const Vcpu& vcpu) {
        for (const auto& row : rows())
            TRY(vcpu.set_msr(row.index, row.outside));
        return {};
    }

  private:
    struct Row {
        uint32_t index;
        uint64_t kept;  // of the guest's bits
        uint64_t set;
        uint64_t outside = 0;  // the guest's, while inside
    };
    std::span<Row> rows() { return std::span(rows_).first(count_); }

    std::array<Row, 2> rows_ = {{{.index = MISC_FEATURES_ENABLES, .kept = ~uint64_t{0}, .set = kCpuidFaults},
                                 {.index = IA32_SYSENTER_CS, .kept = 0, .set = 0}}};
    size_t count_;
};

}  // namespace alcove::sgx_vm

// SPDX-License-Identifier: Apache-2.0
//
// What the architecture adds to a logical processor for SGX: its registers for launch control, and, while it
// is inside an enclave, the "processor enclave state". Belongs to the vCPU's thread.
//
// Source: SDM vol. 3D, "EENTER" (CR_*), vol. 4 for the registers.
#pragma once

#include <optional>

#include "sgx/features.hpp"
#include "sgx/leaf_context.hpp"

namespace alcove::sgx {

// The frame of the state save area that the next asynchronous exit fills. Both pages stay the enclave's until
// the processor has left: they can be neither removed nor evicted by the guest before.
struct SsaFrame {
    uint64_t address = 0;  // linear
    uint64_t size = 0;
    PageIndex first{};  // has the XSAVE area at its start
    PageIndex last{};   // has GPRSGX at its end, EXINFO below
};

struct Inside {
    EnclaveWorld world{};
    ATTRIBUTES attributes{};
    uint32_t miscselect = 0;
    PageIndex tcs{};
    uint64_t tcs_address = 0;  // linear
    uint64_t aep = 0;
    SsaFrame frame{};
    bool debug_opt_in = false;  // TCS.FLAGS.DBGOPTIN
    // Outside, to be restored.
    Segment fs{};
    Segment gs{};
    uint64_t xcr0 = 0;
    bool tf = false;  // of RFLAGS, unless debug_opt_in

    bool contains(uint64_t linear) const { return linear - world.base < world.size; }
};

class Processor {
  public:
    Processor(uint32_t id, const Features& features)
        : id_(id), launch_hash_(features.launch_hash), launch_hash_writable_(features.launch_hash_writable) {}

    uint32_t id() const { return id_; }
    const LaunchHash& launch_hash() const { return launch_hash_; }

    bool is_inside() const { return inside.has_value(); }
    std::optional<Inside> inside;  // for the leaves and the asynchronous exit

    // RDMSR and WRMSR of the registers in spec_cpuid.hpp. Nothing: #GP(0).
    std::optional<uint64_t> read_msr(uint32_t index) const;
    bool write_msr(uint32_t index, uint64_t value);

  private:
    uint32_t id_;
    LaunchHash launch_hash_;
    bool launch_hash_writable_;
};

}  // namespace alcove::sgx

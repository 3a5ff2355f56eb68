// SPDX-License-Identifier: Apache-2.0
//
// The system calls that SGX of the host's processors is made of, so that tests have a kernel of their own:
// no machine of ours has these devices.
//
// Sources: Linux 6.12, Documentation/arch/x86/sgx.rst, "Virtual EPC"; Documentation/virt/kvm/api.rst,
// "KVM_CAP_SGX_ATTRIBUTE"; arch/x86/include/uapi/asm/sgx.h.
#pragma once

#include <cstdint>

#include "kvm/vcpu.hpp"
#include "kvm/vm.hpp"
#include "support/fd.hpp"
#include "support/mapping.hpp"
#include "support/result.hpp"

namespace alcove::sgx_hardware {

class HardwareCalls {
  public:
    virtual ~HardwareCalls() = default;

    // Virtual EPC of this size. Each descriptor of /dev/sgx_vepc has its own, which lives as long as it does.
    virtual Result<Mapping> map(const Fd& device, uint64_t bytes) = 0;
    // Has each page of it there from now on; the kernel gives them at the first touch and never takes them
    // back. ErrorCode::NoFreeEpc.
    virtual Result<void> touch(const Mapping& epc) = 0;
    // Takes every page of it out of its enclave: SGX_IOC_VEPC_REMOVE_ALL. How many had to stay: each is a
    // SECS that still has pages below it. While a page is in use by a processor it is an error (EBUSY).
    virtual Result<uint64_t> remove_all(const Fd& device) = 0;
    // The VM's enclaves may ask for the provisioning key; `device` is /dev/sgx_provision.
    virtual Result<void> allow_provisioning(const kvm::Vm& vm, const Fd& device) = 0;
    virtual Result<void> set_msr(const kvm::Vcpu& vcpu, uint32_t index, uint64_t value) = 0;
};

// Linux itself.
class KernelCalls : public HardwareCalls {
  public:
    Result<Mapping> map(const Fd& device, uint64_t bytes) override;
    Result<void> touch(const Mapping& epc) override;
    Result<uint64_t> remove_all(const Fd& device) override;
    Result<void> allow_provisioning(const kvm::Vm& vm, const Fd& device) override;
    Result<void> set_msr(const kvm::Vcpu& vcpu, uint32_t index, uint64_t value) override;
};

}  // namespace alcove::sgx_hardware

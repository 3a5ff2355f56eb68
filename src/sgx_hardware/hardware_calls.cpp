// SPDX-License-Identifier: Apache-2.0
#include "sgx_hardware/hardware_calls.hpp"

#include <cerrno>

#include <asm/sgx.h>
#include <sys/ioctl.h>

#include "memory/guarded_copy.hpp"
#include "support/bits.hpp"

namespace alcove::sgx_hardware {

namespace {
constexpr size_t kPage = 4096;
}

Result<Mapping> KernelCalls::map(const Fd& device, uint64_t bytes) {
    return Mapping::shared(device, bytes);
}

// What is read says nothing: outside an enclave EPC reads as ones. madvise() does not know such mappings
// (VM_PFNMAP), and a page that there is none for would be SIGBUS.
Result<void> KernelCalls::touch(const Mapping& epc) {
    for (size_t offset = 0; offset < epc.size(); offset += kPage) {
        uint8_t byte = 0;
        if (!memory::guarded_copy({&byte, 1}, epc.bytes().subspan(offset, 1)))
            return fail(ErrorCode::NoFreeEpc, "the host has no EPC left: " + std::to_string(offset / 1_MiB) +
                                                  " of " + std::to_string(epc.size() / 1_MiB) +
                                                  " MiB of a section were there");
    }
    return {};
}

Result<uint64_t> KernelCalls::remove_all(const Fd& device) {
    const int left = ::ioctl(device.get(), SGX_IOC_VEPC_REMOVE_ALL, 0UL);
    if (left < 0) return fail_errno(errno, "SGX_IOC_VEPC_REMOVE_ALL");
    return static_cast<uint64_t>(left);
}

Result<void> KernelCalls::allow_provisioning(const kvm::Vm& vm, const Fd& device) {
    return vm.enable_capability(KVM_CAP_SGX_ATTRIBUTE, static_cast<uint64_t>(device.get()));
}

Result<void> KernelCalls::set_msr(const kvm::Vcpu& vcpu, uint32_t index, uint64_t value) {
    return vcpu.set_msr(index, value);
}

}  // namespace alcove::sgx_hardware

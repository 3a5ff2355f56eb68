// SPDX-License-Identifier: Apache-2.0
#include "kvm/kvm.hpp"

#include <cerrno>

#include <sys/ioctl.h>

#include "kvm/list_ioctl.hpp"
#include "kvm/vm.hpp"

namespace alcove::kvm {

namespace {
constexpr uint32_t kMaxCpuidEntries = 256;
}

Failure refused(const char* request) {
    return fail_errno(errno, request, ErrorCode::KvmRefused);
}

Result<Kvm> Kvm::create(Fd device) {
    const int version = ::ioctl(device.get(), KVM_GET_API_VERSION, 0);
    if (version < 0) return refused("KVM_GET_API_VERSION");
    if (version != KVM_API_VERSION)
        return fail(ErrorCode::KvmUnable, "KVM's API version is " + std::to_string(version) + ", not 12");
    return Kvm(std::move(device));
}

Result<int> Kvm::check_extension(uint32_t capability) const {
    const int value = ::ioctl(device_.get(), KVM_CHECK_EXTENSION, static_cast<unsigned long>(capability));
    if (value < 0) return refused("KVM_CHECK_EXTENSION");
    return value;
}

Result<Vm> Kvm::create_vm() const {
    Fd fd(::ioctl(device_.get(), KVM_CREATE_VM, 0UL));
    if (!fd.is_open()) return refused("KVM_CREATE_VM");
    const auto mmap_size = TRY(vcpu_mmap_size());
    return Vm(std::move(fd), mmap_size);
}

Result<std::vector<kvm_cpuid_entry2>> Kvm::supported_cpuid() const {
    Bytes buffer = encode_list(std::vector<kvm_cpuid_entry2>(kMaxCpuidEntries));
    if (::ioctl(device_.get(), kGetSupportedCpuid, buffer.data()) < 0)
        return refused("KVM_GET_SUPPORTED_CPUID");
    return decode_list<kvm_cpuid_entry2>(buffer);
}

Result<size_t> Kvm::vcpu_mmap_size() const {
    const int size = ::ioctl(device_.get(), KVM_GET_VCPU_MMAP_SIZE, 0UL);
    if (size < 0) return refused("KVM_GET_VCPU_MMAP_SIZE");
    return static_cast<size_t>(size);
}

}  // namespace alcove::kvm

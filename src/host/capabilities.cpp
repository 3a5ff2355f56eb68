// SPDX-License-Identifier: Apache-2.0
#include "host/capabilities.hpp"

#include <cerrno>

#include <cpuid.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/prctl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::host {

namespace {

Answer answer(bool yes) {
    return yes ? Answer::Yes : Answer::No;
}

bool cpu_has_virtualization() {
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    // VMX: CPUID.1:ECX[5] (SDM vol. 2, "CPUID"); SVM: CPUID 8000_0001h ECX[2] (APM vol. 3, appendix E).
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit<unsigned>(5)) != 0) return true;
    return __get_cpuid(0x8000'0001, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit<unsigned>(2)) != 0;
}

Answer read_smt_active() {
    const auto content = sys::read_file("/sys/devices/system/cpu/smt/active", 16);
    if (!content) return Answer::NotTried;
    return answer(as_text(*content).starts_with("1"));
}

}  // namespace

Answer probe_core_scheduling() {
    unsigned long cookie = 0;
    const int result = ::prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, 0, /* PIDTYPE_PID */ 0, &cookie);
    // ENODEV: the kernel knows it, but this CPU runs without SMT, so there is nothing to schedule.
    if (result == 0) return Answer::Yes;
    return answer(errno == ENODEV);
}

KvmCapabilities probe_kvm_device(const std::string& path) {
    KvmCapabilities kvm;
    kvm.hardware_assisted = answer(cpu_has_virtualization());
    kvm.device_exists = answer(::access(path.c_str(), F_OK) == 0);
    const auto device = sys::open(path, O_RDWR);
    kvm.device_opens = answer(device.has_value());
    if (!device) {
        kvm.open_error = device.error().to_string();
        kvm.guest.reason = "the device does not open";
        return kvm;
    }
    const auto extension = [&](int number) { return ::ioctl(device->get(), KVM_CHECK_EXTENSION, number); };
    const int version = ::ioctl(device->get(), KVM_GET_API_VERSION, 0);
    if (version >= 0) kvm.api_version = version;
    const int vcpus = extension(KVM_CAP_MAX_VCPUS);
    kvm.max_vcpus = vcpus > 0 ? static_cast<uint32_t>(vcpus) : 0;
    kvm.second_view = answer(extension(KVM_CAP_X86_SMM) > 0 && extension(KVM_CAP_MULTI_ADDRESS_SPACE) >= 2);
    kvm.immediate_exit = answer(extension(KVM_CAP_IMMEDIATE_EXIT) > 0);
    kvm.irqfd = answer(extension(KVM_CAP_IRQFD) > 0);
    kvm.ioeventfd = answer(extension(KVM_CAP_IOEVENTFD) > 0);
    return kvm;
}

bool kvm_is_absent(const std::string& path) {
    const auto device = sys::open(path, O_RDWR);
    if (device) return false;
    const int reason = device.error().errno_value();
    return reason == ENOENT || reason == ENXIO || reason == ENODEV;
}

HostCapabilities probe_host_capabilities() {
    HostCapabilities host;
    host.core_scheduling = probe_core_scheduling();
    host.smt_active = read_smt_active();
    host.kvm = probe_kvm_device();
    return host;
}

}  // namespace alcove::host

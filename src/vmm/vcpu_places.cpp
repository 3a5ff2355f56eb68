// SPDX-License-Identifier: Apache-2.0
#include "vmm/vcpu_places.hpp"

#include <algorithm>
#include <cerrno>

#include <sched.h>
#include <unistd.h>

#include "support/system.hpp"

namespace alcove::vmm {

namespace {

static_assert(api::kMaxHostCpus <= CPU_SETSIZE);

Result<api::CpuMask> own_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) != 0) return fail_errno(errno, "sched_getaffinity");
    api::CpuMask cpus;
    for (uint32_t cpu = 0; cpu < api::kMaxHostCpus; ++cpu)
        if (CPU_ISSET(cpu, &set)) cpus.add(cpu);
    return cpus;
}

Result<void> pin_to(uint32_t cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (::sched_setaffinity(0, sizeof set, &set) == 0) return {};
    // Taken away between the two calls: one that floats from its beginning.
    if (errno == EINVAL) return {};
    return fail_errno(errno, "sched_setaffinity");
}

}  // namespace

Result<VcpuPlaces> VcpuPlaces::create(Fd threads, Fd partition, std::string_view cores) {
    VcpuPlaces places;
    places.threads_ = std::move(threads);
    places.partition_ = std::move(partition);
    while (!cores.empty()) {
        const auto text = cores.substr(0, cores.find('/'));
        cores.remove_prefix(std::min(cores.size(), text.size() + 1));
        places.cores_.push_back(TRY(api::CpuMask::parse_list(text)));
    }
    return places;
}

Result<void> VcpuPlaces::look() {
    if (!partition_.is_open()) return {};
    Bytes text(128);
    const ssize_t length = ::pread(partition_.get(), text.data(), text.size(), 0);
    if (length < 0) return fail_errno(errno, "the vCPUs' cpuset");
    exclusive_ = as_text(ByteView(text).first(static_cast<size_t>(length))) == "isolated\n";
    return {};
}

Result<void> VcpuPlaces::enter(uint32_t vcpu, uint32_t vcpus) const {
    if (!threads_.is_open()) return {};
    TRY(sys::write_all(threads_, as_byte_view("0")).context("entering the vCPUs' cgroup"));
    if (!exclusive_) return {};
    const auto cpus = TRY(own_cpus());
    const auto ordered = in_order(cpus);
    // Fewer CPUs than vCPUs: some are with an enclave, and nobody can say here which.
    return ordered.size() < vcpus ? Result<void>() : pin_to(ordered[vcpu]);
}

std::vector<uint32_t> VcpuPlaces::in_order(const api::CpuMask& cpus) const {
    std::vector<uint32_t> ordered;
    api::CpuMask done;
    const auto take = [&](uint32_t cpu) {
        if (!cpus.has(cpu) || done.has(cpu)) return;
        done.add(cpu);
        ordered.push_back(cpu);
    };
    for (uint32_t cpu = 0; cpu < api::kMaxHostCpus; ++cpu) {
        if (!cpus.has(cpu)) continue;
        take(cpu);
        for (const auto& core : cores_)
            if (core.has(cpu))
                for (uint32_t sibling = 0; sibling < api::kMaxHostCpus; ++sibling)
                    if (core.has(sibling)) take(sibling);
    }
    return ordered;
}

}  // namespace alcove::vmm

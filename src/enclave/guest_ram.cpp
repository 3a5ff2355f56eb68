// SPDX-License-Identifier: Apache-2.0
#include "enclave/guest_ram.hpp"

#include <algorithm>

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/stat.h>

#include "api/limits.hpp"
#include "support/bits.hpp"
#include "support/memory_lines.hpp"
#include "support/system.hpp"

namespace alcove::enclave {

namespace {

constexpr uint64_t kStep = 16_MiB;  // between two looks at `cancelled`
constexpr const char* kHugePages = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";

Failure no_huge_pages(uint64_t bytes) {
    const auto content = sys::read_file(kHugePages, 64);
    const std::string free(content ? as_text(*content) : "none");
    return fail(ErrorCode::NoHugePages, "this needs " + std::to_string(bytes / api::kHugePage) +
                                            " pages of 2 MiB; free are " + free.substr(0, free.find('\n')));
}

// fallocate on a host that has not enough would wake the kernel's out-of-memory killer, so it is asked first.
Result<void> check_available(uint64_t bytes) {
    const auto available = memory_line_of("/proc/meminfo", "MemAvailable");
    if (!available || *available >= bytes) return {};
    return fail(ErrorCode::NoFreeMemory, "this needs " + std::to_string(bytes / 1_MiB) +
                                             " MiB of memory; free are " +
                                             std::to_string(*available / 1_MiB) + " MiB");
}

}  // namespace

Result<Fd> make_guest_ram(uint32_t page_size) {
    auto ram = TRY(sys::memfd("alcove-ram", page_size == api::kHugePage ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
    // The VMM gets this descriptor; nobody opens another through /proc.
    if (::fchmod(ram.get(), 0600) < 0) return fail_errno(errno, "fchmod of the guest's memory");
    return ram;
}

Result<Fd> open_guest_ram(uint64_t bytes, uint32_t page_size) {
    const bool huge = page_size == api::kHugePage;
    if (!huge) TRY(check_available(bytes));
    auto ram = make_guest_ram(page_size);
    if (!ram && huge) return no_huge_pages(bytes);
    if (!ram) return ram;
    TRY(sys::truncate(*ram, bytes));
    TRY(sys::add_seals(*ram, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL));
    return ram;
}

Result<void> fill_guest_ram(const Fd& ram, uint64_t bytes, uint32_t page_size,
                            const std::atomic<bool>& cancelled) {
    for (uint64_t at = 0; at < bytes; at += kStep) {
        if (cancelled) return fail(ErrorCode::Cancelled, "reserving memory was cancelled");
        const auto reserved = sys::allocate(ram, 0, at, std::min(kStep, bytes - at));
        if (!reserved && page_size == api::kHugePage) return no_huge_pages(bytes);
        if (!reserved)
            return fail_errno(reserved.error().errno_value(),
                              "reserving " + std::to_string(bytes / 1_MiB) + " MiB of memory",
                              ErrorCode::NoFreeMemory);
    }
    return {};
}

}  // namespace alcove::enclave

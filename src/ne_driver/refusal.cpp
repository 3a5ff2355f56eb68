// SPDX-License-Identifier: Apache-2.0
//
// The driver has errnos of its own, which no library has a text for.
#include <algorithm>
#include <array>
#include <string>

#include <linux/nitro_enclaves.h>

#include "ne_driver/driver.hpp"

namespace alcove::ne_driver {

namespace {

struct Entry {
    int number;
    const char* name;
    const char* meaning;
};

#define NAMED(name) name, #name
constexpr std::array kEntries{
    Entry{NAMED(NE_ERR_VCPU_ALREADY_USED), "an enclave has this vCPU already"},
    Entry{NAMED(NE_ERR_VCPU_NOT_IN_CPU_POOL), "this vCPU is not in the pool of the driver"},
    Entry{NAMED(NE_ERR_VCPU_INVALID_CPU_CORE), "the core of this vCPU is not in the pool of the driver"},
    Entry{NAMED(NE_ERR_INVALID_MEM_REGION_SIZE), "a region's size is not a multiple of 2 MiB"},
    Entry{NAMED(NE_ERR_INVALID_MEM_REGION_ADDR), "a region's address is not memory of this program"},
    Entry{NAMED(NE_ERR_UNALIGNED_MEM_REGION_ADDR), "a region does not begin at a multiple of 2 MiB"},
    Entry{NAMED(NE_ERR_MEM_REGION_ALREADY_USED), "a region overlaps one that was added before"},
    Entry{NAMED(NE_ERR_MEM_NOT_HUGE_PAGE), "a region is not made of huge pages"},
    Entry{NAMED(NE_ERR_MEM_DIFFERENT_NUMA_NODE),
          "a region is on another NUMA node than the vCPUs of the pool"},
    Entry{NAMED(NE_ERR_MEM_MAX_REGIONS), "there are more separate pieces of memory than an enclave can have"},
    Entry{NAMED(NE_ERR_NO_MEM_REGIONS_ADDED), "the enclave was given no memory"},
    Entry{NAMED(NE_ERR_NO_VCPUS_ADDED), "the enclave was given no vCPU"},
    Entry{NAMED(NE_ERR_ENCLAVE_MEM_MIN_SIZE), "the enclave was given less than 64 MiB"},
    Entry{NAMED(NE_ERR_FULL_CORES_NOT_USED), "not all threads of a core were given to the enclave"},
    Entry{NAMED(NE_ERR_NOT_IN_INIT_STATE), "the enclave was started before"},
    Entry{NAMED(NE_ERR_INVALID_VCPU), "there is no vCPU of this number"},
    Entry{NAMED(NE_ERR_NO_CPUS_AVAIL_IN_POOL), "no vCPU is left in the pool of the driver"},
    Entry{NAMED(NE_ERR_INVALID_PAGE_SIZE), "a page's size is not a multiple of 2 MiB"},
    Entry{NAMED(NE_ERR_INVALID_FLAG_VALUE), "the driver does not know these flags"},
    Entry{NAMED(NE_ERR_INVALID_ENCLAVE_CID), "no enclave can have this context id"},
};
#undef NAMED

}  // namespace

Failure refusal(const char* request, int errno_value) {
    const auto* entry = std::ranges::find(kEntries, errno_value, &Entry::number);
    if (entry == kEntries.end()) return fail_errno(errno_value, request);
    return fail(ErrorCode::SystemCall,
                std::string(request) + ": " + entry->meaning + " (" + entry->name + ")");
}

}  // namespace alcove::ne_driver

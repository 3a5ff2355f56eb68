// SPDX-License-Identifier: Apache-2.0
#include "ne_client/rules.hpp"

#include <array>
#include <cerrno>
#include <vector>

#include <sys/mman.h>

#include "ne_client/enclave.hpp"
#include "ne_client/enclave_memory.hpp"

namespace alcove::ne_client {

namespace {

// The least that an enclave may have (ne_misc_dev.c, NE_MIN_ENCLAVE_MEM_SIZE).
constexpr uint64_t kEnoughMemory = 64 << 20;

// Above user space, aligned to 2 MiB.
constexpr uint64_t kKernelAddress = 0xffff'8880'0000'0000;

uint64_t* offset_by(uint64_t* words, uint64_t bytes) {
    return words + bytes / sizeof(uint64_t);
}

int start_with(Enclave& enclave, uint64_t flags, uint64_t cid) {
    return enclave.start(flags, cid);
}

int add_vcpu(Enclave& enclave, uint32_t id) {
    return enclave.add_vcpu(id);
}

Result<void> check_image_info(Report& report) {
    auto enclave = TRY(Enclave::create());
    uint64_t offset = 0;
    report.expect_equal(enclave.image_offset(NE_EIF_IMAGE, offset), 0, "NE_GET_IMAGE_LOAD_INFO");
    report.expect_equal(static_cast<long long>(offset), kImageOffset, "image offset");
    report.expect_equal(enclave.image_offset(0, offset), NE_ERR_INVALID_FLAG_VALUE, "no kind of image");
    report.expect_equal(enclave.image_offset(2, offset), NE_ERR_INVALID_FLAG_VALUE, "another kind of image");
    return {};
}

// The driver's rules for regions, and one of the device's: a page that another enclave has.
Result<void> check_regions(Report& report) {
    auto enclave = TRY(Enclave::create());
    const auto memory = TRY(EnclaveMemory::create(std::array{2 * kHugePage}));
    uint64_t* const words = memory.regions()[0].words;
    const auto add = [&](uint64_t offset, uint64_t size, uint64_t flags = NE_DEFAULT_MEMORY_REGION) {
        return enclave.add_memory(offset_by(words, offset), size, flags);
    };
    report.expect_equal(add(0, kHugePage, 1), NE_ERR_INVALID_FLAG_VALUE, "flags of a region");
    report.expect_equal(add(0, kHugePage / 2), NE_ERR_INVALID_MEM_REGION_SIZE, "half a huge page");
    report.expect_equal(add(kSmallPage, kHugePage), NE_ERR_UNALIGNED_MEM_REGION_ADDR, "an unaligned region");
    report.expect_equal(enclave.add_memory(reinterpret_cast<void*>(kKernelAddress), kHugePage),
                        NE_ERR_INVALID_MEM_REGION_ADDR, "an address of the kernel");

    // Aligned to 2 MiB, but of small pages.
    void* small = ::mmap(nullptr, 2 * kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const uint64_t aligned = (reinterpret_cast<uint64_t>(small) + kHugePage - 1) & ~(kHugePage - 1);
    ::madvise(small, 2 * kHugePage, MADV_NOHUGEPAGE);
    report.expect_equal(enclave.add_memory(reinterpret_cast<void*>(aligned), kHugePage),
                        NE_ERR_MEM_NOT_HUGE_PAGE, "small pages");
    ::munmap(small, 2 * kHugePage);

    report.expect_equal(add(0, kHugePage), 0, "a huge page");
    report.expect_equal(add(0, kHugePage), NE_ERR_MEM_REGION_ALREADY_USED, "the same again");
    report.expect_equal(add(0, 2 * kHugePage), NE_ERR_MEM_REGION_ALREADY_USED, "the same and more");

    auto other = TRY(Enclave::create());
    report.expect_equal(other.add_memory(words, kHugePage), EBUSY, "a page that another enclave has");
    report.expect_equal(other.add_memory(offset_by(words, kHugePage), kHugePage), 0, "the page beside it");
    return {};
}

Result<void> check_vcpus(Report& report) {
    auto enclave = TRY(Enclave::create());
    auto other = TRY(Enclave::create());
    report.expect_equal(add_vcpu(enclave, 1), NE_ERR_VCPU_NOT_IN_CPU_POOL, "a vCPU that is not in the pool");
    report.expect_equal(add_vcpu(enclave, 1000), NE_ERR_INVALID_VCPU, "a vCPU that there is not");
    report.expect_equal(add_vcpu(enclave, 3), 0, "vCPU 3");
    report.expect_equal(add_vcpu(enclave, 3), NE_ERR_VCPU_ALREADY_USED, "the same vCPU again");
    report.expect_equal(add_vcpu(other, 3), NE_ERR_VCPU_NOT_IN_CPU_POOL, "a vCPU of another enclave");
    uint32_t chosen = 0;
    report.expect_equal(other.add_vcpu(chosen), 0, "a vCPU that the driver chooses");
    report.expect_equal(chosen, 2, "the one that is left");
    report.expect_equal(add_vcpu(enclave, 0), NE_ERR_NO_CPUS_AVAIL_IN_POOL, "one more than there are");
    // An empty pool has no room for another enclave either.
    const auto third = Enclave::create();
    report.expect_equal(third ? 0 : third.error().errno_value(), NE_ERR_NO_CPUS_AVAIL_IN_POOL,
                        "an enclave without vCPUs left");
    return {};
}

Result<void> check_start(Report& report) {
    auto enclave = TRY(Enclave::create());
    auto memory = TRY(EnclaveMemory::create(std::array{kEnoughMemory - kHugePage, kHugePage}));
    memory.fill_pattern();
    const auto& regions = memory.regions();
    report.expect_equal(start_with(enclave, 0, 0), NE_ERR_NO_MEM_REGIONS_ADDED, "a start without memory");
    report.expect_equal(enclave.add_memory(regions[0].words, regions[0].size), 0, "62 MiB");
    report.expect_equal(start_with(enclave, 0, 0), NE_ERR_ENCLAVE_MEM_MIN_SIZE, "a start with 62 MiB");
    report.expect_equal(enclave.add_memory(regions[1].words, regions[1].size), 0, "2 MiB more");
    report.expect_equal(start_with(enclave, 0, 0), NE_ERR_NO_VCPUS_ADDED, "a start without vCPUs");
    report.expect_equal(add_vcpu(enclave, 2), 0, "vCPU 2");
    report.expect_equal(start_with(enclave, 2, 0), NE_ERR_INVALID_FLAG_VALUE, "flags of a start");
    for (const uint64_t cid :
         {uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{0xffffffff}, uint64_t{1} << 32})
        report.expect_equal(start_with(enclave, 0, cid), NE_ERR_INVALID_ENCLAVE_CID, "a reserved CID");

    uint64_t cid = 77;
    report.expect_equal(enclave.start(NE_ENCLAVE_DEBUG_MODE, cid), 0, "a start with a CID");
    report.expect_equal(static_cast<long long>(cid), 77, "the CID that was asked for");
    report.expect_equal(start_with(enclave, 0, 0), NE_ERR_NOT_IN_INIT_STATE, "a second start");
    report.expect_equal(add_vcpu(enclave, 3), NE_ERR_NOT_IN_INIT_STATE, "a vCPU after the start");
    report.expect_equal(enclave.add_memory(regions[1].words, kHugePage), NE_ERR_NOT_IN_INIT_STATE,
                        "memory after the start");

    // The device's own: a CID that is taken, for an enclave that is fine otherwise.
    auto other = TRY(Enclave::create());
    const auto more = TRY(EnclaveMemory::create(std::array{kEnoughMemory}));
    report.expect_equal(other.add_memory(more.regions()[0].words, kEnoughMemory), 0, "64 MiB for another");
    report.expect_equal(add_vcpu(other, 3), 0, "vCPU 3 for another");
    report.expect_equal(start_with(other, 0, 77), EEXIST, "a CID that is taken");
    return {};
}

// As many as there may be beside one primary.
Result<void> check_slots(Report& report) {
    std::vector<Enclave> enclaves;
    for (int i = 0; i < 4; ++i) {
        auto enclave = TRY(Enclave::create());
        report.expect(enclave.slot_uid() != 0, "slot_uid");
        enclaves.push_back(std::move(enclave));
    }
    const auto fifth = Enclave::create();
    report.expect_equal(fifth ? 0 : fifth.error().errno_value(), ENOSPC, "a fifth enclave");
    enclaves.pop_back();
    report.expect(Enclave::create().has_value(), "one again after one is gone");
    return {};
}

}  // namespace

Result<void> check_rules(Report& report) {
    TRY(check_image_info(report));
    TRY(check_regions(report));
    TRY(check_vcpus(report));
    TRY(check_start(report));
    return check_slots(report);
}

}  // namespace alcove::ne_client

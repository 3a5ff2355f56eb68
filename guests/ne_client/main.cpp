// SPDX-License-Identifier: Apache-2.0
//
// ne_client: takes enclaves out of a primary VM and looks at what comes of it (README.md).
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <sched.h>
#include <unistd.h>

#include "ne_client/enclave.hpp"
#include "ne_client/enclave_memory.hpp"
#include "ne_client/image_run.hpp"
#include "ne_client/report.hpp"
#include "ne_client/rules.hpp"

namespace alcove::ne_client {

namespace {

constexpr int kUsageExit = 2;
constexpr int kEndWithin = 60'000;  // ms, as long as the kernel's own sample waits

// 64 MiB, not all regions alike, and more than one.
constexpr std::array<uint64_t, 6> kRegions{2 << 20, 16 << 20, 8 << 20, 2 << 20, 32 << 20, 4 << 20};
constexpr uint64_t kCycledMemory = 64 << 20;

// Everything up to the start, which is the caller's.
Result<Enclave> prepare(Report& report, EnclaveMemory& memory, unsigned vcpus, Step step = Step::Word) {
    auto enclave = TRY(Enclave::create());
    memory.fill_pattern(step);
    for (const auto& region : memory.regions())
        if (const int refused = enclave.add_memory(region.words, region.size); refused != 0)
            return fail_errno(refused, "NE_SET_USER_MEMORY_REGION");
    for (unsigned i = 0; i < vcpus; ++i) {
        uint32_t vcpu = 0;
        report.expect_equal(enclave.add_vcpu(vcpu), 0, "NE_ADD_VCPU");
        report.expect(vcpu == 2 || vcpu == 3, "the vCPU is of the pool");
    }
    return enclave;
}

uint64_t start(Report& report, Enclave& enclave, uint64_t flags) {
    uint64_t cid = 0;
    report.expect_equal(enclave.start(flags, cid), 0, "NE_START_ENCLAVE");
    report.expect(cid >= 16, "the CID that the device chose");
    return cid;
}

void close_and_look(Report& report, Enclave& enclave, const EnclaveMemory& memory, Step step = Step::Word) {
    enclave.close();
    report.expect(!memory.find_not_zero(step), "memory is zero after close");
}

Result<void> run_once(Report& report, EnclaveMemory& memory, Step step) {
    auto enclave = TRY(prepare(report, memory, 2, step));
    start(report, enclave, NE_ENCLAVE_PRODUCTION_MODE);
    report.expect(enclave.wait_for_end(kEndWithin), "the enclave ends");
    report.expect(enclave.has_hung_up(), "EPOLLHUP");
    close_and_look(report, enclave, memory, step);
    return {};
}

Result<void> run_many(Report& report, int count) {
    for (int i = 0; i < count; ++i) {
        auto memory = TRY(EnclaveMemory::create(kRegions));
        TRY(run_once(report, memory, Step::Word));
    }
    return {};
}

// The same memory each time, in few regions, and one word of each page to look at: a tenth of the time.
Result<void> cycle(Report& report, int count) {
    auto memory = TRY(EnclaveMemory::create_in_runs(kCycledMemory));
    for (int i = 0; i < count; ++i)
        TRY(run_once(report, memory, Step::Page));
    report.expect(!memory.find_not_zero(), "all memory is zero in the end");
    return {};
}

Result<void> run_pair(Report& report) {
    auto first_memory = TRY(EnclaveMemory::create(kRegions));
    auto second_memory = TRY(EnclaveMemory::create(kRegions));
    auto first = TRY(prepare(report, first_memory, 1));
    auto second = TRY(prepare(report, second_memory, 1));
    const uint64_t first_cid = start(report, first, NE_ENCLAVE_DEBUG_MODE);
    const uint64_t second_cid = start(report, second, NE_ENCLAVE_PRODUCTION_MODE);
    report.expect(first_cid != second_cid, "two CIDs");
    report.expect(second.wait_for_end(kEndWithin), "the second ends");
    report.expect(!first.wait_for_end(200), "the first runs on");
    close_and_look(report, second, second_memory);
    report.expect(!first.wait_for_end(200), "the first still runs");
    close_and_look(report, first, first_memory);
    return {};
}

// A failure in the middle of a region gives it back as it was.
Result<void> run_without_memory(Report& report) {
    auto memory = TRY(EnclaveMemory::create_in_runs(kCycledMemory));
    auto enclave = TRY(Enclave::create());
    memory.fill_pattern();
    uint32_t vcpu = 0;
    report.expect_equal(enclave.add_vcpu(vcpu), 0, "NE_ADD_VCPU");
    // One that has a middle.
    const auto& region = *std::ranges::max_element(memory.regions(), {}, &EnclaveMemory::Region::size);
    report.expect(enclave.add_memory(region.words, region.size) != 0, "the region is refused");
    report.expect(!memory.find_not_pattern(), "the region is as it was");
    enclave.close();
    report.expect(!memory.find_not_pattern(), "the region is as it was after close");
    // Or the next owner of these pages in this machine finds the pattern, and the test with it.
    memory.clear();
    return {};
}

Result<void> hold(Report& report) {
    auto memory = TRY(EnclaveMemory::create(kRegions));
    auto enclave = TRY(prepare(report, memory, 2));
    start(report, enclave, NE_ENCLAVE_DEBUG_MODE);
    report.finish();
    std::fflush(stdout);
    ::pause();
    return {};
}

void say_processor() {
    volatile uint64_t sum = 0;
    for (uint64_t i = 0; i < 1'000'000; ++i)
        sum = sum + i;
    std::printf("ne: processor %d counted to %llu\n", ::sched_getcpu(), static_cast<unsigned long long>(sum));
}

Result<void> run_scenario(std::string_view name, int count, Report& report) {
    if (name == "run") return run_many(report, count);
    if (name == "cycle") return cycle(report, count);
    if (name == "pair") return run_pair(report);
    if (name == "hold") return hold(report);
    if (name == "rules") return check_rules(report);
    if (name == "no-memory") return run_without_memory(report);
    return fail(ErrorCode::InvalidArgument, "unknown scenario");
}

}  // namespace

}  // namespace alcove::ne_client

int main(int argc, char** argv) {
    using namespace alcove::ne_client;
    if (argc < 2) {
        std::fprintf(stderr,
                     "usage: ne_client run [COUNT] | cycle COUNT | pair | hold | rules | no-memory | "
                     "image FILE [COUNT] | processor\n");
        return kUsageExit;
    }
    if (std::string_view(argv[1]) == "processor") {
        say_processor();
        return 0;
    }
    Report report(argv[1]);
    const bool has_image = std::string_view(argv[1]) == "image" && argc > 2;
    const auto done = has_image ? run_image(report, argv[2], argc > 3 ? std::atoi(argv[3]) : 1)
                                : run_scenario(argv[1], argc > 2 ? std::atoi(argv[2]) : 1, report);
    if (!done) {
        std::printf("ne: FAILED %s: %s\n", argv[1], done.error().to_string().c_str());
        return 1;
    }
    return report.finish();
}

// SPDX-License-Identifier: Apache-2.0
//
// Machines with guests of a few instructions: each way to die, the processors, the memory, and guests that
// write nonsense everywhere.
#include <fstream>

#include <dirent.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/bits.hpp"
#include "tests/machine/test_machine.hpp"

namespace alcove::tests {
namespace {

using api::StopReason;
using testing::HasSubstr;

GuestRun run(const GuestOptions& options) {
    auto result = run_guest(options);
    EXPECT_TRUE(result) << result.error().to_string();
    return result ? std::move(result).value() : GuestRun{};
}

StopReason reason_of(const GuestRun& run) {
    EXPECT_TRUE(run.end.has_value()) << "the guest did not end in time; console: " << run.console;
    return run.end ? run.end->reason : StopReason::VmmCrashed;
}

size_t open_descriptors() {
    size_t count = 0;
    DIR* folder = ::opendir("/proc/self/fd");
    while (::readdir(folder) != nullptr)
        ++count;
    ::closedir(folder);
    return count;
}

size_t mapped_pages() {
    std::ifstream file("/proc/self/statm");
    size_t pages = 0;
    file >> pages;
    return pages;
}

TEST(AsmGuest, SpeaksByTheSerialPortAndPulsesReset) {
    const auto result = run({.kernel = "hello.elf"});

    EXPECT_EQ(reason_of(result), StopReason::I8042Reset);
    EXPECT_EQ(result.console, "hello from a guest\n");
}

TEST(AsmGuest, PowersOffByTheSleepRegister) {
    EXPECT_EQ(reason_of(run({.kernel = "poweroff.elf"})), StopReason::PowerOff);
}

TEST(AsmGuest, ResetsByTheAcpiRegister) {
    EXPECT_EQ(reason_of(run({.kernel = "reset_acpi.elf"})), StopReason::AcpiReset);
}

TEST(AsmGuest, ATripleFaultEndsItOnTheVcpuThatHadIt) {
    const auto result = run({.kernel = "triple_fault.elf"});

    EXPECT_EQ(reason_of(result), StopReason::TripleFault);
    EXPECT_EQ(result.end->vcpu, 0U);
}

TEST(AsmGuest, IdleAndSpinningGuestsAreStopped) {
    for (const char* kernel : {"idle.elf", "spin.elf"}) {
        GuestOptions options{.kernel = kernel, .vcpus = 2, .ends_when_halted = true};
        options.deadline = 3 * machine::IdleWatch::kPeriod;

        const auto result = run(options);

        EXPECT_FALSE(result.end.has_value()) << kernel << " ended of its own";
    }
}

TEST(AsmGuest, HaltingWithInterruptsOffEndsAnEnclave) {
    const auto result = run({.kernel = "halt.elf", .vcpus = 2, .ends_when_halted = true});

    EXPECT_EQ(reason_of(result), StopReason::Halted);
}

TEST(AsmGuest, HaltingWithInterruptsOffEndsNothingElse) {
    GuestOptions options{.kernel = "halt.elf", .vcpus = 2};
    options.deadline = 3 * machine::IdleWatch::kPeriod;

    EXPECT_FALSE(run(options).end.has_value());
}

TEST(AsmGuest, EveryProcessorComesUpByInitAndSipi) {
    const auto result = run({.kernel = "smp.elf", .command_line = "cpus=4", .vcpus = 4});

    EXPECT_THAT(result.console, HasSubstr("cpus 4"));
    for (const char* line : {"cpu 0\n", "cpu 1\n", "cpu 2\n", "cpu 3\n"})
        EXPECT_THAT(result.console, HasSubstr(line));
}

TEST(AsmGuest, AllMemoryTheLoaderDidNotFillIsZero) {
    const auto result = run({.kernel = "memory_zero.elf", .memory_bytes = 256_MiB});

    EXPECT_THAT(result.console, HasSubstr("memory ok "));
}

TEST(AsmGuest, CpuidIsTheBaselineAndNothingElse) {
    const auto result = run({.kernel = "cpuid.elf", .vcpus = 2});

    EXPECT_THAT(result.console, HasSubstr("done\n"));
    // Leaf 7: FSGSBASE TSC_ADJUST BMI1 AVX2 SMEP BMI2 RDSEED ADX SMAP CLFLUSHOPT, and no more.
    EXPECT_THAT(result.console, HasSubstr("00000007 00000000 00000000 009c01ab 00000000"));
    // "Alco" of the brand string.
    EXPECT_THAT(result.console, HasSubstr("80000002 00000000 6f636c41"));
}

TEST(AsmGuest, TheHostCheckGuestFindsEverythingWorking) {
    const auto result = run({.kernel = "check.elf"});

    for (const char* line : {"paging ok\n", "sse ok\n", "bmi2 ok\n", "loop ", "done\n"})
        EXPECT_THAT(result.console, HasSubstr(line));
}

TEST(AsmGuest, NonsenseInEveryRegisterIsSurvived) {
    for (const char* seed : {"seed=1", "seed=2", "seed=3"}) {
        const auto result = run({.kernel = "mmio_garbage.elf", .command_line = seed});

        EXPECT_EQ(reason_of(result), StopReason::I8042Reset) << seed;
        EXPECT_THAT(result.console, HasSubstr("garbage ok")) << seed;
    }
}

TEST(AsmGuest, AHundredRunsLeaveNothingBehind) {
    const auto run_fifty = [] {
        for (int i = 0; i < 50; ++i) {
            const auto result = run({.kernel = "hello.elf", .vcpus = 2});
            ASSERT_EQ(reason_of(result), StopReason::I8042Reset) << i;
        }
    };
    // The first half warms up what the process keeps for good: the C library's pool of thread stacks, its
    // heap.
    run_fifty();
    const size_t descriptors = open_descriptors();
    const size_t pages = mapped_pages();

    run_fifty();

    EXPECT_EQ(open_descriptors(), descriptors);
    // What two vCPUs share with the kernel (6 pages) would be 300 more if it stayed at every run, guest
    // memory 819200.
    EXPECT_LT(mapped_pages(), pages + 256);
}

}  // namespace
}  // namespace alcove::tests

// SPDX-License-Identifier: Apache-2.0
//
// Machines with guests of a few instructions: each way to die, the processors, the memory, and guests that
// write nonsense everywhere.
#include <fstream>
#include <map>

#include <dirent.h>
#include <fcntl.h>

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cpu/cpuid_baseline.hpp"
#include "kvm/kvm.hpp"
#include "support/bits.hpp"
#include "support/system.hpp"
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

// What cpuid.S prints where vCPU 0 is told the baseline and nothing else.
std::string cpuid_of_this_host(uint32_t vcpus) {
    const auto kvm = kvm::Kvm::create(sys::open("/dev/kvm", O_RDWR).value()).value();
    const auto baseline =
        cpu::make_cpuid_baseline(kvm.supported_cpuid().value(), {.vcpu_count = vcpus}).value();
    std::map<std::pair<uint32_t, uint32_t>, kvm_cpuid_entry2> entries;
    for (const auto& entry : baseline)
        entries[{entry.function, entry.index}] = entry;
    // KVM puts the XSAVE area of the features that are on there; this guest turns none on.
    entries.at({0xd, 0}).ebx = 512 + 64;

    std::string text;
    const auto print = [&text](uint32_t leaf, uint32_t subleaf, const kvm_cpuid_entry2& entry) {
        text += fmt::format("{:08x} {:08x} {:08x} {:08x} {:08x} {:08x}\n", leaf, subleaf, entry.eax,
                            entry.ebx, entry.ecx, entry.edx);
    };
    for (const uint32_t group : {0x0U, 0x4000'0000U, 0x8000'0000U})
        for (uint32_t leaf = group; leaf <= entries.at({group, 0}).eax; ++leaf) {
            print(leaf, 0, entries[{leaf, 0}]);
            for (uint32_t subleaf = 1; subleaf < 64; ++subleaf) {
                const auto& entry = entries[{leaf, subleaf}];
                if ((entry.eax | entry.ebx | (entry.ecx & 0xffff'ff00)) != 0) print(leaf, subleaf, entry);
            }
        }
    return text;
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

    EXPECT_EQ(result.console, cpuid_of_this_host(2) + "done\n");
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
        EXPECT_THAT(result.console, HasSubstr("garbage ok, devices 1, starts 12\n")) << seed;
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

// SPDX-License-Identifier: Apache-2.0
//
// SGX on KVM: the unikernel (guests/unikernel) builds an enclave, uses it, and tries what must not work. One
// run of it serves all tests: it is the slow part.
#include <algorithm>
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/machine/test_machine.hpp"

namespace alcove::tests {
namespace {

using testing::HasSubstr;

constexpr const char* kOnes = "ffffffffffffffff";

sgx::Configuration epc_of(uint64_t mib) {
    sgx::Configuration configuration;
    configuration.epc = {{.size_mib = mib}};
    return configuration;
}

const GuestRun& unikernel() {
    static const GuestRun run = [] {
        auto result =
            run_guest({.kernel = "unikernel.elf", .sgx = epc_of(2), .deadline = std::chrono::seconds(240)});
        EXPECT_TRUE(result) << result.error().to_string();
        return result ? std::move(result).value() : GuestRun{};
    }();
    return run;
}

// What is behind the name on its line.
std::string said(const std::string& name) {
    std::istringstream lines(unikernel().console);
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with(name + " ")) return line.substr(name.size() + 1);
    return "nothing of " + name + "; all it said: " + unikernel().console;
}

std::string number(uint64_t value) {
    char text[17];
    std::snprintf(text, sizeof text, "%016lx", value);
    return text;
}
std::string exception(uint64_t vector, uint64_t error = 0, uint64_t address = 0) {
    return "exception " + number(vector) + " " + number(error) + " " + number(address);
}
// In an enclave: it seems to come from the ENCLU at the AEP, with ERESUME in RAX.
std::string exit_by(uint64_t vector, uint64_t error = 0, uint64_t address = 0) {
    return exception(vector, error, address) + " rax " + number(3);
}

constexpr uint64_t kEnclave = uint64_t{2} << 39;

TEST(SgxUnikernel, BuildsAndEntersAnEnclave) {
    EXPECT_EQ(said("epc"), number(4_GiB));
    EXPECT_EQ(said("epc size"), number(2_MiB));
    for (const char* leaf : {"eremove", "ecreate", "eadd", "einit"})
        EXPECT_EQ(said(leaf), number(0)) << leaf;
    EXPECT_EQ(said("sum"), number(42));
    EXPECT_THAT(unikernel().console, testing::EndsWith("done\n"));
}

TEST(SgxUnikernel, LeavesFaultAsTheArchitectureSays) {
    constexpr uint64_t kFaulted = uint64_t{1} << 30;
    EXPECT_EQ(said("eadd outside"), number(kFaulted | 13));
    EXPECT_EQ(said("unknown leaf"), number(kFaulted | 13));
    EXPECT_EQ(said("eremove inside"), number(13)) << "CHILD_PRESENT";
    EXPECT_EQ(said("eremove ram"), number(kFaulted | 14));
}

TEST(SgxUnikernel, TheKernelsOwnExceptionsReachIt) {
    EXPECT_EQ(said("ud2"), exception(6));
    EXPECT_EQ(said("step"), exception(1));
}

TEST(SgxUnikernel, TheKernelReadsOnesInTheEpc) {
    for (const char* way : {"kernel load", "kernel load after store", "kernel rep movs", "kernel page table"})
        EXPECT_EQ(said(way), kOnes) << way;
    EXPECT_EQ(said("kernel fetch"), exception(6));
}

TEST(SgxUnikernel, InterruptsEndTheEnclaveAndItResumes) {
    EXPECT_EQ(said("interrupts"), number(1));
    EXPECT_EQ(said("spun"), number(1));
    ASSERT_EQ(unikernel().sgx->enclaves.size(), 1U);
    EXPECT_GE(unikernel().sgx->enclaves[0].asynchronous_exits, 5U);
    EXPECT_EQ(unikernel().sgx->enclaves[0].threads_inside, 0U);
}

TEST(SgxUnikernel, AnEnclaveReachesItsPagesAndOrdinaryMemoryOnly) {
    EXPECT_EQ(said("load outside"), number(1));
    EXPECT_EQ(said("stored"), number(1));
    EXPECT_EQ(said("load epc"), kOnes);
    EXPECT_EQ(said("load hole"), exit_by(14, 4, kEnclave + 9 * 4_KiB));
    EXPECT_EQ(said("load tcs"), exit_by(14, 0x8005, kEnclave));
    EXPECT_EQ(said("jump outside"), exit_by(13));
    EXPECT_EQ(said("store code"), exit_by(14, 0x8007, kEnclave + 3 * 4_KiB));
    EXPECT_EQ(said("load unmapped"), exit_by(14, 4, uint64_t{3} << 39));
}

TEST(SgxUnikernel, TheKernelsPageTablesCanNotTrickIt) {
    EXPECT_EQ(said("swapped page"), exit_by(14, 0x8005, kEnclave + 4 * 4_KiB));
    EXPECT_EQ(said("page of ram"), exit_by(14, 0x8005, kEnclave + 4 * 4_KiB));
    EXPECT_EQ(said("read-only page"), exit_by(14, 7, kEnclave + 4 * 4_KiB));
    EXPECT_EQ(said("accessed"), number(0x20));
    EXPECT_EQ(said("dirty"), number(0x60));
}

TEST(SgxUnikernel, InstructionsThatEnclavesMayNotUseAreUndefined) {
    for (const char* name :
         {"cpuid", "getsec", "rdpmc", "sgdt",    "sidt",     "sldt",   "str", "smsw",   "in",   "out",
          "outs",  "ins",    "int",   "syscall", "sysenter", "vmfunc", "rsm", "mov ss", "int3", "own ud2"})
        EXPECT_EQ(said(name), exit_by(6)) << name;
    EXPECT_EQ(said("hlt"), exit_by(13));
    EXPECT_EQ(said("icebp"), exit_by(1));
}

// Between two marks; the second's own return of KVM_RUN does not count.
uint64_t runs_between(size_t first) {
    const auto& marks = unikernel().marks;
    return marks.size() > first + 1 ? marks[first + 1].runs - marks[first].runs - 1 : 0;
}

TEST(SgxUnikernel, LeavesAndEntriesEndKvmRunAsOftenAsPromised) {
    ASSERT_EQ(unikernel().marks.size(), 6U);
    EXPECT_EQ(runs_between(0), 17U) << "EADD and 16 EEXTEND";
    EXPECT_EQ(runs_between(2), 2U) << "EENTER and EEXIT";
    const uint64_t exits = unikernel().marks[5].asynchronous_exits - unikernel().marks[4].asynchronous_exits;
    EXPECT_GE(exits, 5U);
    EXPECT_EQ(runs_between(4), 2 + 2 * exits) << "each interrupt, and the ERESUME behind it";
}

TEST(SgxLoss, AnEnclaveThatIsLostFaultsAndAnotherCanBeBuilt) {
    auto result = run_guest({.kernel = "unikernel.elf",
                             .command_line = "stay",
                             .sgx = epc_of(2),
                             .deadline = std::chrono::seconds(120),
                             .stop_at = "staying " + number(2) + "\n",
                             .drop_epc_at = "staying " + number(1) + "\n"});
    ASSERT_TRUE(result) << result.error().to_string();

    // ERESUME finds no TCS (SDM vol. 3D, "ERESUME"): a page fault with the SGX bit.
    EXPECT_THAT(result->console, HasSubstr("lost" + (" " + exception(14, 0x8007, kEnclave)) + "\n"));
    EXPECT_TRUE(result->end) << result->console;
    ASSERT_EQ(result->sgx->enclaves.size(), 1U) << "the second";
    EXPECT_EQ(result->sgx->enclaves[0].pages, 6U);
}

}  // namespace
}  // namespace alcove::tests

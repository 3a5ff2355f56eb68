// SPDX-License-Identifier: Apache-2.0
//
// SGX on KVM: the unikernel (guests/unikernel) builds an enclave, uses it, and tries what must not work. One
// run of it serves all tests of a suite: it is the slow part.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/aes.hpp"
#include "sgx/spec_report.hpp"
#include "support/endian.hpp"
#include "support/system.hpp"
#include "tests/machine/said.hpp"
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

GuestRun run_unikernel(const std::string& word, uint32_t vcpus = 1) {
    auto result = run_guest({.kernel = "unikernel.elf",
                             .command_line = word,
                             .vcpus = vcpus,
                             .sgx = epc_of(2),
                             .deadline = std::chrono::seconds(240)});
    EXPECT_TRUE(result) << result.error().to_string();
    return result ? std::move(result).value() : GuestRun{};
}

const GuestRun& unikernel() {
    static const GuestRun run = run_unikernel("");
    return run;
}

std::string said(const std::string& name) {
    return said(unikernel(), name);
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

// What the enclave found in its state save area afterwards.
std::string exitinfo_of(const GuestRun& run, const std::string& name) {
    const auto& console = run.console;
    const auto at = console.find("\n" + name + " ");
    const std::string label = "  exitinfo ";
    const auto found = at == std::string::npos ? at : console.find(label, at);
    return found == std::string::npos ? "none" : console.substr(found + label.size(), 16);
}

constexpr uint64_t kEnclave = uint64_t{2} << 39;
constexpr uint64_t kFaulted = uint64_t{1} << 30;  // what ENCLS gives after an exception, and the vector

TEST(SgxUnikernel, BuildsAndEntersAnEnclave) {
    EXPECT_EQ(said("epc"), number(4_GiB));
    EXPECT_EQ(said("epc size"), number(2_MiB));
    for (const char* leaf : {"eremove", "ecreate", "eadd", "einit"})
        EXPECT_EQ(said(leaf), number(0)) << leaf;
    EXPECT_EQ(said("sum"), number(42));
    EXPECT_THAT(unikernel().console, testing::EndsWith("done\n"));
}

TEST(SgxUnikernel, LeavesFaultAsTheArchitectureSays) {
    EXPECT_EQ(said("eadd outside"), number(kFaulted | 13));
    EXPECT_EQ(said("unknown leaf"), number(kFaulted | 13));
    EXPECT_EQ(said("eremove inside"), number(13)) << "CHILD_PRESENT";
    EXPECT_EQ(said("eremove ram"), number(kFaulted | 14));
}

TEST(SgxUnikernel, TheKernelsOwnExceptionsReachIt) {
    EXPECT_EQ(said("ud2"), exception(6));
    EXPECT_EQ(said("step"), exception(1));
    EXPECT_EQ(said("kernel icebp"), exception(1));
}

TEST(SgxUnikernel, LeavesWorkWhereverTheKernelHasItsHandlers) {
    for (const std::string table : {"second idt", "changed gate", "changed again", "first idt"}) {
        EXPECT_EQ(said(table + " eremove"), number(13)) << table;
        EXPECT_EQ(said(table + " sum"), number(42)) << table;
        EXPECT_EQ(said(table + " ud2"), exception(6)) << table;
    }
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

TEST(SgxUnikernel, AnEnclaveSeesDevicesAsTheOutsideDoesAndNothingOfAlcoves) {
    EXPECT_EQ(said("device outside"), number(0x7472'6976)) << "virt";
    EXPECT_EQ(said("device inside"), said("device outside"));
    EXPECT_NE(said("lapic outside"), number(0));
    EXPECT_EQ(said("lapic inside"), said("lapic outside"));
    constexpr uint64_t kOwnPages = 0xffff'ff00'0000'0000;
    EXPECT_EQ(said("load own pages"), exit_by(14, 5, kOwnPages));
    EXPECT_EQ(said("store own pages"), exit_by(14, 7, kOwnPages + 0x3000));
    EXPECT_EQ(said("jump to own pages"), exit_by(13));
    EXPECT_EQ(said("steps without a fault"), number(0));
}

TEST(SgxUnikernel, FaultsNestAsDeepAsThereAreFrames) {
    EXPECT_EQ(said("outer fault"), exception(14, 4, 32_MiB));
    EXPECT_EQ(said("inner fault"), exception(14, 4, 34_MiB));
    EXPECT_EQ(said("no frame left"), exception(13));
    EXPECT_EQ(said("inner resumes"), number(0x2222));
    EXPECT_EQ(said("outer resumes"), number(0x1111));
    EXPECT_EQ(said("nothing to resume"), exception(13));
}

TEST(SgxUnikernel, InstructionsThatEnclavesMayNotUseAreUndefined) {
    for (const char* name :
         {"cpuid",  "getsec",  "rdpmc",    "sgdt",    "sidt",    "sldt",     "str",    "smsw",   "in",
          "out",    "outs",    "ins",      "int",     "syscall", "sysenter", "vmfunc", "rsm",    "mov ss",
          "int3",   "own ud2", "far call", "far jmp", "far ret", "iret",     "mov ds", "mov es", "mov fs",
          "mov gs", "pop fs",  "pop gs",   "lss",     "lfs",     "lgs"})
        EXPECT_EQ(said(name), exit_by(6)) << name;
    for (const char* name : {"monitor", "mwait"})
        EXPECT_EQ(said(name), exit_by(6)) << name << ": in ring 3";
    for (const char* name :
         {"hlt", "cli", "sti", "clts", "lgdt", "lidt", "lldt", "ltr", "lmsw", "mov from cr0", "mov to cr3",
          "mov to dr7", "rdmsr", "wrmsr", "invlpg", "swapgs", "xsetbv", "eenter inside", "eresume inside"})
        EXPECT_EQ(said(name), exit_by(13)) << name;
    EXPECT_EQ(said("icebp"), exit_by(1));
}

TEST(SgxUnikernel, AnEnclavesOwnExceptionsReachItsKernelAndItsStateSaysWhich) {
    EXPECT_EQ(said("divide"), exit_by(0));
    EXPECT_EQ(exitinfo_of(unikernel(), "divide"), number(0x8000'0300));
    EXPECT_EQ(said("x87"), exit_by(16));
    EXPECT_EQ(exitinfo_of(unikernel(), "x87"), number(0x8000'0310));
}

// Where hardware would make #UD of them, they go through and change nothing (src/sgx_vm/README.md).
TEST(SgxUnikernel, WhatStaysInRing3GoesThrough) {
    for (const char* name : {"far ret to itself", "iret to itself", "null ds"})
        EXPECT_EQ(said(name), number(1)) << name;
}

TEST(SgxUnikernel, InstructionsThatEnclavesMayUseGoThrough) {
    for (const char* name :
         {"rdtsc", "rdtscp", "rdrand", "rdseed", "xgetbv", "fsgsbase", "xsave", "clflush", "pause"})
        EXPECT_EQ(said(name), number(1)) << name;
    for (const char* name : {"popf of tf", "iret of tf"})
        EXPECT_EQ(said(name), number(1)) << name << ", and there is no trap";
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
    EXPECT_GE(exits, 1U) << "some may have come while it was on its way in";
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
    EXPECT_EQ(result->sgx->enclaves[0].pages, 15U);
}

TEST(SgxLoss, AMachineCheckInsideIsTheKernelsAndTheEnclaveIsLeft) {
    auto result = run_guest({.kernel = "unikernel.elf",
                             .command_line = "stay",
                             .vcpus = 2,  // with one, nothing would interrupt KVM_RUN
                             .sgx = epc_of(2),
                             .deadline = std::chrono::seconds(120),
                             .stop_at = "staying " + number(2) + "\n",
                             .machine_check_at = "staying " + number(1) + "\n"});
    ASSERT_TRUE(result) << result.error().to_string();
    EXPECT_THAT(result->console, HasSubstr("lost" + (" " + exception(18)) + "\n"));
    EXPECT_TRUE(result->end) << result->console;
}

// ---- Two enclaves ----

const GuestRun& neighbours() {
    static const GuestRun run = run_unikernel("neighbours");
    return run;
}
std::string of_neighbours(const std::string& name) {
    return said(neighbours(), name);
}

constexpr uint64_t kHole = kEnclave + 9 * 4_KiB;
constexpr uint64_t kData = kEnclave + 4 * 4_KiB;

TEST(SgxNeighbours, NeitherReachesAByteOfTheOther) {
    EXPECT_EQ(of_neighbours("neighbour"), number(0));
    EXPECT_EQ(of_neighbours("load neighbour"), kOnes);
    EXPECT_EQ(of_neighbours("jump to neighbour"), exit_by(13));
    EXPECT_EQ(of_neighbours("neighbour's page"), exit_by(14, 0x8005, kHole));
    EXPECT_EQ(of_neighbours("neighbour's page at its place"), exit_by(14, 0x8005, kData));
    EXPECT_EQ(all_said(neighbours(), "sum").at(1), number(42));
    EXPECT_EQ(of_neighbours("neighbour's sum"), number(77)) << "a store went nowhere";
}

TEST(SgxNeighbours, WhatTheKernelMapsIntoAnEnclaveIsItsOwnPageAtItsPlaceOrAFault) {
    for (const char* what : {"own page twice", "own secs", "device", "nothing"})
        EXPECT_EQ(of_neighbours(what), exit_by(14, 0x8005, kHole)) << what;
}

TEST(SgxNeighbours, DebuggersReachWhoOptedInOnly) {
    const std::string refused = number(kFaulted | 13);
    EXPECT_EQ(of_neighbours("edbgrd"), refused);
    EXPECT_EQ(of_neighbours("edbgwr"), refused);
    EXPECT_EQ(of_neighbours("edbgrd of debug"), number(0));
    EXPECT_EQ(of_neighbours("it read"), number(77));
    EXPECT_EQ(all_said(neighbours(), "neighbour's sum").at(1), number(99));
    EXPECT_EQ(all_said(neighbours(), "sum").at(2), number(42));
}

TEST(SgxNeighbours, ADebuggerThatTheEnclaveOptedInToSeesItsBreakpointsAndSteps) {
    constexpr uint64_t kTrap = 0x8000'0301, kBreakpoint = 0x8000'0603;
    EXPECT_EQ(of_neighbours("opt-in"), number(0));
    EXPECT_EQ(of_neighbours("debugged int3"), exit_by(3));
    EXPECT_EQ(exitinfo_of(neighbours(), "debugged int3"), number(kBreakpoint));
    EXPECT_EQ(of_neighbours("debugged popf of tf"), exit_by(1));
    EXPECT_EQ(exitinfo_of(neighbours(), "debugged popf of tf"), number(kTrap));
    EXPECT_EQ(of_neighbours("debugged step"), exception(1));
    EXPECT_EQ(of_neighbours("it resumes"), number(0));
    EXPECT_EQ(of_neighbours("debugged in the end"), number(99));
}

TEST(SgxNeighbours, AReportConvincesTheOneItIsForAndNobodyElse) {
    const auto bytes = bytes_of(of_neighbours("report"));
    ASSERT_EQ(bytes.size(), sizeof(sgx::REPORT));
    const auto report = *read_object<sgx::REPORT>(bytes, 0);
    const ByteView maced = ByteView(bytes).first(sgx::REPORT::kMaced);
    const auto mrenclave = bytes_of(of_neighbours("mrenclave"));

    EXPECT_THAT(report.MRENCLAVE, testing::ElementsAreArray(mrenclave));
    EXPECT_NE(report.ATTRIBUTES.FLAGS & sgx::attributes::DEBUG, 0U);
    EXPECT_EQ(*read_object<Le64>(report.REPORTDATA.bytes, 0), 0x5ec2'e7ab'1e5e'c2e7U);
    EXPECT_EQ(crypto::aes_cmac(key_of(of_neighbours("report key")), {maced}), report.MAC);
    EXPECT_NE(crypto::aes_cmac(key_of(of_neighbours("neighbour's report key")), {maced}), report.MAC);
}

TEST(SgxNeighbours, WhatOneSealedItOpensAgainAfterItWasBuiltAnew) {
    const auto key = of_neighbours("seal key");
    EXPECT_EQ(bytes_of(key).size(), 16U);
    EXPECT_EQ(of_neighbours("seal key again"), key);
    EXPECT_EQ(bytes_of(of_neighbours("neighbour's seal key")).size(), 16U);
    EXPECT_NE(of_neighbours("neighbour's seal key"), key) << "the same code, but open to debuggers";
    EXPECT_EQ(of_neighbours("provision key"), number(2)) << "INVALID_ATTRIBUTE";
}

// ---- Devices, KVM's own writes, hypercalls, the kernel's debugging ----

const GuestRun& devices() {
    static const GuestRun run = run_unikernel("devices");
    return run;
}
std::string of_devices(const std::string& name) {
    return said(devices(), name);
}

TEST(SgxDevices, NoDeviceReadsOrWritesEpc) {
    constexpr uint64_t kNeedsReset = 0x40;
    EXPECT_EQ(of_devices("dma to ram"), number(1)) << "it works where it may";
    EXPECT_EQ(all_said(devices(), "filled"), (std::vector{number(1), number(0), number(0)}));
    for (const char* what : {"dma to epc", "descriptors in epc", "available ring in epc", "used ring in epc"})
        EXPECT_EQ(of_devices(what), number(kNeedsReset)) << what;
    EXPECT_EQ(all_said(devices(), "sum").at(1), number(42));
    EXPECT_EQ(all_said(devices(), "sum").at(2), number(42));
}

// By PCI, as a primary VM has it: neither what would leave by a disk nor what would come from one.
TEST(SgxDevices, NoDiskTakesOrGivesPagesOfTheEpc) {
    const std::string disk = testing::TempDir() + "sgx-disk";
    std::ofstream(disk) << std::string(4096, 'd');
    const auto run = run_guest({.kernel = "unikernel.elf",
                                .command_line = "disk",
                                .sgx = epc_of(2),
                                .disk = disk,
                                .deadline = std::chrono::seconds(60)});
    std::ostringstream content;
    content << std::ifstream(disk).rdbuf();
    std::filesystem::remove(disk);
    ASSERT_TRUE(run) << run.error().to_string();

    constexpr uint64_t kNeedsReset = 0x40;
    EXPECT_EQ(said(*run, "write from ram"), number(0)) << "S_OK";
    EXPECT_EQ(said(*run, "write from epc"), number(kNeedsReset));
    EXPECT_EQ(said(*run, "read into epc"), number(kNeedsReset));
    EXPECT_EQ(said(*run, "read into ram"), number(0));
    EXPECT_EQ(said(*run, "it read"), number(0x6464'6464'6464'6464));
    EXPECT_THAT(all_said(*run, "sum"), testing::ElementsAre(number(42), number(42)));
    std::string secret(512, 0);
    for (size_t i = 0; i < secret.size(); ++i)
        secret[i] = static_cast<char>(0x5ec2'e7ab'1e5e'c2e7U >> 8 * (i % 8));
    EXPECT_EQ(content.str(), secret + std::string(4096 - 512, 'd'));
}

TEST(SgxDevices, WhatKvmWritesForAGuestDoesNotReachEpc) {
    EXPECT_EQ(of_devices("sum with its clock there"), number(42));
    EXPECT_EQ(of_devices("sum with pv eoi there"), number(42));
}

TEST(SgxDevices, WhatWouldLetEventsPastAnExitIsNotThere) {
    EXPECT_EQ(of_devices("async pf and pv tlb flush"), number(0));
    EXPECT_EQ(of_devices("fred"), number(0));
    EXPECT_EQ(of_devices("fred in cr4"), number(0)) << "though the kernel tried";
    EXPECT_EQ(of_devices("fred registers"), number(0));
    EXPECT_EQ(of_devices("enabling async pf"), exception(13));
    EXPECT_EQ(of_devices("enabling steal time"), exception(13)) << "what flushes of others' TLBs go by";
}

TEST(SgxDevices, AHypercallInsideIsRefusedAndChangesNothing) {
    EXPECT_EQ(of_devices("native hypercall"), kOnes) << "-EPERM";
    EXPECT_EQ(of_devices("other hypercall"), exit_by(6));
}

TEST(SgxDevices, TheKernelsBreakpointsAndStepsStayOutside) {
    EXPECT_EQ(of_devices("breakpoints inside"), number(42));
    EXPECT_EQ(of_devices("step over the enclave"), exception(1) + " bytes behind " + number(4));
    EXPECT_EQ(all_said(devices(), "sum").back(), number(43)) << "it was run";
}

// ---- Several processors ----

constexpr uint32_t kProcessors = 4;

const GuestRun& processors() {
    static const GuestRun run = run_unikernel("processors", kProcessors);
    return run;
}
std::string of_processors(const std::string& name) {
    return said(processors(), name);
}

TEST(SgxProcessors, FourAreInOneEnclaveAtOnce) {
    EXPECT_EQ(of_processors("started"), number(kProcessors - 1));
    EXPECT_EQ(of_processors("inside together"), number(kProcessors - 1));
    EXPECT_EQ(all_said(processors(), "sum").at(1), number(42)) << "and the fourth";
    EXPECT_EQ(of_processors("eremove meanwhile"), number(14)) << "ENCLAVE_ACT";
    EXPECT_EQ(of_processors("busy tcs"), exception(13));
    EXPECT_EQ(of_processors("intact"), number(kProcessors - 1));
    EXPECT_EQ(of_processors("added together"), number(42 + 20 * kProcessors));
    EXPECT_THAT(processors().console, testing::EndsWith("done\n"));
}

TEST(SgxProcessors, AnNmiInsideSeesTheOutsideOnlyAndTheEnclaveResumes) {
    EXPECT_EQ(of_processors("nmis"), number(20)) << "none is lost";
    EXPECT_THAT(of_processors("nmis inside"), testing::Ne(number(0)));
    EXPECT_EQ(of_processors("secrets in nmis"), number(0));
    EXPECT_EQ(of_processors("intact after nmis"), number(1));
}

TEST(SgxProcessors, AnInitInsideEndsTheStayAndLeavesNoRegisterBehind) {
    EXPECT_EQ(of_processors("stay ended"), number(1));
    EXPECT_EQ(of_processors("started again"), number(1)) << "by one start-up message behind the INIT";
    EXPECT_EQ(of_processors("secrets after init"), number(0));
    EXPECT_EQ(of_processors("intact after init"), number(1)) << "by ERESUME";
}

TEST(SgxProcessors, AnSmiInsideDoesNoHarm) {
    EXPECT_EQ(of_processors("intact after smi"), number(1));
}

TEST(SgxProcessors, FourAtTheSamePagesAreAnsweredAsTheArchitectureAllows) {
    EXPECT_EQ(of_processors("to contend for"), number(0));
    EXPECT_THAT(processors().console, testing::Not(HasSubstr("wrong answer")));
    uint64_t conflicts = 0;
    for (const char* leaf :
         {"eadd", "eblock", "etrack", "ewb", "eldu", "eremove", "eaug", "eaccept", "eremove of eaug's"}) {
        uint64_t done = 0, of_this = 0, others = 0;
        std::istringstream(of_processors(std::string("contended ") + leaf)) >> std::hex >> done >> of_this >>
            others;
        EXPECT_GE(done, 5U) << leaf;
        const bool is_contested = std::set<std::string>{"eadd", "eblock", "ewb", "eremove"}.contains(leaf);
        EXPECT_GE(of_this, is_contested ? 1U : 0U) << leaf;
        conflicts += of_this;
    }
    EXPECT_GE(conflicts, 20U);
    EXPECT_EQ(of_processors("left of it"), number(0));
    EXPECT_EQ(of_processors("intact after contention"), of_processors("added together"));
}

TEST(SgxProcessors, FourGoThroughMoreEpcThanIsInMemory) {
    auto configuration = epc_of(2);
    configuration.population = sgx::Population::Oversubscribe;
    configuration.budget_mib = 1;
    const auto run = run_guest({.kernel = "unikernel.elf",
                                .command_line = "crowd",
                                .vcpus = kProcessors,
                                .sgx = configuration,
                                .deadline = std::chrono::seconds(120)});
    ASSERT_TRUE(run) << run.error().to_string();

    EXPECT_EQ(said(*run, "accepted"), number(260));
    const auto swept = all_said(*run, "swept");
    ASSERT_EQ(swept.size(), kProcessors) << run->console;
    EXPECT_NE(swept[0], kOnes);
    EXPECT_THAT(swept, testing::Each(swept[0])) << "each page came back as it went";
    EXPECT_GE(run->spill.evictions, 19U) << "as many as are too many";
    EXPECT_GE(run->spill.loads, 10U);
    EXPECT_LE(run->sgx->occupancy.resident, 256U) << "the budget, in pages";
}

TEST(SgxProcessors, ASmallerBudgetTakesPagesThatAProcessorInsideHasMapped) {
    auto configuration = epc_of(2);
    configuration.population = sgx::Population::Oversubscribe;
    configuration.budget_mib = 2;
    uint32_t before = 0;
    uint32_t after = 0;
    uint64_t exits = 0;
    const auto run = run_guest({.kernel = "unikernel.elf",
                                .command_line = "hold",
                                .sgx = configuration,
                                .deadline = std::chrono::seconds(120),
                                .call_at = "\nholding ",
                                .call = [&](machine::Machine& machine, EventLoop& loop) {
                                    machine.with_vcpus_parked([&] {
                                        auto& sgx = *machine.software_sgx();
                                        const auto report = sgx.engine().report();
                                        before = report.occupancy.resident;
                                        EXPECT_TRUE(sgx.leave_enclaves());
                                        EXPECT_TRUE(sgx.approach_budget(1));
                                        const auto then = sgx.engine().report();
                                        exits = then.asynchronous_exits - report.asynchronous_exits;
                                        after = then.occupancy.resident;
                                        loop.post([&] { machine.stop(); });
                                    });
                                }});
    ASSERT_TRUE(run) << run.error().to_string();

    EXPECT_EQ(exits, 1U) << "it was inside";
    EXPECT_GT(before, 256U);
    EXPECT_LE(after, 256U) << "the budget, in pages";
}

// ---- Configurations ----

GuestRun run_configured(void (*configure)(sgx::Configuration&), const sgx::LaunchHash& launch_hash) {
    auto configuration = epc_of(2);
    configuration.launch_hash = launch_hash;
    configuration.launch_hash_writable = false;
    configure(configuration);
    auto result = run_guest({.kernel = "unikernel.elf",
                             .command_line = "configuration",
                             .sgx = configuration,
                             .deadline = std::chrono::seconds(60)});
    EXPECT_TRUE(result) << result.error().to_string();
    return result ? std::move(result).value() : GuestRun{};
}

const GuestRun& locked_to_intel() {
    static const GuestRun run = run_configured([](sgx::Configuration&) {}, sgx::kIntelLaunchHash);
    return run;
}

TEST(SgxConfiguration, ALockedLaunchHashIsNotWrittenAndLaunchesNobodyElse) {
    const auto& run = locked_to_intel();
    EXPECT_EQ(said(run, "launch control"), number(0));
    EXPECT_EQ(said(run, "feature control"), number(1 | 1 << 18)) << "locked, SGX enabled, no launch control";
    EXPECT_EQ(said(run, "hash"), number(sgx::kIntelLaunchHash[0]));
    EXPECT_EQ(said(run, "write of hash"), exception(13));
    EXPECT_EQ(said(run, "for provisioning"), number(kFaulted | 13)) << "ECREATE: not offered";
    EXPECT_EQ(said(run, "built"), number(16)) << "INVALID_EINITTOKEN";
    EXPECT_EQ(said(run, "sum"), exception(13)) << "EENTER: not initialized";
}

// Locked to who signed the enclave, with no SGX2, and with the provisioning key.
TEST(SgxConfiguration, AnEnclaveOfTheLockedHashesSignerHasWhatItsVmHas) {
    const auto signer = bytes_of(said(locked_to_intel(), "signer"));
    sgx::LaunchHash hash{};
    ASSERT_EQ(signer.size(), sizeof hash);
    std::memcpy(hash.data(), signer.data(), sizeof hash);
    const auto run = run_configured(
        [](sgx::Configuration& configuration) {
            configuration.sgx2 = false;
            configuration.provision_key = true;
        },
        hash);
    EXPECT_EQ(said(run, "hash"), number(hash[0]));
    EXPECT_EQ(said(run, "write of hash"), exception(13));
    EXPECT_EQ(said(run, "for provisioning"), number(0));
    EXPECT_EQ(said(run, "sum"), number(42));
    const auto key = key_of(said(run, "provision key"));
    EXPECT_NE(key, crypto::AesKey{});
    EXPECT_NE(key, key_of(said(run, "seal key")));
    EXPECT_EQ(said(run, "generations"), number(1));
    for (const char* leaf : {"eaug", "emodpr", "emodt"})
        EXPECT_EQ(said(run, leaf), number(kFaulted | 13)) << leaf;
    EXPECT_EQ(said(run, "eaccept"), exit_by(13));
}

TEST(SgxConfiguration, WithoutSgx1BothInstructionsAreUndefined) {
    const auto run = run_configured(
        [](sgx::Configuration& configuration) { configuration.sgx1 = configuration.sgx2 = false; },
        sgx::kIntelLaunchHash);
    EXPECT_EQ(said(run, "generations"), number(0));
    EXPECT_EQ(said(run, "eremove"), number(kFaulted | 6));
    EXPECT_EQ(said(run, "built"), number(kFaulted | 6));
    EXPECT_EQ(said(run, "sum"), exception(6));
}

// ---- What ends a machine ----

// A triple fault, or the processor stands still: KVM goes round between what it reads and what it may not
// mark as accessed there.
TEST(SgxEnds, AProcessorWithItsPageTablesInEpcReadsOnesAndGetsNowhere) {
    const auto run = run_unikernel("cr3", 2);
    ASSERT_TRUE(run.end) << run.console;
    EXPECT_THAT(run.console, HasSubstr("started " + number(1)));
    EXPECT_THAT(run.console, testing::Not(HasSubstr("went on")));
    EXPECT_THAT(run.console, testing::Not(HasSubstr("carried out " + number(1))));
}

// A guest that has more EPC in use than its host may keep in memory, until its spill file is harmed.
GuestRun run_with_harmed_spill_file(std::function<void(const Fd&)> harm) {
    auto configuration = epc_of(4);
    configuration.population = sgx::Population::Oversubscribe;
    configuration.budget_mib = 1;
    auto result = run_guest({.kernel = "unikernel.elf",
                             .command_line = "ballast",
                             .sgx = configuration,
                             .deadline = std::chrono::seconds(120),
                             .spill_at = "round " + number(1) + "\n",
                             .on_spill = std::move(harm)});
    EXPECT_TRUE(result) << result.error().to_string();
    return result ? std::move(result).value() : GuestRun{};
}

TEST(SgxEnds, ASpillFileThatWasChangedIsNeverTakenAndEndsTheMachine) {
    const auto run = run_with_harmed_spill_file([](const Fd& spill) {
        const std::vector<uint8_t> junk(1_MiB, 0x5a);
        for (uint64_t at = 0; at < 4_MiB; at += junk.size())
            ASSERT_TRUE(sys::write_all_at(spill, junk, at));
    });
    ASSERT_TRUE(run.end) << run.console;
    EXPECT_EQ(run.end->reason, api::StopReason::VcpuError);
    EXPECT_THAT(run.end->detail, HasSubstr("the EPC spill file was changed"));
    EXPECT_THAT(run.console, testing::Not(HasSubstr("wrong")));
}

TEST(SgxEnds, AKernelThatSendsItselfAnSmiEndsItsMachineOnly) {
    const auto run = run_unikernel("smi");
    ASSERT_TRUE(run.end) << run.console;
    EXPECT_EQ(run.end->reason, api::StopReason::VcpuError) << run.end->detail;
    EXPECT_THAT(run.end->detail, HasSubstr("KVM_RUN: Input/output error")) << "KVM's: the VM is dead";
}

}  // namespace
}  // namespace alcove::tests

// SPDX-License-Identifier: Apache-2.0
//
// Debian's unmodified kernel in a VM with SGX: its driver, and its own selftests
// (tools/testing/selftests/sgx).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/machine/test_machine.hpp"

namespace alcove::tests {
namespace {

using testing::HasSubstr;
using testing::Not;

GuestRun boot(std::vector<sgx::SectionPlan> epc, uint32_t vcpus, std::chrono::seconds deadline) {
    sgx::Configuration configuration;
    configuration.epc = std::move(epc);
    auto result = run_guest({.kernel = "debian-kernel",
                             .initrd = "sgx.cpio",
                             .command_line = "reboot=k panic=30 pci=off console=ttyS0 quiet",
                             .vcpus = vcpus,
                             .memory_bytes = 512_MiB,
                             .sgx = configuration,
                             .deadline = deadline});
    EXPECT_TRUE(result) << result.error().to_string();
    return result ? std::move(result).value() : GuestRun{};
}

uint64_t completed(const GuestRun& run, std::string_view leaf) {
    for (const auto& count : run.sgx->leaves)
        if (count.name == leaf) return count.completed;
    return 0;
}

TEST(SgxLinux, DebiansKernelFindsItsEpcAndRunsItsOwnSelftests) {
    const std::vector<sgx::SectionPlan> sections = {{.size_mib = 2},
                                                    {.size_mib = 1, .base = memory::GuestAddress(8_GiB)}};

    const auto run = boot(sections, 2, std::chrono::seconds(900));

    EXPECT_THAT(run.console, HasSubstr("sgx: EPC section 0x100000000-0x1001fffff"));
    EXPECT_THAT(run.console, HasSubstr("sgx: EPC section 0x200000000-0x2000fffff"));
    EXPECT_THAT(run.console, HasSubstr("init: devices sgx_enclave sgx_provision"));
    EXPECT_THAT(run.console, HasSubstr("init: epc 3145728 bytes"));
    EXPECT_THAT(run.console, Not(HasSubstr("init: warning")));
    if (run.console.find("init: no selftests") != std::string::npos)
        GTEST_SKIP() << "the kernel's selftests are not there: tools/dev setup fetches them";
    EXPECT_THAT(run.console, HasSubstr("# Totals: pass:16 fail:0 xfail:0 xpass:0 skip:0 error:0"));
    for (const char* leaf : {"EWB", "ELDU", "EAUG", "EMODPR", "EMODT", "EACCEPT", "EMODPE", "ERESUME"})
        EXPECT_GT(completed(run, leaf), 0U) << leaf;
    EXPECT_THAT(run.console, HasSubstr("init: done"));
}

}  // namespace
}  // namespace alcove::tests

// SPDX-License-Identifier: Apache-2.0
#include "host/vulnerabilities.hpp"

#include <gtest/gtest.h>

#include "host/fake_root_test.hpp"

namespace alcove::host {
namespace {

TEST(Vulnerabilities, TheKernelsWordsAreClassified) {
    EXPECT_EQ(classify_vulnerability("Not affected"), Exposure::NotAffected);
    EXPECT_EQ(classify_vulnerability("Mitigation: PTI"), Exposure::Mitigated);
    EXPECT_EQ(classify_vulnerability("Vulnerable"), Exposure::Vulnerable);
    EXPECT_EQ(classify_vulnerability("Vulnerable: Clear CPU buffers attempted, no microcode"),
              Exposure::Vulnerable);
    EXPECT_EQ(classify_vulnerability("KVM: Mitigation: VMX disabled"), Exposure::Mitigated);
    EXPECT_EQ(classify_vulnerability("KVM: Vulnerable"), Exposure::Vulnerable);
    EXPECT_EQ(classify_vulnerability("Processor vulnerable?"), Exposure::Unknown);
}

TEST(Vulnerabilities, AMitigationThatSmtDefeatsCountsAsOpen) {
    EXPECT_EQ(classify_vulnerability("Mitigation: Clear CPU buffers; SMT vulnerable"), Exposure::Vulnerable);
    EXPECT_EQ(classify_vulnerability("Mitigation: Clear CPU buffers; SMT disabled"), Exposure::Mitigated);
}

TEST(Vulnerabilities, FilesAreReadInOrderWithoutTheirNewline) {
    const FakeRoot root;
    root.put("/sys/devices/system/cpu/vulnerabilities/mds",
             "Mitigation: Clear CPU buffers; SMT vulnerable\n");
    root.put("/sys/devices/system/cpu/vulnerabilities/l1tf", "Not affected\n");

    const auto list = read_vulnerabilities(root.path()).value();

    ASSERT_EQ(list.size(), 2U);
    EXPECT_EQ(list[0].name, "l1tf");
    EXPECT_EQ(list[0].text, "Not affected");
    EXPECT_EQ(list[1].exposure, Exposure::Vulnerable);
}

TEST(Vulnerabilities, AKernelWithoutTheListIsSaid) {
    const FakeRoot root;

    EXPECT_EQ(read_vulnerabilities(root.path()).error().code(), ErrorCode::Unsupported);
}

}  // namespace
}  // namespace alcove::host

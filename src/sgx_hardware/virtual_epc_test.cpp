// SPDX-License-Identifier: Apache-2.0
#include "sgx_hardware/virtual_epc.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sgx_hardware/hardware_calls_fake.hpp"

namespace alcove::sgx_hardware {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<memory::GuestRange> kSections = {{memory::GuestAddress(4_GiB), 4_MiB},
                                                   {memory::GuestAddress(8_GiB), 2_MiB}};

Result<VirtualEpc> two_sections(FakeKernel& kernel) {
    return VirtualEpc::create(kernel, FakeKernel::devices({"a", "b"}), kSections);
}

TEST(VirtualEpc, EachSectionHasItsOwnAndAllOfItIsThere) {
    FakeKernel kernel;
    {
        const auto epc = two_sections(kernel);

        ASSERT_TRUE(epc) << epc.error().to_string();
        EXPECT_THAT(kernel.calls,
                    ElementsAre("map a 4", "map b 2", "remove a", "remove b", "touch 4", "touch 2"));
        ASSERT_EQ(epc->mappings().size(), 2U);
        EXPECT_EQ(epc->mappings()[0].size(), 4_MiB);
        EXPECT_EQ(epc->mappings()[1].size(), 2_MiB);
        EXPECT_EQ(FakeKernel::held(), 4U) << "two descriptors, two mappings";
    }
    EXPECT_EQ(FakeKernel::held(), 0U);
}

TEST(VirtualEpc, WhatAFormerLifeLeftIsGone) {
    FakeKernel kernel;
    kernel.enclaves = {{.secs = "a", .pages = {"a"}}, {.secs = "b", .pages = {}}};

    ASSERT_TRUE(two_sections(kernel));

    EXPECT_TRUE(kernel.enclaves.empty());
    EXPECT_THAT(kernel.calls, ElementsAre("map a 4", "map b 2", "remove a", "remove b", "remove a",
                                          "remove b", "touch 4", "touch 2"))
        << "once for pages, once for the SECS";
}

TEST(VirtualEpc, EnclavesThatLieInSeveralSectionsGoInTwoTurns) {
    FakeKernel kernel;
    const auto epc = two_sections(kernel).value();
    kernel.enclaves = {
        {.secs = "a", .pages = {"a", "b"}}, {.secs = "b", .pages = {"a"}}, {.secs = "a", .pages = {"b"}}};
    kernel.calls.clear();

    EXPECT_TRUE(epc.remove_all());

    EXPECT_TRUE(kernel.enclaves.empty());
    EXPECT_THAT(kernel.calls, ElementsAre("remove a", "remove b", "remove a", "remove b"));
}

TEST(VirtualEpc, OneThatIsEmptyIsAskedOnce) {
    FakeKernel kernel;
    const auto epc = two_sections(kernel).value();
    kernel.calls.clear();

    EXPECT_TRUE(epc.remove_all());

    EXPECT_THAT(kernel.calls, ElementsAre("remove a", "remove b"));
}

TEST(VirtualEpc, WhatDoesNotGoIsSaid) {
    FakeKernel kernel;
    const auto epc = two_sections(kernel).value();
    kernel.enclaves = {{.secs = "b", .pages = {"elsewhere"}}, {.secs = "a", .pages = {"a"}}};

    const auto removed = epc.remove_all();

    EXPECT_EQ(removed.error().code(), ErrorCode::Busy);
    EXPECT_THAT(removed.error().to_string(), HasSubstr("1 SECS pages"));
    EXPECT_EQ(kernel.enclaves.size(), 1U) << "the rest is gone";
}

TEST(VirtualEpc, APageInUseIsBusyAndAnythingElseIsWhatItIs) {
    FakeKernel kernel;
    const auto epc = two_sections(kernel).value();
    kernel.in_use = true;
    const auto removed = epc.remove_all();
    EXPECT_EQ(removed.error().code(), ErrorCode::Busy);
    EXPECT_THAT(removed.error().to_string(), HasSubstr("in use"));

    kernel.in_use = false;
    kernel.refused = "remove b";
    EXPECT_EQ(epc.remove_all().error().code(), ErrorCode::SystemCall);
    EXPECT_EQ(epc.remove_all().error().errno_value(), EIO);
}

TEST(VirtualEpc, EveryFailureGivesAllOfItBack) {
    for (const char* call : {"map a 4", "map b 2", "remove a", "remove b", "touch 4", "touch 2"}) {
        FakeKernel kernel;
        kernel.refused = call;

        EXPECT_EQ(two_sections(kernel).error().errno_value(), EIO) << call;

        EXPECT_EQ(kernel.calls.back(), call) << "nothing is asked for behind it";
        EXPECT_EQ(FakeKernel::held(), 0U) << call;
    }
}

TEST(VirtualEpc, ASectionWithoutADeviceIsRefused) {
    FakeKernel kernel;
    EXPECT_EQ(VirtualEpc::create(kernel, FakeKernel::devices({"a"}), kSections).error().code(),
              ErrorCode::InvalidArgument);
    EXPECT_TRUE(kernel.calls.empty());
    EXPECT_EQ(FakeKernel::held(), 0U);
}

}  // namespace
}  // namespace alcove::sgx_hardware

// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include <linux/nitro_enclaves.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ne_driver/device_driver.hpp"
#include "ne_driver/driver_fake.hpp"

namespace alcove::ne_driver {
namespace {

using testing::HasSubstr;

TEST(Refusal, TheDriversOwnErrorsHaveNamesAndMeanings) {
    for (int number = NE_ERR_VCPU_ALREADY_USED; number <= NE_ERR_INVALID_ENCLAVE_CID; ++number) {
        const auto text = refusal("NE_ADD_VCPU", number).error.to_string();
        EXPECT_THAT(text, HasSubstr("NE_ADD_VCPU: "));
        EXPECT_THAT(text, HasSubstr("(NE_ERR_")) << number;
    }
}

TEST(Refusal, OrdinaryErrnosStayWhatTheyAre) {
    const auto error = refusal("NE_START_ENCLAVE", EEXIST).error;

    EXPECT_EQ(error.errno_value(), EEXIST);
    EXPECT_EQ(error.to_string(), "NE_START_ENCLAVE: File exists");
}

TEST(Refusal, AMachineWithoutTheDeviceSaysSo) {
    const auto driver = DeviceDriver::open("/nowhere/nitro_enclaves");

    ASSERT_FALSE(driver);
    EXPECT_EQ(driver.error().errno_value(), ENOENT);
}

TEST(FakeDriver, KeepsTheDriversRules) {
    FakeDriver driver({2, 3});
    FakePages source({{2_MiB, 64}});
    const auto pages = take_pages(source, 64_MiB).value();
    auto enclave = driver.create_enclave().value();
    EXPECT_THAT(enclave->start(Mode::Debug, 0).error().message(), HasSubstr("NE_ERR_NO_MEM_REGIONS_ADDED"));
    EXPECT_THAT(enclave->add_memory(pages[0].bytes().subspan(1)).error().message(),
                HasSubstr("NE_ERR_INVALID_MEM_REGION_SIZE"));
    ASSERT_TRUE(enclave->add_memory(pages[0].bytes()));
    EXPECT_THAT(enclave->add_memory(pages[0].bytes()).error().message(),
                HasSubstr("NE_ERR_MEM_REGION_ALREADY_USED"));
    EXPECT_THAT(enclave->start(Mode::Debug, 0).error().message(), HasSubstr("NE_ERR_ENCLAVE_MEM_MIN_SIZE"));
    for (size_t i = 1; i < pages.size(); ++i)
        ASSERT_TRUE(enclave->add_memory(pages[i].bytes()));
    EXPECT_THAT(enclave->start(Mode::Debug, 0).error().message(), HasSubstr("NE_ERR_NO_VCPUS_ADDED"));
    EXPECT_EQ(enclave->add_vcpu(0).value(), 2U);
    EXPECT_THAT(enclave->add_vcpu(2).error().message(), HasSubstr("NE_ERR_VCPU_ALREADY_USED"));
    EXPECT_THAT(enclave->start(Mode::Debug, 3).error().message(), HasSubstr("NE_ERR_INVALID_ENCLAVE_CID"));
    EXPECT_EQ(enclave->start(Mode::Debug, 0).value(), 16U);
    EXPECT_THAT(enclave->add_vcpu(3).error().message(), HasSubstr("NE_ERR_NOT_IN_INIT_STATE"));
}

}  // namespace
}  // namespace alcove::ne_driver

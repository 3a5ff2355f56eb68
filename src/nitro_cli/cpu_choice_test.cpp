// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/cpu_choice.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nitro_cli/failure_code.hpp"

namespace alcove::nitro_cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(CpuChoice, ThePoolIsAListOfRanges) {
    EXPECT_THAT(parse_cpu_list("1-3,7\n").value(), ElementsAre(1U, 2U, 3U, 7U));
    EXPECT_THAT(parse_cpu_list("\n").value(), IsEmpty());
    EXPECT_EQ(code_of(parse_cpu_list("a-3").error()), FailureCode::MalformedCpuId);
    EXPECT_EQ(code_of(parse_cpu_list("3-1").error()), FailureCode::Cpu);
    EXPECT_EQ(code_of(parse_cpu_list("1-2-3").error()), FailureCode::MalformedCpuId);
    EXPECT_EQ(code_of(parse_cpu_list("0-4294967295").error()), FailureCode::MalformedCpuId);
}

TEST(CpuChoice, ACountLeavesTheChoiceToTheDriver) {
    RunRequest request;
    request.cpu_count = 2;
    EXPECT_THAT(choose_cpus(request, {2, 3}).value(), ElementsAre(0U, 0U));
    request.cpu_count = 3;
    EXPECT_EQ(code_of(choose_cpus(request, {2, 3}).error()), FailureCode::InsufficientCpus);
}

TEST(CpuChoice, NamedCpusAreInThePoolAndNamedOnce) {
    RunRequest request;
    request.cpu_ids = {3, 2};
    EXPECT_THAT(choose_cpus(request, {2, 3}).value(), ElementsAre(3U, 2U));
    request.cpu_ids = {2, 2};
    EXPECT_EQ(code_of(choose_cpus(request, {2, 3}).error()), FailureCode::InvalidCpuConfiguration);
    request.cpu_ids = {2, 5};
    EXPECT_EQ(code_of(choose_cpus(request, {2, 3}).error()), FailureCode::NoSuchCpuInPool);
}

}  // namespace
}  // namespace alcove::nitro_cli

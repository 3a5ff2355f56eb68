// SPDX-License-Identifier: Apache-2.0
#include "daemon/sgx_backend.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/bits.hpp"

namespace alcove::daemon {
namespace {

using sgx::Backend;
using testing::HasSubstr;

// One that the processors can do.
sgx::Configuration of(Backend backend) {
    sgx::Configuration configuration;
    configuration.epc = {{.size_mib = 4}, {.size_mib = 2}};
    configuration.backend = backend;
    configuration.key_root = sgx::KeyRoot::Host;
    return configuration;
}

host::SgxHardware able_host() {
    return {.present = true, .sgx1 = true, .sgx2 = true, .launch_control = true, .virtual_epc_device = true};
}

TEST(SgxBackend, WhatWasAskedForByNameIsHadOrRefused) {
    EXPECT_EQ(choose_backend(of(Backend::Software), able_host(), 1_GiB).value(), Backend::Software);
    EXPECT_EQ(choose_backend(of(Backend::Hardware), able_host(), 1_GiB).value(), Backend::Hardware);
    EXPECT_EQ(choose_backend(of(Backend::Hardware), able_host(), 0).value(), Backend::Hardware)
        << "the ledger says that";

    const auto none = choose_backend(of(Backend::Hardware), {}, 0);
    EXPECT_EQ(none.error().code(), ErrorCode::Unsupported);
    EXPECT_THAT(none.error().to_string(), HasSubstr("/dev/sgx_vepc"));
    auto old = able_host();
    old.sgx2 = false;
    EXPECT_THAT(choose_backend(of(Backend::Hardware), old, 0).error().to_string(),
                HasSubstr("write sgx.sgx2 = false"));
}

TEST(SgxBackend, AutoIsTheProcessorsWhereTheyCanAndHaveEpcFree) {
    const auto chosen = [](const sgx::Configuration& configuration, const host::SgxHardware& host,
                           uint64_t free) { return choose_backend(configuration, host, free).value(); };
    EXPECT_EQ(chosen(of(Backend::Auto), able_host(), 6_MiB), Backend::Hardware);
    EXPECT_EQ(chosen(of(Backend::Auto), able_host(), 6_MiB - 1), Backend::Software);
    EXPECT_EQ(chosen(of(Backend::Auto), {}, 6_MiB), Backend::Software);
    auto no_device = able_host();
    no_device.virtual_epc_device = false;
    EXPECT_EQ(chosen(of(Backend::Auto), no_device, 6_MiB), Backend::Software);
    auto locked = able_host();
    locked.launch_control = false;
    EXPECT_EQ(chosen(of(Backend::Auto), locked, 6_MiB), Backend::Software);
}

TEST(SgxBackend, AutoNeverGivesKeysOrAPopulationThatWereNotAskedFor) {
    auto own_keys = of(Backend::Auto);
    own_keys.key_root = sgx::KeyRoot::Vm;
    EXPECT_EQ(choose_backend(own_keys, able_host(), 1_GiB).value(), Backend::Software);
    auto budget = of(Backend::Auto);
    budget.population = sgx::Population::Oversubscribe;
    budget.budget_mib = 1;
    EXPECT_EQ(choose_backend(budget, able_host(), 1_GiB).value(), Backend::Software);
}

}  // namespace
}  // namespace alcove::daemon

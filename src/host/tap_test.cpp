// SPDX-License-Identifier: Apache-2.0
#include "host/tap.hpp"

#include <gtest/gtest.h>

namespace alcove::host {
namespace {

TEST(Tap, AnInterfaceThatIsNotThereIsNotMade) {
    for (const char* const name : {"", "alcove-none", "a-name-that-is-too-long", "../tap0"})
        EXPECT_EQ(open_tap(name).error().code(), ErrorCode::NotFound) << name;
}

TEST(Tap, WhatIsNoTapIsRefused) {
    EXPECT_FALSE(open_tap("lo"));
}

}  // namespace
}  // namespace alcove::host

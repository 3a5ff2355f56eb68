// SPDX-License-Identifier: Apache-2.0
#include "eif/command_line.hpp"

#include <string>

#include <gtest/gtest.h>

namespace alcove::eif {
namespace {

TEST(CommandLineTest, TheDefaultsAreValid) {
    EXPECT_TRUE(check_command_line(kReferenceCommandLine));
    EXPECT_TRUE(check_command_line(kModularCommandLine));
    EXPECT_EQ(kModularCommandLine.find("nomodules"), std::string_view::npos);
}

TEST(CommandLineTest, TheMessageSaysWhichCharacter) {
    const auto checked = check_command_line("quiet\x07");
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().code(), ErrorCode::CommandLineInvalid);
    EXPECT_NE(checked.error().message().find("character 5"), std::string::npos);
    EXPECT_NE(checked.error().message().find("code 7"), std::string::npos);
}

TEST(CommandLineTest, TheKernelTakes2047Characters) {
    EXPECT_TRUE(check_command_line(std::string(2047, '~')));
    EXPECT_FALSE(check_command_line(std::string(2048, '~')));
}

}  // namespace
}  // namespace alcove::eif

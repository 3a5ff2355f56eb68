// SPDX-License-Identifier: Apache-2.0
#include "init/configuration.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::init {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Configuration, CommandIsOneArgumentALine) {
    const auto command = parse_command("/bin/echo\nhello world\n-n\n");
    ASSERT_TRUE(command);
    EXPECT_THAT(*command, ElementsAre("/bin/echo", "hello world", "-n"));
}

TEST(Configuration, CommandNeedsNoNewlineAtItsEnd) {
    const auto command = parse_command("/bin/sh\n-c\ntrue");
    ASSERT_TRUE(command);
    EXPECT_THAT(*command, ElementsAre("/bin/sh", "-c", "true"));
}

TEST(Configuration, EmptyLineOfACommandIsAnEmptyArgument) {
    const auto command = parse_command("/bin/echo\n\nend\n\n");
    ASSERT_TRUE(command);
    EXPECT_THAT(*command, ElementsAre("/bin/echo", "", "end", ""));
}

TEST(Configuration, CommandWithoutAProgramIsRefused) {
    EXPECT_FALSE(parse_command(""));
    EXPECT_FALSE(parse_command("\n"));
    EXPECT_FALSE(parse_command("\nargument\n"));
}

TEST(Configuration, ZeroByteIsRefusedWithItsLine) {
    const auto command = parse_command(std::string_view("/bin/a\nb\0c\n", 11));
    ASSERT_FALSE(command);
    EXPECT_EQ(command.error().message(), "line 2 contains a zero byte");
}

TEST(Configuration, EnvironmentKeepsEverythingBehindTheFirstEqualsSign) {
    const auto environment = parse_environment("PATH=/bin:/usr/bin\nOPTIONS=a=b \nEMPTY=\n");
    ASSERT_TRUE(environment);
    EXPECT_THAT(*environment, ElementsAre("PATH=/bin:/usr/bin", "OPTIONS=a=b ", "EMPTY="));
}

TEST(Configuration, EnvironmentMayBeEmpty) {
    const auto environment = parse_environment("\n\n");
    ASSERT_TRUE(environment);
    EXPECT_THAT(*environment, IsEmpty());
}

TEST(Configuration, EnvironmentLineWithoutANameIsRefusedWithItsLine) {
    const auto no_equals = parse_environment("A=1\nnonsense\n");
    ASSERT_FALSE(no_equals);
    EXPECT_EQ(no_equals.error().message(), "line 2 has no '='");
    const auto no_name = parse_environment("=value\n");
    ASSERT_FALSE(no_name);
    EXPECT_EQ(no_name.error().message(), "line 1 has no name before its '='");
}

TEST(Configuration, ModuleHasAPathAndPerhapsOptions) {
    const auto modules = parse_modules("/lib/vsock.ko.xz\n\n/lib/dummy.ko  numdummies=2 other=1\n");
    ASSERT_TRUE(modules);
    ASSERT_EQ(modules->size(), 2u);
    EXPECT_EQ((*modules)[0].path, "/lib/vsock.ko.xz");
    EXPECT_EQ((*modules)[0].options, "");
    EXPECT_FALSE((*modules)[0].optional);
    EXPECT_EQ((*modules)[1].path, "/lib/dummy.ko");
    EXPECT_EQ((*modules)[1].options, "numdummies=2 other=1");
}

TEST(Configuration, LeadingMinusMarksAnOptionalModule) {
    const auto modules = parse_modules("-/lib/ptp_kvm.ko\n");
    ASSERT_TRUE(modules);
    ASSERT_EQ(modules->size(), 1u);
    EXPECT_EQ(modules->front().path, "/lib/ptp_kvm.ko");
    EXPECT_TRUE(modules->front().optional);
}

TEST(Configuration, ModuleLineWithoutAPathIsRefused) {
    EXPECT_FALSE(parse_modules(" options=1\n"));
    EXPECT_FALSE(parse_modules("-\n"));
    EXPECT_FALSE(parse_modules("- /lib/a.ko\n"));
}

}  // namespace
}  // namespace alcove::init

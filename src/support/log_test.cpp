// SPDX-License-Identifier: Apache-2.0
#include "support/log.hpp"

#include <cstdlib>

#include <gtest/gtest.h>

namespace alcove {
namespace {

class LogTest : public ::testing::Test {
  protected:
    ~LogTest() override { ::unsetenv("ALCOVE_LOG"); }

    // What one line of each level leaves on the standard error.
    static std::string lines_at(const char* level) {
        ::setenv("ALCOVE_LOG", level, 1);
        log::start("test");
        return lines();
    }
    static std::string lines() {
        ::testing::internal::CaptureStderr();
        log::debug("line {}", "a");
        log::info("line {}", 'b');
        log::warn("line {:#x}", 12);
        log::error("line d");
        return ::testing::internal::GetCapturedStderr();
    }
    static bool has(const std::string& lines, const char* text) {
        return lines.find(text) != std::string::npos;
    }
};

TEST_F(LogTest, TheLevelDecidesWhichLinesAreWritten) {
    for (const auto* text : {"line a", "line b", "line 0xc", "line d"})
        EXPECT_TRUE(has(lines_at("debug"), text)) << text;

    const auto warnings = lines_at("warn");
    EXPECT_FALSE(has(warnings, "line a"));
    EXPECT_FALSE(has(warnings, "line b"));
    EXPECT_TRUE(has(warnings, "line 0xc"));
    EXPECT_TRUE(has(warnings, "line d"));
}

TEST_F(LogTest, ASilentLogWritesNothing) {
    EXPECT_NE(lines_at("debug"), "");
    log::silence();
    EXPECT_EQ(lines(), "");
}

}  // namespace
}  // namespace alcove

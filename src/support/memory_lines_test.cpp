// SPDX-License-Identifier: Apache-2.0
#include "support/memory_lines.hpp"

#include <gtest/gtest.h>

namespace alcove {
namespace {

constexpr std::string_view kMeminfo =
    "MemTotal:        8000000 kB\n"
    "MemFree:         3000000 kB\n"
    "SwapTotal:        100000 kB\n";

TEST(MemoryLines, ValuesAreFoundByWholeName) {
    EXPECT_EQ(memory_line(kMeminfo, "MemFree"), 3000000ULL * 1024);
    EXPECT_EQ(memory_line("Node 1 MemFree:  12 kB", "MemFree"), 12ULL * 1024);
    EXPECT_EQ(memory_line("VmRSS:\t      12 kB\n", "VmRSS"), 12ULL * 1024);
    EXPECT_EQ(memory_line(kMeminfo, "Free"), std::nullopt);
    EXPECT_EQ(memory_line("MemFree: kB\n", "MemFree"), std::nullopt);
    EXPECT_EQ(memory_line("MemFree:\nMemTotal: 1 kB\n", "MemFree"), std::nullopt);
    EXPECT_EQ(memory_line("MemFree: 99999999999999999999999 kB", "MemFree"), std::nullopt);
    EXPECT_EQ(memory_line("MemFree: 18446744073709551615 kB", "MemFree"), std::nullopt);
}

TEST(MemoryLines, AFileThatIsNotThereHasNone) {
    EXPECT_EQ(memory_line_of("/nonexistent/status", "VmRSS"), std::nullopt);
    EXPECT_GT(memory_line_of("/proc/self/status", "VmRSS"), uint64_t{0});
}

}  // namespace
}  // namespace alcove

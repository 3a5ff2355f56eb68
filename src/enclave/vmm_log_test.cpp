// SPDX-License-Identifier: Apache-2.0
#include "enclave/vmm_log.hpp"

#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::enclave {
namespace {

struct VmmLogTest : testing::Test {
    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    sys::Pair pipe = sys::pipe().value();
    std::unique_ptr<VmmLog> vmm_log = VmmLog::create(*loop, std::move(pipe.first)).value();

    void turn() {
        for (int i = 0; i < 10; ++i)
            ASSERT_TRUE(loop->run_once(std::chrono::milliseconds(0)));
    }
};

TEST_F(VmmLogTest, KeepsTheLastWholeLine) {
    ASSERT_TRUE(sys::write_all(pipe.second, as_byte_view("one\ntwo\nthr")));
    turn();
    EXPECT_EQ(vmm_log->last_line(), "two");

    ASSERT_TRUE(sys::write_all(pipe.second, as_byte_view("ee\n")));
    turn();
    EXPECT_EQ(vmm_log->last_line(), "three");
}

TEST_F(VmmLogTest, AtTheEndAnUnfinishedLineCounts) {
    ASSERT_TRUE(sys::write_all(pipe.second, as_byte_view("one\ncheck failed: x")));

    vmm_log->drain();

    EXPECT_EQ(vmm_log->last_line(), "check failed: x");
}

TEST_F(VmmLogTest, LinesAreBoundedAndPrintable) {
    ASSERT_TRUE(sys::write_all(pipe.second, Bytes(VmmLog::kMaxLine + 7, 0x1b)));
    ASSERT_TRUE(sys::write_all(pipe.second, as_byte_view("\n")));
    turn();

    EXPECT_EQ(vmm_log->last_line(), "???????");
}

TEST_F(VmmLogTest, AClosedPipeIsNotAskedAgain) {
    pipe.second.reset();
    turn();

    EXPECT_EQ(loop->run_once(std::chrono::milliseconds(0)).value(), 0U);
    vmm_log->drain();
    EXPECT_EQ(vmm_log->last_line(), "");
}

}  // namespace
}  // namespace alcove::enclave

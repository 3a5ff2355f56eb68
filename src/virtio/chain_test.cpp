// SPDX-License-Identifier: Apache-2.0
#include "virtio/chain.hpp"

#include <gtest/gtest.h>

namespace alcove::virtio {
namespace {

using memory::GuestAddress;
using memory::GuestMemory;
using memory::GuestSlice;

class ChainTest : public testing::Test {
  protected:
    ChainTest() : memory_(GuestMemory::create_anonymous({.base = GuestAddress(0), .size = 4096}).value()) {
        memory_->write_bytes(GuestAddress(0), as_byte_view("abc")).value();
        memory_->write_bytes(GuestAddress(100), as_byte_view("defgh")).value();
        slices_ = {memory_->slice(GuestAddress(0), 3).value(), memory_->slice(GuestAddress(100), 5).value()};
    }
    std::string copied(uint64_t offset, size_t length) const {
        Bytes bytes(length);
        bytes.resize(copy_from(slices_, offset, bytes));
        return std::string(as_text(bytes));
    }

    std::shared_ptr<GuestMemory> memory_;
    std::vector<GuestSlice> slices_;
};

TEST_F(ChainTest, CopiesCrossPiecesAndEndWithThem) {
    EXPECT_EQ(copied(0, 8), "abcdefgh");
    EXPECT_EQ(copied(2, 3), "cde");
    EXPECT_EQ(copied(3, 100), "defgh");
    EXPECT_EQ(copied(8, 1), "");
    EXPECT_EQ(copied(~uint64_t{0}, 1), "");
}

TEST_F(ChainTest, WritingCrossesPiecesAndEndsWithThem) {
    EXPECT_EQ(copy_to(*memory_, slices_, 2, as_byte_view("XYZ")), 3U);
    EXPECT_EQ(copied(0, 8), "abXYZfgh");
    EXPECT_EQ(copy_to(*memory_, slices_, 7, as_byte_view("123")), 1U);
    EXPECT_EQ(copied(0, 8), "abXYZfg1");
}

TEST_F(ChainTest, APartKeepsThePiecesItTouches) {
    std::vector<GuestSlice> part;

    append_part(slices_, 2, 3, part);
    append_part(slices_, 3, 2, part);

    ASSERT_EQ(part.size(), 3U);
    EXPECT_EQ(part[0].size(), 1U);
    EXPECT_EQ(part[1].size(), 2U);
    EXPECT_EQ(part[2].size(), 2U);
}

}  // namespace
}  // namespace alcove::virtio

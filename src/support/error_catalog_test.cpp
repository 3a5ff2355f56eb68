// SPDX-License-Identifier: Apache-2.0
#include "support/error_catalog.hpp"

#include <set>

#include <gtest/gtest.h>

namespace alcove {
namespace {

TEST(ErrorCatalog, CodesAscendAndNamesAreUnique) {
    std::set<std::string_view> names;
    uint16_t last = 0;
    for (const auto& entry : error_catalog()) {
        EXPECT_GT(static_cast<uint16_t>(entry.code), last) << entry.name;
        EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
        EXPECT_FALSE(entry.remedy.empty()) << entry.name;
        last = static_cast<uint16_t>(entry.code);
    }
}

TEST(ErrorCatalog, FindsByLabelInEitherCaseAndByName) {
    EXPECT_EQ(find_error("E32")->code, ErrorCode::ImageCrc);
    EXPECT_EQ(find_error("e02")->code, ErrorCode::InvalidArgument);
    EXPECT_EQ(find_error("image-crc")->code, ErrorCode::ImageCrc);
    EXPECT_FALSE(find_error("E00").has_value());
    EXPECT_FALSE(find_error("").has_value());
}

TEST(Error, TextHasContextsOutermostFirstAndTheErrnoLast) {
    const auto error =
        Error::from_errno(2, "open x").context("loading ramdisk 2").context("starting enclave a");
    EXPECT_EQ(error.to_string(), "starting enclave a: loading ramdisk 2: open x: No such file or directory");
}

}  // namespace
}  // namespace alcove

// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/failure_code.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace alcove::nitro_cli {
namespace {

using testing::HasSubstr;

TEST(FailureCode, LabelsAreFoundAgain) {
    for (unsigned number = 0; number < kFailureCodes; ++number) {
        const auto code = static_cast<FailureCode>(number);
        EXPECT_EQ(find_code(label_of(code)), code);
        EXPECT_EQ(code_of(fail(code, "x").error), code);
    }
    EXPECT_EQ(find_code("e26"), FailureCode::InsufficientMemoryRequested);
    for (const char* none : {"", "E", "E6", "E61", "E260", "26", "X26", "E-1"})
        EXPECT_FALSE(find_code(none)) << none;
}

TEST(FailureCode, EveryCodeHasATextAndARemedy) {
    for (unsigned number = 0; number < kFailureCodes; ++number) {
        const auto& entry = entry_of(static_cast<FailureCode>(number));
        EXPECT_FALSE(entry.title.empty()) << number;
        EXPECT_FALSE(entry.meaning.empty()) << number;
        EXPECT_FALSE(entry.remedy.empty()) << number;
    }
    // That no line is missing in the middle.
    EXPECT_THAT(entry_of(FailureCode::InsufficientMemoryRequested).meaning, HasSubstr("four times"));
    EXPECT_THAT(entry_of(FailureCode::EnclaveBoot).meaning, HasSubstr("port 9000"));
    EXPECT_THAT(entry_of(FailureCode::Signing).title, HasSubstr("Not signed"));
}

TEST(FailureCode, AnErrorShowsCodeReasonAndRemedy) {
    const auto text = failure_text(fail(FailureCode::EnclaveBoot, "it ended").error);

    EXPECT_THAT(text, HasSubstr("[ E36 ] "));
    EXPECT_THAT(text, HasSubstr("it ended"));
    EXPECT_THAT(text, HasSubstr("What to do: "));
    EXPECT_THAT(text, HasSubstr("explain --error-code E36"));
}

TEST(FailureCode, OtherErrorsGetTheCodeOfWhatWasDone) {
    const auto result = coded<int>(FailureCode::FileOperation, alcove::fail(ErrorCode::NotFound, "no file"));

    EXPECT_EQ(code_of(result.error()), FailureCode::FileOperation);
    EXPECT_EQ(result.error().to_string(), "no file");
    EXPECT_EQ(code_of(Error(ErrorCode::NotFound, "no file")), FailureCode::Unspecified);
}

}  // namespace
}  // namespace alcove::nitro_cli

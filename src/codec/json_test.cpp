// SPDX-License-Identifier: Apache-2.0
#include "codec/json.hpp"

#include <array>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace alcove::codec::json {
namespace {

TEST(JsonTest, WhatIsParsedIsDumpedInItsOrder) {
    const std::string_view text = R"({"z":1,"a":[true,null,-2,1.5,"x\ny"],"m":{"b":{},"a":[]}})";
    EXPECT_EQ(dump(parse(text).value()), text);
}

TEST(JsonTest, ScalarsAreTextsToo) {
    EXPECT_EQ(dump(parse(" 7 ").value()), "7");
    EXPECT_EQ(dump(parse("null").value()), "null");
}

TEST(JsonTest, MalformedTextsAreRefusedWithThePlace) {
    for (const std::string_view text :
         {"", "{", "[1,]", "{\"a\":1}x", "{'a':1}", "\"\xff\"", "nul", "[1 2]", "{\"a\":}", "1e999", "/**/1"})
        EXPECT_EQ(parse(text).error().code(), ErrorCode::JsonMalformed) << text;
    EXPECT_NE(parse("[1,]").error().to_string().find("byte 4"), std::string::npos);
}

TEST(JsonTest, ANameThatStandsTwiceIsRefused) {
    EXPECT_EQ(parse(R"({"a":1,"b":2,"a":3})").error().code(), ErrorCode::JsonMalformed);
    EXPECT_TRUE(parse(R"({"a":{"a":1},"b":{"a":1}})"));
}

TEST(JsonTest, LimitsHold) {
    const Limits limits{.bytes = 10, .depth = 2};
    EXPECT_TRUE(parse("[[1,2]]", limits));
    EXPECT_EQ(parse("[[[]]]", limits).error().code(), ErrorCode::LimitExceeded);
    EXPECT_EQ(parse("[1,2,3,4,5]", limits).error().code(), ErrorCode::LimitExceeded);
    EXPECT_EQ(parse(std::string(1000000, '[')).error().code(), ErrorCode::LimitExceeded);
}

TEST(JsonTest, FieldsComeWithTheirTypes) {
    const Json object =
        parse(R"({"t":"x","b":true,"u":18446744073709551615,"o":{},"a":[],"n":null})").value();
    EXPECT_EQ(text_field(object, "t").value(), "x");
    EXPECT_EQ(boolean_field(object, "b").value(), true);
    EXPECT_EQ(unsigned_field(object, "u").value(), UINT64_MAX);
    EXPECT_TRUE(object_field(object, "o").value()->empty());
    EXPECT_TRUE(array_field(object, "a").value()->empty());
    EXPECT_EQ(optional_text_field(object, "n").value(), std::nullopt);
    EXPECT_EQ(optional_unsigned_field(object, "missing").value(), std::nullopt);
    EXPECT_EQ(optional_object_field(object, "missing").value(), nullptr);
}

TEST(JsonTest, ErrorsNameTheField) {
    const Json object = parse(R"({"t":1,"u":-1,"f":1.5})").value();
    for (const auto& error : {text_field(object, "t").error(), text_field(object, "t2").error()})
        EXPECT_NE(error.to_string().find("\"t"), std::string::npos);
    EXPECT_FALSE(unsigned_field(object, "u"));
    EXPECT_FALSE(unsigned_field(object, "f"));
    EXPECT_FALSE(optional_text_field(object, "t"));
    EXPECT_FALSE(boolean_field(object, "t"));
    EXPECT_FALSE(object_field(object, "t"));
    EXPECT_FALSE(array_field(object, "t"));
    EXPECT_EQ(text_field(Json::array(), "t").error().code(), ErrorCode::JsonMalformed);
}

TEST(JsonTest, FieldsThatNobodyKnowsAreNamed) {
    constexpr std::array<std::string_view, 2> kKnown = {"a", "b"};
    EXPECT_TRUE(check_fields(parse(R"({"b":1})").value(), kKnown));
    EXPECT_EQ(check_fields(parse("[]").value(), kKnown).error().code(), ErrorCode::JsonMalformed);

    const auto unknown = check_fields(parse(R"({"a":1,"c":2})").value(), kKnown);

    EXPECT_EQ(unknown.error().code(), ErrorCode::InvalidArgument);
    EXPECT_NE(unknown.error().message().find("'c'"), std::string::npos);
}

TEST(JsonTest, DumpingInvalidUtf8DoesNotThrow) {
    EXPECT_EQ(dump(Json("a\xff")), "\"a\xef\xbf\xbd\"");
}

TEST(JsonTest, AnObjectOfManyFieldsIsReadInReasonableTime) {
    std::string text = "{";
    for (int index = 0; index < 60000; ++index)
        text += "\"" + std::to_string(index) + "\":0,";
    text += "\"last\":1}";
    EXPECT_EQ(parse(text).value().size(), 60001U);
}

}  // namespace
}  // namespace alcove::codec::json

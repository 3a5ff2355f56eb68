// SPDX-License-Identifier: Apache-2.0
#include "eif/metadata.hpp"

#include <gtest/gtest.h>

namespace alcove::eif {
namespace {

Result<Metadata> parse(std::string_view text) {
    return Metadata::parse(as_byte_view(text));
}

Metadata full() {
    return {.image_name = "name",
            .image_version = "1.0",
            .build = {"2024-01-01T00:00:00Z", "tool", "2", "Linux", "6.12"},
            .docker_info = R"({"Id":"x"})",
            .custom = R"(["anything",1])"};
}

TEST(MetadataTest, WhatIsEncodedIsParsed) {
    const Bytes encoded = full().encode().value();
    EXPECT_EQ(Metadata::parse(encoded).value(), full());
    EXPECT_EQ(
        as_text(Metadata{}.encode().value()),
        R"({"ImageName":"","ImageVersion":"","BuildMetadata":{"BuildTime":"","BuildTool":"","BuildToolVersion":"",)"
        R"("OperatingSystem":"","KernelVersion":""},"DockerInfo":null,"CustomMetadata":null})");
}

TEST(MetadataTest, MissingAndNullFieldsAreEmpty) {
    EXPECT_EQ(parse("{}").value(), Metadata{});
    EXPECT_EQ(parse(R"({"ImageName":null,"DockerInfo":null,"CustomMetadata":null,"Other":1})").value(),
              Metadata{});
}

TEST(MetadataTest, WhatIsNoSuchObjectIsInvalid) {
    for (const std::string_view text :
         {"", "[]", "1", "{", R"({"ImageName":1})", R"({"BuildMetadata":"x"})",
          R"({"BuildMetadata":{"BuildTime":[]}})", R"({"DockerInfo":[]})", "\xff"})
        EXPECT_EQ(parse(text).error().code(), ErrorCode::MetadataInvalid) << text;
}

TEST(MetadataTest, CustomMetadataIsBounded) {
    Metadata metadata;
    metadata.custom = "\"" + std::string(4094, 'a') + "\"";
    EXPECT_TRUE(Metadata::parse(metadata.encode().value()));
    metadata.custom = "\"" + std::string(4095, 'a') + "\"";
    EXPECT_EQ(metadata.encode().error().code(), ErrorCode::MetadataInvalid);
    EXPECT_EQ(parse("{\"CustomMetadata\":" + *metadata.custom + "}").error().code(),
              ErrorCode::MetadataInvalid);
}

TEST(MetadataTest, CustomMetadataMustBeJson) {
    Metadata metadata;
    metadata.custom = "not json";
    EXPECT_EQ(metadata.encode().error().code(), ErrorCode::MetadataInvalid);
}

}  // namespace
}  // namespace alcove::eif

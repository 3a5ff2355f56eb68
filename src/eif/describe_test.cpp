// SPDX-License-Identifier: Apache-2.0
#include "eif/describe.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "codec/hex.hpp"
#include "eif/certificate_outline.hpp"
#include "eif/image_writer.hpp"
#include "eif/raw_image.hpp"
#include "eif/test_support.hpp"

namespace alcove::eif {
namespace {

Bytes signed_usual(const TestSigner& signer) {
    const Bytes file = RawImage::usual().assemble();
    const Fd output = sys::memfd("image").value();
    sign_image(Image::parse(file).value(), signer.view(), output).value();
    return content_of(output);
}

ImageDescription describe_file(const Bytes& file, crypto::TimePoint time = test_time()) {
    const Image image = Image::parse(file).value();
    return describe(image, measure(image), time);
}

TEST(DescribeTest, AnUnsignedImagePrintsAsNitroCliPrintsIt) {
    const auto json = nitro_description_json(describe_file(RawImage::usual().assemble()));

    EXPECT_EQ(json["EifVersion"], 4);
    EXPECT_EQ(json["IsSigned"], false);
    EXPECT_EQ(json["CheckCRC"], true);
    EXPECT_EQ(json["ImageName"], "name");
    EXPECT_EQ(json["ImageVersion"], "1");
    EXPECT_EQ(json["Measurements"]["HashAlgorithm"], "Sha384 { ... }");
    EXPECT_EQ(json["Measurements"]["PCR0"].get<std::string>().size(), 96U);
    EXPECT_FALSE(json["Measurements"].contains("PCR8"));
    EXPECT_FALSE(json.contains("SigningCertificate"));
    EXPECT_FALSE(json.contains("SignatureCheck"));
    EXPECT_TRUE(json["Metadata"].contains("BuildTool"));
    EXPECT_TRUE(json["Metadata"].contains("DockerInfo"));
}

TEST(DescribeTest, TheUsersMetadataStandsAmongTheBuilders) {
    auto image = RawImage::usual();
    for (auto& part : image.parts)
        if (part.type == static_cast<uint16_t>(SectionType::Metadata))
            part.payload =
                text_bytes(R"({"ImageName":"n","ImageVersion":"1","BuildMetadata":{"BuildTool":"t"},)"
                           R"("DockerInfo":null,"CustomMetadata":{"team":"x","BuildTool":"lie"}})");
    const auto metadata = nitro_description_json(describe_file(image.assemble()))["Metadata"];

    EXPECT_EQ(metadata["BuildTool"], "t");
    EXPECT_EQ(metadata["team"], "x");
    EXPECT_FALSE(metadata.contains("CustomMetadata"));
}

TEST(DescribeTest, ASignedImageShowsItsCertificate) {
    const TestSigner signer = TestSigner::make();
    const auto json = nitro_description_json(describe_file(signed_usual(signer)));

    EXPECT_EQ(json["IsSigned"], true);
    EXPECT_EQ(json["SignatureCheck"], true);
    EXPECT_EQ(json["Measurements"]["PCR8"], codec::hex_encode(pcr_of_certificate(signer.certificate)));
    const auto& certificate = json["SigningCertificate"];
    EXPECT_EQ(certificate["IssuerName"]["commonName"], "signer");
    EXPECT_EQ(certificate["IssuerName"]["countryName"], "XX");
    EXPECT_EQ(certificate["Algorithm"], "ecdsa-with-SHA384");
    EXPECT_EQ(certificate["NotBefore"], "Dec 27 00:00:00 2023 GMT");
    EXPECT_EQ(certificate["NotAfter"], "Jan  6 00:00:00 2024 GMT");
    EXPECT_GT(certificate["Signature"].get<std::string>().size(), 180U);
}

TEST(DescribeTest, AnExpiredCertificateIsDescribedAndDoesNotCheck) {
    const auto description =
        describe_file(signed_usual(TestSigner::make()), test_time() + std::chrono::hours(24 * 30));
    EXPECT_TRUE(description.signature->problem.has_value());
    EXPECT_TRUE(description.signature->certificate.has_value());
    EXPECT_EQ(nitro_description_json(description)["SignatureCheck"], false);
}

TEST(DescribeTest, DamageIsDescribed) {
    RawImage raw = RawImage::usual();
    raw.parts[2].payload = text_bytes("no json");
    raw.parts.push_back({4, text_bytes("no signature")});
    Bytes file = raw.assemble();
    file.back() ^= 1;

    const auto description = describe_file(file);
    const auto json = description_json(description);

    EXPECT_FALSE(description.crc_matches());
    EXPECT_EQ(json["CheckCRC"], false);
    EXPECT_EQ(json["SignatureCheck"], false);
    EXPECT_FALSE(json["SignatureProblem"].get<std::string>().empty());
    EXPECT_FALSE(json["MetadataProblem"].get<std::string>().empty());
    EXPECT_FALSE(json.contains("ImageName"));
}

TEST(DescribeTest, OurFormHasTheSectionsAndTheCommandLine) {
    const auto json = description_json(describe_file(RawImage::usual().assemble()));
    EXPECT_EQ(json["Architecture"], "x86_64");
    EXPECT_EQ(json["CommandLine"], "console=ttyS0");
    ASSERT_EQ(json["Sections"].size(), 5U);
    EXPECT_EQ(json["Sections"][0]["Type"], "kernel");
    EXPECT_EQ(json["Sections"][0]["Offset"], 548);
    EXPECT_EQ(json["Sections"][0]["Size"], 10);
}

TEST(CertificateOutlineTest, EveryTruncationIsRefused) {
    const Bytes der = TestSigner::make().certificate.der();
    ASSERT_TRUE(outline_certificate(der));
    for (size_t length = 0; length < der.size(); ++length)
        EXPECT_FALSE(outline_certificate(ByteView(der).first(length))) << length;
}

}  // namespace
}  // namespace alcove::eif

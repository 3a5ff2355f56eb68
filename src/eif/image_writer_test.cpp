// SPDX-License-Identifier: Apache-2.0
#include "eif/image_writer.hpp"

#include <gtest/gtest.h>

#include "eif/raw_image.hpp"
#include "eif/test_support.hpp"
#include "eif/verify.hpp"
#include "support/bits.hpp"

namespace alcove::eif {
namespace {

struct Written {
    Measurements measurements;
    Bytes file;
};

Written write(const RawImage& raw) {
    const Fd output = sys::memfd("image").value();
    ImageWriter writer(output, {.version = raw.version});
    for (const auto& part : raw.parts)
        writer.add(static_cast<SectionType>(part.type), part.payload).value();
    const Measurements measurements = writer.finish().value();
    return {measurements, content_of(output)};
}

TEST(ImageWriterTest, WritesTheBytesOfTheFormat) {
    EXPECT_EQ(write(RawImage::usual()).file, RawImage::usual().assemble());
    RawImage older = RawImage::usual();
    older.version = 3;
    older.parts.erase(older.parts.begin() + 2);
    EXPECT_EQ(write(older).file, older.assemble());
}

TEST(ImageWriterTest, MeasuresWhatItWrites) {
    RawImage raw = RawImage::usual();
    raw.parts[4].payload = Bytes(3'000'000, 7);  // more than a buffer
    raw.parts.push_back({3, Bytes(1'048'576, 8)});
    const Written written = write(raw);
    EXPECT_EQ(written.file, raw.assemble());
    EXPECT_EQ(written.measurements, measure(Image::parse(written.file).value()));
}

TEST(ImageWriterTest, PiecesMakeTheSameSection) {
    const RawImage raw = RawImage::usual();
    const Fd output = sys::memfd("image").value();
    ImageWriter writer(output, {});
    for (const auto& part : raw.parts) {
        ASSERT_TRUE(writer.begin(static_cast<SectionType>(part.type)));
        for (const uint8_t& byte : part.payload)
            ASSERT_TRUE(writer.append(ByteView(&byte, 1)));
        ASSERT_TRUE(writer.end());
    }
    ASSERT_TRUE(writer.finish());
    EXPECT_EQ(content_of(output), raw.assemble());
    EXPECT_EQ(writer.size(), raw.assemble().size());
}

TEST(ImageWriterTest, ASignedImageVerifies) {
    const TestSigner signer = TestSigner::make();
    const Fd output = sys::memfd("image").value();
    ImageWriter writer(output, {});
    for (const auto& part : RawImage::usual().parts)
        ASSERT_TRUE(writer.add(static_cast<SectionType>(part.type), part.payload));
    ASSERT_TRUE(writer.sign(signer.view()));
    const Measurements measurements = writer.finish().value();

    const Bytes file = content_of(output);
    const Image image = Image::parse(file).value();
    const auto signature = verify_image(image, measurements, test_time());

    ASSERT_TRUE(signature) << signature.error().to_string();
    EXPECT_EQ(signature->value().pcr8(), pcr_of_certificate(signer.certificate));
    EXPECT_EQ(measure(image), measurements);
    EXPECT_EQ(image.sections().back().type, SectionType::Signature);
}

TEST(ImageWriterTest, WhatWouldNotBeReadIsNotWritten) {
    const Fd output = sys::memfd("image").value();
    const auto code_of = [](const Result<void>& result) {
        return result ? ErrorCode{} : result.error().code();
    };
    EXPECT_EQ(code_of(ImageWriter(output, {}).add(SectionType::Ramdisk, {})), ErrorCode::ImageSection);
    EXPECT_EQ(code_of(ImageWriter(output, {}).add(SectionType::Kernel, {})), ErrorCode::ImageSection);
    EXPECT_EQ(code_of(ImageWriter(output, {}).add(SectionType::CommandLine, as_byte_view("a\n"))),
              ErrorCode::CommandLineInvalid);
    EXPECT_EQ(ImageWriter(output, {}).finish().error().code(), ErrorCode::ImageSection);

    ImageWriter full(output, {.version = 3});
    ASSERT_TRUE(full.add(SectionType::Kernel, as_byte_view("k")));
    ASSERT_TRUE(full.add(SectionType::CommandLine, {}));
    for (size_t index = 2; index < 32; ++index)
        ASSERT_TRUE(full.add(SectionType::Ramdisk, {}));
    EXPECT_EQ(code_of(full.add(SectionType::Ramdisk, {})), ErrorCode::ImageSection);
}

TEST(SignImageTest, ReplacesASignatureAndClosesGaps) {
    const TestSigner first = TestSigner::make();
    const TestSigner second = TestSigner::make(crypto::Curve::P521);
    RawImage raw = RawImage::usual();
    raw.parts[3].gap_before = 1000;
    const Bytes unsigned_file = raw.assemble();
    const Measurements before = measure(Image::parse(unsigned_file).value());

    const Fd once = sys::memfd("once").value();
    ASSERT_TRUE(sign_image(Image::parse(unsigned_file).value(), first.view(), once));
    const Bytes once_file = content_of(once);
    const Fd twice = sys::memfd("twice").value();
    ASSERT_TRUE(sign_image(Image::parse(once_file).value(), second.view(), twice));
    const Bytes twice_file = content_of(twice);

    const Image image = Image::parse(twice_file).value();
    const Measurements after = measure(image);
    EXPECT_EQ(image.sections().size(), 6U);
    EXPECT_EQ(before.pcr0, after.pcr0);
    EXPECT_EQ(verify_image(image, after, test_time()).value().value().pcr8(),
              pcr_of_certificate(second.certificate));
}

TEST(SignImageTest, AnImageOfVersionTwoBecomesVersionThree) {
    const TestSigner signer = TestSigner::make();
    RawImage raw = RawImage::usual();
    raw.version = 2;
    raw.parts.erase(raw.parts.begin() + 2);
    const Bytes file = raw.assemble();
    const Fd output = sys::memfd("image").value();
    ASSERT_TRUE(sign_image(Image::parse(file).value(), signer.view(), output));
    const Bytes signed_file = content_of(output);
    EXPECT_EQ(Image::parse(signed_file).value().version(), 3);
}

TEST(VerifyImageTest, EveryChangedByteIsFound) {
    const TestSigner signer = TestSigner::make(crypto::Curve::P256);
    const Bytes unsigned_file = RawImage::usual().assemble();
    const Fd output = sys::memfd("image").value();
    ASSERT_TRUE(sign_image(Image::parse(unsigned_file).value(), signer.view(), output));
    const Bytes good = content_of(output);
    for (size_t index = 0; index < good.size(); ++index) {
        Bytes changed = good;
        changed[index] ^= 0x10;
        const auto image = Image::parse(changed);
        EXPECT_TRUE(!image || !verify_image(*image, measure(*image), test_time())) << index;
    }
}

TEST(VerifyImageTest, AChangedPayloadWithARightChecksumFailsTheSignature) {
    const TestSigner signer = TestSigner::make();
    const Bytes unsigned_file = RawImage::usual().assemble();
    const Fd output = sys::memfd("image").value();
    ASSERT_TRUE(sign_image(Image::parse(unsigned_file).value(), signer.view(), output));
    Bytes changed = content_of(output);
    changed[548 + 12] ^= 1;
    EXPECT_EQ(verify_image(Image::parse(changed).value(), measure(Image::parse(changed).value()), test_time())
                  .error()
                  .code(),
              ErrorCode::ImageCrc);
    fix_crc(changed);
    EXPECT_EQ(verify_image(Image::parse(changed).value(), measure(Image::parse(changed).value()), test_time())
                  .error()
                  .code(),
              ErrorCode::ImageSignature);
}

TEST(VerifyImageTest, AnUnsignedImageHasNoSignature) {
    const Bytes file = RawImage::usual().assemble();
    const Image image = Image::parse(file).value();
    EXPECT_FALSE(verify_image(image, measure(image), test_time()).value().has_value());
}

TEST(VerifyImageTest, WrongMetadataIsFoundAndLeavesTheImageIntact) {
    RawImage raw = RawImage::usual();
    const Bytes good = raw.assemble();
    EXPECT_TRUE(verify_metadata(Image::parse(good).value()));
    for (const Bytes& wrong : {text_bytes("\xff\xff"), text_bytes("[]"), Bytes(2_MiB, ' ')}) {
        raw.parts[2].payload = wrong;
        const Bytes file = raw.assemble();
        const Image image = Image::parse(file).value();
        EXPECT_EQ(verify_metadata(image).error().code(), ErrorCode::MetadataInvalid);
        EXPECT_TRUE(verify_image(image, measure(image), test_time()));
    }
}

}  // namespace
}  // namespace alcove::eif

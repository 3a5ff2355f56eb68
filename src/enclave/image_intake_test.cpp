// SPDX-License-Identifier: Apache-2.0
#include "enclave/image_intake.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "api/limits.hpp"
#include "enclave/image_for_tests.hpp"
#include "support/mapping.hpp"

namespace alcove::enclave {
namespace {

const std::atomic<bool> kNotCancelled = false;

ImageIntake intake_of(const TestImage& image) {
    return {.image_bytes = image.size,
            .guest_memory_bytes = 256_MiB,
            .time = std::chrono::system_clock::now(),
            .report = nullptr};
}

ErrorCode refusal_of(const TestImage& image, const ImageIntake& intake) {
    const auto taken = take_image(image.file, intake, kNotCancelled);
    return taken ? ErrorCode{} : taken.error().code();
}

Bytes content_of(const Fd& file, uint64_t size) {
    Bytes content(size);
    sys::read_exact_at(file, content, 0).value();
    return content;
}

TEST(ImageIntake, TheCopyIsTheImageAndIsMeasured) {
    const auto image = make_test_image(3'000'000);

    const auto taken = take_image(image.file, intake_of(image), kNotCancelled);

    ASSERT_TRUE(taken) << taken.error().to_string();
    EXPECT_EQ(content_of(taken->image, image.size), content_of(image.file, image.size));
    EXPECT_EQ(taken->facts.pcr0, image.measurements.pcr0);
    EXPECT_EQ(taken->facts.pcr1, image.measurements.pcr1);
    EXPECT_EQ(taken->facts.pcr2, image.measurements.pcr2);
    EXPECT_EQ(taken->facts.pcr8, eif::kZeroPcr);
    EXPECT_FALSE(taken->facts.is_signed);
}

TEST(ImageIntake, NobodyCanChangeTheCopy) {
    const auto image = make_test_image();

    const auto taken = take_image(image.file, intake_of(image), kNotCancelled).value();

    EXPECT_EQ(::fcntl(taken.image.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
    const auto writable = sys::open("/proc/self/fd/" + std::to_string(taken.image.get()), O_RDWR);
    ASSERT_TRUE(writable);  // our own file: what protects it are the seals
    EXPECT_FALSE(sys::write_all_at(*writable, as_byte_view("x"), 0));
    EXPECT_FALSE(sys::truncate(*writable, 1));
    EXPECT_FALSE(sys::truncate(*writable, image.size + 1));
    EXPECT_FALSE(Mapping::shared(*writable, 4096));
}

TEST(ImageIntake, ASignedImageCarriesItsSigner) {
    const auto image = make_test_image(1000, TestSignature::Valid);

    const auto taken = take_image(image.file, intake_of(image), kNotCancelled);

    ASSERT_TRUE(taken) << taken.error().to_string();
    EXPECT_TRUE(taken->facts.is_signed);
    EXPECT_EQ(taken->facts.pcr8, eif::pcr_of_certificate(*image.certificate));
    EXPECT_NE(taken->facts.certificate_subject.find("image signer"), std::string::npos);
    EXPECT_LT(taken->facts.certificate_not_before, taken->facts.certificate_not_after);
}

TEST(ImageIntake, AnExpiredSignerIsRefused) {
    const auto image = make_test_image(1000, TestSignature::Expired);

    EXPECT_EQ(refusal_of(image, intake_of(image)), ErrorCode::ImageCertificateExpired);
}

TEST(ImageIntake, OneChangedByteIsRefused) {
    const auto image = make_test_image();
    ASSERT_TRUE(sys::write_all_at(image.file, as_byte_view("!"), image.size - 5));

    EXPECT_EQ(refusal_of(image, intake_of(image)), ErrorCode::ImageCrc);
}

TEST(ImageIntake, AFileShorterThanAnnouncedIsRefused) {
    const auto image = make_test_image();
    auto intake = intake_of(image);
    intake.image_bytes += 1;

    EXPECT_EQ(refusal_of(image, intake), ErrorCode::Truncated);
}

TEST(ImageIntake, AnImageCutShortIsRefused) {
    const auto image = make_test_image();
    for (const uint64_t size : {uint64_t{1}, uint64_t{547}, uint64_t{548}, uint64_t{600}, image.size - 1}) {
        auto intake = intake_of(image);
        intake.image_bytes = size;

        EXPECT_EQ(refusal_of(image, intake), ErrorCode::ImageMalformed) << size;
    }
}

TEST(ImageIntake, WhatIsNoImageIsRefused) {
    TestImage image = make_test_image();
    image.file = sys::memfd("nonsense").value();
    ASSERT_TRUE(sys::write_all(image.file, Bytes(image.size, 0x5a)));

    EXPECT_EQ(refusal_of(image, intake_of(image)), ErrorCode::ImageMalformed);
}

TEST(ImageIntake, AnImageThatDoesNotFitIntoMemoryIsRefused) {
    const auto image = make_test_image(4'000'000);
    auto intake = intake_of(image);
    intake.guest_memory_bytes = 4_MiB;

    EXPECT_EQ(refusal_of(image, intake), ErrorCode::RamdiskTooLarge);
}

TEST(ImageIntake, APipeIsNoImage) {
    const auto pipe = sys::pipe().value();
    const auto image = make_test_image();

    EXPECT_EQ(take_image(pipe.first, intake_of(image), kNotCancelled).error().code(),
              ErrorCode::InvalidArgument);
}

TEST(ImageIntake, CopyingCanBeCancelled) {
    const auto image = make_test_image();
    const std::atomic<bool> cancelled = true;

    EXPECT_EQ(take_image(image.file, intake_of(image), cancelled).error().code(), ErrorCode::Cancelled);
}

TEST(ImageIntake, ProgressEndsAtTheWholeSize) {
    const auto image = make_test_image(9'000'000);
    auto intake = intake_of(image);
    std::vector<uint64_t> reports;
    intake.report = [&reports](uint64_t done) { reports.push_back(done); };

    ASSERT_TRUE(take_image(image.file, intake, kNotCancelled));

    EXPECT_EQ(reports, (std::vector<uint64_t>{4_MiB, 8_MiB, image.size}));
}

}  // namespace
}  // namespace alcove::enclave

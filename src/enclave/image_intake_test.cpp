// SPDX-License-Identifier: Apache-2.0
#include "enclave/image_intake.hpp"

#include <fcntl.h>
#include <linux/memfd.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "api/limits.hpp"
#include "enclave/image_for_tests.hpp"
#include "enclave/image_room.hpp"
#include "memory/memory_file_test.hpp"
#include "support/mapping.hpp"

namespace alcove::enclave {
namespace {

using memory::bytes_in_use;

const std::atomic<bool> kNever = false;

ImageIntake intake_of(const TestImage& image) {
    return {.location = {.bytes = image.size},
            .guest_memory_bytes = 256_MiB,
            .time = std::chrono::system_clock::now(),
            .report = nullptr};
}

ErrorCode refusal_of(const TestImage& image, const ImageIntake& intake) {
    const auto taken = take_image(image.file, intake, kNever);
    return taken ? ErrorCode{} : taken.error().code();
}

Bytes content_of(const Fd& file, uint64_t size) {
    Bytes content(size);
    sys::read_exact_at(file, content, 0).value();
    return content;
}

TEST(ImageIntake, TheCopyIsTheImageAndIsMeasured) {
    const auto image = make_test_image(3'000'000);

    const auto taken = take_image(image.file, intake_of(image), kNever);

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

    const auto taken = take_image(image.file, intake_of(image), kNever).value();

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

    const auto taken = take_image(image.file, intake_of(image), kNever);

    ASSERT_TRUE(taken) << taken.error().to_string();
    EXPECT_TRUE(taken->facts.is_signed);
    EXPECT_EQ(taken->facts.pcr8, eif::pcr_of_certificate(*image.certificate));
    EXPECT_NE(taken->facts.certificate_subject.find("image signer"), std::string::npos);
    EXPECT_LT(taken->facts.certificate_not_before, taken->facts.certificate_not_after);
}

TEST(ImageIntake, AnImageForOtherProcessorsIsRefused) {
    const auto image = make_test_image(1000, TestSignature::None, eif::Architecture::AArch64);

    EXPECT_EQ(refusal_of(image, intake_of(image)), ErrorCode::KernelInvalid);
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
    intake.location.bytes = image.size + 1;

    EXPECT_EQ(refusal_of(image, intake), ErrorCode::Truncated);
}

TEST(ImageIntake, AnImageCutShortIsRefused) {
    const auto image = make_test_image();
    for (const uint64_t size : {uint64_t{1}, uint64_t{547}, uint64_t{548}, uint64_t{600}, image.size - 1}) {
        auto intake = intake_of(image);
        intake.location.bytes = size;

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

    EXPECT_EQ(take_image(pipe.first, intake_of(image), kNever).error().code(), ErrorCode::InvalidArgument);
}

// An image in a piece of memory, with something behind it, whose size nobody says.
struct InMemory {
    static constexpr uint64_t kOffset = 8_MiB;
    TestImage image = make_test_image(3'000'000);
    Fd memory = sys::memfd("memory").value();
    ImageIntake intake = intake_of(image);

    InMemory() {
        EXPECT_TRUE(sys::write_all_at(memory, content_of(image.file, image.size), kOffset));
        EXPECT_TRUE(sys::write_all_at(memory, Bytes(10'000, 0x5a), kOffset + image.size));
        EXPECT_TRUE(sys::truncate(memory, 16_MiB));
        intake.location = {.offset = kOffset, .bytes = std::nullopt};
    }
    ErrorCode refusal() const {
        const auto taken = take_image(memory, intake, kNever);
        return taken ? ErrorCode{} : taken.error().code();
    }
    // The big-endian size in the header of the last section.
    void set_last_size(const std::array<uint8_t, 8>& size) const {
        Bytes field(8);
        sys::read_exact_at(memory, field, kOffset + 28 + 8 * 4).value();  // the fifth of the offsets
        uint64_t last = 0;
        for (const uint8_t byte : field)
            last = last << 8 | byte;
        sys::write_all_at(memory, size, kOffset + last + 4).value();
    }
};

TEST(ImageIntake, AnImageInMemorySaysItselfHowLargeItIs) {
    const InMemory one;

    const auto taken = take_image(one.memory, one.intake, kNever);

    ASSERT_TRUE(taken) << taken.error().to_string();
    EXPECT_EQ(taken->bytes, one.image.size);
    EXPECT_EQ(content_of(taken->image, taken->bytes), content_of(one.image.file, one.image.size));
    EXPECT_EQ(sys::file_size(taken->image).value(), one.image.size);
    EXPECT_EQ(taken->facts.pcr0, one.image.measurements.pcr0);
}

TEST(ImageIntake, WhatIsCopiedOutOfMemoryThatNobodyNeedsIsReleased) {
    InMemory one;
    one.image = make_test_image(7'000'000);
    ASSERT_TRUE(sys::truncate(one.memory, 16_MiB));
    ASSERT_TRUE(sys::allocate(one.memory, 0, 0, 16_MiB));
    ASSERT_TRUE(sys::write_all_at(one.memory, content_of(one.image.file, one.image.size), InMemory::kOffset));
    one.intake.released_page_size = api::kSmallPage;
    std::vector<uint64_t> in_use;  // of the memory, whenever something is reported
    one.intake.report = [&](uint64_t, uint64_t) { in_use.push_back(bytes_in_use(one.memory)); };

    const auto taken = take_image(one.memory, one.intake, kNever);

    ASSERT_TRUE(taken) << taken.error().to_string();
    const uint64_t pages = align_up<uint64_t>(one.image.size, api::kSmallPage);
    EXPECT_EQ(in_use, (std::vector<uint64_t>{12_MiB, 16_MiB - pages})) << "piece by piece";
    EXPECT_EQ(bytes_in_use(taken->image), pages);
    EXPECT_EQ(content_of(taken->image, taken->bytes), content_of(one.image.file, one.image.size));
    EXPECT_EQ(content_of(one.memory, 16_MiB), Bytes(16_MiB, 0));
    EXPECT_EQ(taken->facts.pcr0, one.image.measurements.pcr0);
}

TEST(ImageIntake, OutOfHugePagesItIsCopiedIntoHugePages) {
    constexpr uint64_t kMemory = 20_MiB;
    const auto image = make_test_image(3'000'000);
    const Fd memory = sys::memfd("memory", MFD_HUGETLB | MFD_HUGE_2MB).value();
    ASSERT_TRUE(sys::truncate(memory, kMemory));
    if (!sys::allocate(memory, 0, 0, kMemory))
        GTEST_SKIP() << "this host has not ten free pages of 2 MiB (vm.nr_hugepages)";
    {
        const auto content = Mapping::shared(memory, kMemory).value();
        sys::read_exact_at(image.file, content.mutable_bytes().subspan(8_MiB, image.size), 0).value();
    }
    auto intake = intake_of(image);
    intake.location = {.offset = 8_MiB, .bytes = std::nullopt};
    intake.guest_memory_bytes = kMemory;
    intake.released_page_size = api::kHugePage;

    const auto taken = take_image(memory, intake, kNever);

    ASSERT_TRUE(taken) << taken.error().to_string();
    EXPECT_EQ(bytes_in_use(memory), kMemory - 4_MiB);
    EXPECT_EQ(bytes_in_use(taken->image), 4_MiB);
    EXPECT_EQ(taken->bytes, image.size);
    EXPECT_EQ(content_of(taken->image, taken->bytes), content_of(image.file, image.size));
    EXPECT_EQ(taken->facts.pcr0, image.measurements.pcr0);
    const auto writable = sys::open("/proc/self/fd/" + std::to_string(taken->image.get()), O_RDWR).value();
    EXPECT_FALSE(Mapping::shared(writable, api::kHugePage)) << "sealed";
}

TEST(ImageRoom, IsBetweenKernelAndRamdisks) {
    for (const uint64_t memory : {64_MiB, 66_MiB, 256_MiB, 2_GiB, 3_GiB, 16_GiB}) {
        const uint64_t largest = std::min<uint64_t>(memory, 2_GiB) / 4;
        for (const uint64_t image : {uint64_t{1}, 5_MiB, largest - 2_MiB}) {
            const auto room = room_for_image(image, memory);

            ASSERT_TRUE(room) << memory << " " << image;
            EXPECT_GE(room->length, image);
            EXPECT_LT(room->length, image + 2_MiB);
            EXPECT_TRUE(is_aligned<uint64_t>(room->offset | room->length, 2_MiB));
            EXPECT_GE(room->offset, 16_MiB + image) << "a kernel that is all of the image";
            EXPECT_LE(room->offset + room->length, std::min<uint64_t>(memory, 2_GiB) - image) << "ramdisks";
        }
        EXPECT_FALSE(room_for_image(largest + 1, memory)) << memory;
    }
    EXPECT_FALSE(room_for_image(api::kMaxImageBytes, 64_GiB));
}

TEST(ImageIntake, AnImageInMemoryThatLiesAboutItsSizeIsRefused) {
    const InMemory one;
    const std::array<uint8_t, 8> sizes[] = {{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
                                            {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
                                            {0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
                                            {0, 0, 0, 0, 0, 0, 0, 1},
                                            {}};
    for (const auto& size : sizes) {
        one.set_last_size(size);

        EXPECT_NE(one.refusal(), ErrorCode{}) << +size[0] << "..." << +size[7];
    }
}

TEST(ImageIntake, MemoryWithoutAnImageIsRefused) {
    InMemory one;
    for (const uint64_t size : {1_MiB, 8_MiB, 8_MiB + 100, 64_MiB}) {
        one.memory = sys::memfd("empty").value();
        ASSERT_TRUE(sys::truncate(one.memory, size));

        EXPECT_EQ(one.refusal(), ErrorCode::ImageMalformed) << size;
    }
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
    intake.report = [&](uint64_t done, uint64_t total) {
        EXPECT_EQ(total, image.size);
        reports.push_back(done);
    };

    ASSERT_TRUE(take_image(image.file, intake, kNever));

    EXPECT_EQ(reports, (std::vector<uint64_t>{4_MiB, 8_MiB, image.size}));
}

}  // namespace
}  // namespace alcove::enclave

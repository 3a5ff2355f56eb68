// SPDX-License-Identifier: Apache-2.0
#include "eif/image.hpp"

#include <gtest/gtest.h>

#include "eif/raw_image.hpp"

namespace alcove::eif {
namespace {

ErrorCode code_of(const Bytes& bytes) {
    const auto image = Image::parse(bytes);
    return image ? ErrorCode{} : image.error().code();
}

constexpr size_t kSectionCount = 26;
constexpr size_t offset_field(size_t section) {
    return 28 + 8 * section;
}
constexpr size_t size_field(size_t section) {
    return 284 + 8 * section;
}

// Where the header of each section of RawImage::usual() lies.
size_t section_at(const Bytes& image, size_t section) {
    size_t offset = 0;
    for (size_t index = 0; index < 8; ++index)
        offset = offset << 8 | image.at(offset_field(section) + index);
    return offset;
}

TEST(ImageTest, EveryPartOfAWellFormedImageIsFound) {
    RawImage raw = RawImage::usual();
    raw.parts.push_back({4, text_bytes("signature")});
    const Bytes bytes = raw.assemble();

    const Image image = Image::parse(bytes).value();

    EXPECT_EQ(image.version(), 4);
    EXPECT_EQ(image.architecture(), Architecture::X86_64);
    EXPECT_EQ(image.default_memory(), 1ULL << 30);
    EXPECT_EQ(image.default_cpus(), 2U);
    EXPECT_EQ(as_text(image.kernel()), "the kernel");
    EXPECT_EQ(image.command_line(), "console=ttyS0");
    ASSERT_EQ(image.ramdisks().size(), 2U);
    EXPECT_EQ(as_text(image.ramdisks()[0]), "the boot ramdisk");
    EXPECT_EQ(as_text(image.ramdisks()[1]), "the application");
    EXPECT_EQ(as_text(image.signature().value()), "signature");
    EXPECT_TRUE(as_text(image.metadata().value()).starts_with("{"));
    EXPECT_EQ(image.sections().size(), 6U);
    EXPECT_EQ(image.bytes().data(), bytes.data());
    EXPECT_EQ(image.bytes().size(), bytes.size());
}

TEST(ImageTest, PayloadsAreNotCopied) {
    const Bytes bytes = RawImage::usual().assemble();
    const Image image = Image::parse(bytes).value();
    EXPECT_EQ(image.kernel().data(), bytes.data() + 548 + 12);
}

TEST(ImageTest, GapsBetweenSectionsAreAllowed) {
    RawImage raw = RawImage::usual();
    raw.parts[0].gap_before = 100;
    raw.parts[3].gap_before = 4096;
    const Bytes bytes = raw.assemble();
    EXPECT_EQ(as_text(Image::parse(bytes).value().ramdisks()[0]), "the boot ramdisk");
}

TEST(ImageTest, VersionsTwoToFourAreReadAndNoOther) {
    RawImage raw = RawImage::usual();
    raw.parts.erase(raw.parts.begin() + 2);  // metadata are of version 4
    for (const uint16_t version : {uint16_t{2}, uint16_t{3}}) {
        raw.version = version;
        EXPECT_EQ(code_of(raw.assemble()), ErrorCode{}) << version;
    }
    EXPECT_EQ(code_of(RawImage::usual().assemble()), ErrorCode{});
    for (const uint16_t version : {uint16_t{0}, uint16_t{1}, uint16_t{5}, uint16_t{0xFFFF}}) {
        raw.version = version;
        EXPECT_EQ(code_of(raw.assemble()), ErrorCode::ImageVersion) << version;
    }
}

TEST(ImageTest, TheArchitectureIsAFlag) {
    RawImage raw = RawImage::usual();
    raw.flags = 1;
    const Bytes bytes = raw.assemble();
    EXPECT_EQ(Image::parse(bytes).value().architecture(), Architecture::AArch64);
}

TEST(ImageTest, EveryTruncationIsMalformed) {
    const Bytes whole = RawImage::usual().assemble();
    for (size_t length = 0; length < whole.size(); ++length) {
        const auto image = Image::parse(ByteView(whole).first(length));
        ASSERT_FALSE(image) << length;
        EXPECT_EQ(image.error().code(), ErrorCode::ImageMalformed) << length;
    }
}

TEST(ImageTest, BytesBehindTheLastSectionAreMalformedInAFile) {
    Bytes bytes = RawImage::usual().assemble();
    bytes.push_back(0);
    EXPECT_EQ(code_of(bytes), ErrorCode::ImageMalformed);
}

TEST(ImageTest, BytesBehindTheLastSectionAreNotPartOfAnImageInMemory) {
    Bytes bytes = RawImage::usual().assemble();
    const size_t size = bytes.size();
    bytes.resize(size + 1000, 0xAA);
    EXPECT_EQ(Image::parse_prefix(bytes).value().bytes().size(), size);
}

TEST(ImageTest, AnotherMagicIsMalformed) {
    for (size_t index = 0; index < 4; ++index) {
        Bytes bytes = RawImage::usual().assemble();
        bytes[index] ^= 0x20;
        EXPECT_EQ(code_of(bytes), ErrorCode::ImageMalformed);
    }
}

TEST(ImageTest, TheNumberOfSectionsIsBounded) {
    for (const int count : {0, 1, 33, 0xFFFF}) {
        Bytes bytes = RawImage::usual().assemble();
        store_be16(bytes, kSectionCount, static_cast<uint16_t>(count));
        EXPECT_EQ(code_of(bytes), ErrorCode::ImageMalformed) << count;
    }
}

TEST(ImageTest, ThirtyTwoSectionsAreRead) {
    RawImage raw = RawImage::usual();
    while (raw.parts.size() < 32)
        raw.parts.push_back({3, text_bytes("more")});
    const Bytes bytes = raw.assemble();
    EXPECT_EQ(Image::parse(bytes).value().ramdisks().size(), 29U);
}

TEST(ImageTest, MoreSectionsThanThereAreIsMalformed) {
    Bytes bytes = RawImage::usual().assemble();
    store_be16(bytes, kSectionCount, 6);  // the sixth has offset 0
    EXPECT_EQ(code_of(bytes), ErrorCode::ImageMalformed);
}

TEST(ImageTest, FewerSectionsThanThereAreLeavesBytesOver) {
    Bytes bytes = RawImage::usual().assemble();
    store_be16(bytes, kSectionCount, 4);
    EXPECT_EQ(code_of(bytes), ErrorCode::ImageMalformed);
}

TEST(ImageTest, LyingOffsetsAreMalformed) {
    const Bytes good = RawImage::usual().assemble();
    for (size_t section = 0; section < 5; ++section) {
        const uint64_t real = section_at(good, section);
        for (const uint64_t lie : {uint64_t{0}, uint64_t{547}, real - 1, real + 1, real + 12,
                                   uint64_t{good.size() - 12}, uint64_t{good.size() - 11},
                                   uint64_t{good.size()}, uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 11}) {
            Bytes bytes = good;
            store_be64(bytes, offset_field(section), lie);
            EXPECT_NE(code_of(bytes), ErrorCode{}) << section << " at " << lie;
        }
    }
}

TEST(ImageTest, LyingSizesAreMalformed) {
    const Bytes good = RawImage::usual().assemble();
    for (size_t section = 0; section < 5; ++section) {
        const size_t header = section_at(good, section);
        for (const uint64_t lie : {uint64_t{0}, uint64_t{1}, uint64_t{1000}, uint64_t{1} << 63, UINT64_MAX,
                                   UINT64_MAX - header, UINT64_MAX - header - 11}) {
            Bytes table = good;
            store_be64(table, size_field(section), lie);
            EXPECT_EQ(code_of(table), ErrorCode::ImageMalformed) << section << " in the table " << lie;
            Bytes own = good;
            store_be64(own, header + 4, lie);
            EXPECT_EQ(code_of(own), ErrorCode::ImageMalformed) << section << " in its header " << lie;
        }
    }
}

TEST(ImageTest, SizesThatLieInBothPlacesAreMalformed) {
    const Bytes good = RawImage::usual().assemble();
    for (size_t section = 0; section < 5; ++section) {
        const size_t header = section_at(good, section);
        for (const uint64_t lie :
             {uint64_t{1000}, uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - header, UINT64_MAX - header - 11}) {
            Bytes bytes = good;
            store_be64(bytes, size_field(section), lie);
            store_be64(bytes, header + 4, lie);
            EXPECT_EQ(code_of(bytes), ErrorCode::ImageMalformed) << section << ": " << lie;
        }
    }
}

TEST(ImageTest, OverlappingSectionsAreMalformed) {
    Bytes bytes = RawImage::usual().assemble();
    // The kernel grows over the header of the command line.
    store_be64(bytes, size_field(0), 11);
    store_be64(bytes, section_at(bytes, 0) + 4, 11);
    EXPECT_EQ(code_of(bytes), ErrorCode::ImageMalformed);
}

TEST(ImageTest, TwoTableEntriesForOneSectionAreMalformed) {
    Bytes bytes = RawImage::usual().assemble();
    store_be64(bytes, offset_field(4), section_at(bytes, 3));
    store_be64(bytes, size_field(4), 16);
    EXPECT_EQ(code_of(bytes), ErrorCode::ImageMalformed);
}

TEST(ImageTest, SectionsOutOfFileOrderAreMalformed) {
    Bytes bytes = RawImage::usual().assemble();
    const uint64_t third = section_at(bytes, 3);
    const uint64_t fourth = section_at(bytes, 4);
    store_be64(bytes, offset_field(3), fourth);
    store_be64(bytes, offset_field(4), third);
    store_be64(bytes, size_field(3), 15);
    store_be64(bytes, size_field(4), 16);
    EXPECT_EQ(code_of(bytes), ErrorCode::ImageMalformed);
}

TEST(ImageTest, AStaleSizeOfTheSignatureInTheTableIsTolerated) {
    RawImage raw = RawImage::usual();
    raw.parts.push_back({4, text_bytes("signature")});
    Bytes bytes = raw.assemble();
    store_be64(bytes, size_field(5), 4000);
    EXPECT_EQ(as_text(Image::parse(bytes).value().signature().value()), "signature");
}

TEST(ImageTest, ALyingSizeInTheSignaturesHeaderIsMalformed) {
    RawImage raw = RawImage::usual();
    raw.parts.push_back({4, text_bytes("signature")});
    const Bytes good = raw.assemble();
    for (const uint64_t lie : {uint64_t{0}, uint64_t{8}, uint64_t{10}, UINT64_MAX}) {
        Bytes bytes = good;
        store_be64(bytes, section_at(bytes, 5) + 4, lie);
        EXPECT_EQ(code_of(bytes), ErrorCode::ImageMalformed) << lie;
    }
}

TEST(ImageTest, UnknownSectionTypesAreRefused) {
    for (const uint16_t type : {uint16_t{0}, uint16_t{6}, uint16_t{0xFFFF}}) {
        RawImage raw = RawImage::usual();
        raw.parts.push_back({type, text_bytes("x")});
        EXPECT_EQ(code_of(raw.assemble()), ErrorCode::ImageSection) << type;
    }
}

TEST(ImageTest, RepeatedSectionsAreRefused) {
    for (const uint16_t type : {uint16_t{1}, uint16_t{2}, uint16_t{5}}) {
        RawImage raw = RawImage::usual();
        raw.parts.push_back({type, text_bytes("{}")});
        EXPECT_EQ(code_of(raw.assemble()), ErrorCode::ImageSection) << type;
    }
    RawImage raw = RawImage::usual();
    raw.parts.push_back({4, text_bytes("a")});
    raw.parts.push_back({4, text_bytes("b")});
    EXPECT_EQ(code_of(raw.assemble()), ErrorCode::ImageSection);
}

TEST(ImageTest, MissingSectionsAreRefused) {
    for (const size_t missing : {size_t{0}, size_t{1}, size_t{2}}) {
        RawImage raw = RawImage::usual();
        raw.parts.erase(raw.parts.begin() + static_cast<std::ptrdiff_t>(missing));
        EXPECT_EQ(code_of(raw.assemble()), ErrorCode::ImageSection) << missing;
    }
}

TEST(ImageTest, AnImageWithoutRamdisksIsRead) {
    RawImage raw = RawImage::usual();
    raw.parts.resize(3);
    EXPECT_EQ(code_of(raw.assemble()), ErrorCode{});
}

TEST(ImageTest, AnOrderInWhichReadersWouldMeasureDifferentlyIsRefused) {
    RawImage ramdisk_first = RawImage::usual();
    std::swap(ramdisk_first.parts[1], ramdisk_first.parts[3]);
    EXPECT_EQ(code_of(ramdisk_first.assemble()), ErrorCode::ImageSection);
    RawImage command_line_first = RawImage::usual();
    std::swap(command_line_first.parts[0], command_line_first.parts[1]);
    EXPECT_EQ(code_of(command_line_first.assemble()), ErrorCode::ImageSection);
}

TEST(ImageTest, SectionsOfALaterVersionAreRefused) {
    RawImage raw = RawImage::usual();
    raw.version = 3;
    EXPECT_EQ(code_of(raw.assemble()), ErrorCode::ImageSection);  // has metadata
    raw.version = 2;
    raw.parts[2].type = 4;
    EXPECT_EQ(code_of(raw.assemble()), ErrorCode::ImageSection);  // has a signature
}

TEST(ImageTest, AnOversizedSignatureIsRefused) {
    RawImage raw = RawImage::usual();
    raw.parts.push_back({4, Bytes(32768)});
    EXPECT_EQ(code_of(raw.assemble()), ErrorCode{});
    raw.parts.back().payload.push_back(0);
    EXPECT_EQ(code_of(raw.assemble()), ErrorCode::ImageSection);
}

TEST(ImageTest, AnEmptyKernelIsRefused) {
    RawImage raw = RawImage::usual();
    raw.parts[0].payload.clear();
    EXPECT_EQ(code_of(raw.assemble()), ErrorCode::ImageSection);
}

TEST(ImageTest, OddCommandLinesAreRefused) {
    const auto with_command_line = [](std::string_view text) {
        RawImage raw = RawImage::usual();
        raw.parts[1].payload = text_bytes(text);
        return code_of(raw.assemble());
    };
    EXPECT_EQ(with_command_line(""), ErrorCode{});
    EXPECT_EQ(with_command_line(std::string(2047, 'a')), ErrorCode{});
    EXPECT_EQ(with_command_line(std::string(2048, 'a')), ErrorCode::CommandLineInvalid);
    EXPECT_EQ(with_command_line(std::string_view("a\0b", 3)), ErrorCode::CommandLineInvalid);
    for (const std::string_view text : {"a\nb", "a\tb", "\x1b[2J", "a\x7f", "caf\xc3\xa9"})
        EXPECT_EQ(with_command_line(text), ErrorCode::CommandLineInvalid);
}

TEST(ImageTest, FieldsWithoutMeaningAreIgnored) {
    Bytes bytes = RawImage::usual().assemble();
    store_be16(bytes, 24, 0xFFFF);                    // reserved
    store_be32(bytes, 540, 0xFFFFFFFF);               // unused
    store_be64(bytes, offset_field(31), UINT64_MAX);  // behind the last section
    store_be64(bytes, size_field(31), UINT64_MAX);
    store_be16(bytes, section_at(bytes, 0) + 2, 0xFFFF);  // a section's flags
    store_be16(bytes, 6, 0xFFFE);                         // flags but the architecture
    EXPECT_EQ(code_of(bytes), ErrorCode{});
}

TEST(ImageTest, NoChangedByteOfTheHeadersBreaksTheReader) {
    const Bytes good = RawImage::usual().assemble();
    for (size_t index = 0; index < good.size(); ++index)
        for (const int change : {0x01, 0x80, 0xFF}) {
            Bytes bytes = good;
            bytes[index] = static_cast<uint8_t>(bytes[index] ^ change);
            const auto image = Image::parse(bytes);
            // Whatever is accepted lies inside.
            for (const Section& section : image ? image->sections() : std::vector<Section>())
                EXPECT_LE(section.payload.data() + section.payload.size(), bytes.data() + bytes.size());
        }
}

}  // namespace
}  // namespace alcove::eif

// SPDX-License-Identifier: Apache-2.0
#include "eif/measure.hpp"

#include <algorithm>

#include <zlib.h>

#include <gtest/gtest.h>

#include "codec/hex.hpp"
#include "eif/raw_image.hpp"

namespace alcove::eif {
namespace {

Bytes joined(std::initializer_list<ByteView> parts) {
    Bytes bytes;
    for (const ByteView part : parts)
        bytes.insert(bytes.end(), part.begin(), part.end());
    return bytes;
}

// The definition, in one piece each.
Measurements by_definition(const RawImage& raw, const Bytes& file) {
    Bytes all, boot, application;
    size_t ramdisks = 0;
    for (const auto& part : raw.parts) {
        if (part.type > 3) continue;
        const bool is_application = part.type == 3 && ramdisks++ > 0;
        all = joined({all, part.payload});
        if (is_application) {
            application = joined({application, part.payload});
        } else {
            boot = joined({boot, part.payload});
        }
    }
    const Bytes summed = joined({ByteView(file).first(544), ByteView(file).subspan(548)});
    return {pcr_of_content(all), pcr_of_content(boot), pcr_of_content(application),
            static_cast<uint32_t>(::crc32(0, summed.data(), static_cast<uInt>(summed.size())))};
}

Bytes pattern(size_t size, uint8_t seed) {
    Bytes bytes(size);
    for (size_t index = 0; index < size; ++index)
        bytes[index] = static_cast<uint8_t>(index * 131 + (index >> 8) + seed);
    return bytes;
}

RawImage large_image() {
    RawImage raw = RawImage::usual();
    raw.parts[0].payload = pattern(1'000'003, 1);
    raw.parts[3].payload = pattern(300'001, 2);
    raw.parts[3].gap_before = 70'000;
    raw.parts[4].payload = pattern(2'000'017, 3);
    raw.parts.push_back({3, pattern(5, 4)});
    raw.parts.push_back({4, pattern(99, 5)});
    return raw;
}

TEST(MeasureTest, AgreesWithTheDefinition) {
    RawImage one_ramdisk = RawImage::usual();
    one_ramdisk.parts.pop_back();
    RawImage no_ramdisk = RawImage::usual();
    no_ramdisk.parts.resize(3);
    RawImage empty_ramdisks = RawImage::usual();
    empty_ramdisks.parts[3].payload.clear();
    empty_ramdisks.parts[4].payload.clear();
    for (const RawImage& raw : {RawImage::usual(), one_ramdisk, no_ramdisk, empty_ramdisks, large_image()}) {
        const Bytes file = raw.assemble();
        EXPECT_EQ(measure(Image::parse(file).value()), by_definition(raw, file));
    }
}

TEST(MeasureTest, AnImageWithOneRamdiskHasTheEmptyPcr2) {
    RawImage raw = RawImage::usual();
    raw.parts.pop_back();
    const Bytes file = raw.assemble();
    EXPECT_EQ(
        codec::hex_encode(measure(Image::parse(file).value()).pcr2),
        "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a");
}

TEST(MeasureTest, MetadataSignatureAndGapsChangeTheChecksumOnly) {
    RawImage raw = large_image();
    const Bytes first_file = raw.assemble();
    raw.parts[2].payload = text_bytes("{}");
    raw.parts[3].gap_before = 3;
    raw.parts.back().payload = pattern(99, 6);
    const Bytes second_file = raw.assemble();

    const Measurements first = measure(Image::parse(first_file).value());
    const Measurements second = measure(Image::parse(second_file).value());

    EXPECT_EQ(first.pcr0, second.pcr0);
    EXPECT_EQ(first.pcr1, second.pcr1);
    EXPECT_EQ(first.pcr2, second.pcr2);
    EXPECT_NE(first.crc32, second.crc32);
}

TEST(MeasureTest, AnImageInMemoryIsMeasuredWithoutWhatFollowsIt) {
    const RawImage raw = RawImage::usual();
    const Bytes file = raw.assemble();
    Bytes memory = file;
    memory.resize(memory.size() + 500, 0x55);
    EXPECT_EQ(measure(Image::parse_prefix(memory).value()), by_definition(raw, file));
}

TEST(MeasurerTest, MeasuresWhileTheCopyGoesOn) {
    const RawImage raw = large_image();
    const Bytes file = raw.assemble();
    for (const size_t step : {size_t{1} << 30, size_t{1} << 20, size_t{65536}, size_t{1000}}) {
        Bytes copy(file.size(), 0xCC);
        Measurer measurer(copy);
        for (size_t done = 0; done < file.size();) {
            const size_t count = std::min(step, file.size() - done);
            std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(done), count,
                        copy.begin() + static_cast<std::ptrdiff_t>(done));
            done += count;
            measurer.announce(done);
        }
        const auto measured = measurer.finish();
        ASSERT_TRUE(measured);
        EXPECT_EQ(measured->measurements, by_definition(raw, file)) << step;
        EXPECT_EQ(measured->image.bytes().data(), copy.data());
    }
}

TEST(MeasurerTest, EveryTruncationEndsInAnError) {
    const Bytes whole = RawImage::usual().assemble();
    for (size_t length = 0; length < whole.size(); length += 7) {
        const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
        Measurer measurer(part);
        measurer.announce(part.size());
        EXPECT_EQ(measurer.finish().error().code(), ErrorCode::ImageMalformed) << length;
    }
}

TEST(MeasurerTest, ALyingImageEndsInAnError) {
    const Bytes good = RawImage::usual().assemble();
    for (size_t section = 0; section < 5; ++section) {
        Bytes bytes = good;
        store_be64(bytes, 28 + 8 * section, UINT64_MAX - 5);
        Measurer measurer(bytes);
        measurer.announce(bytes.size());
        EXPECT_FALSE(measurer.finish());
    }
}

TEST(MeasurerTest, ACopyThatIsGivenUpStopsTheThreads) {
    const Bytes file = large_image().assemble();
    for (const size_t announced :
         {size_t{0}, size_t{100}, size_t{548}, size_t{560}, size_t{500'000}, file.size() - 1}) {
        Measurer measurer(file);
        measurer.announce(announced);
    }
}

}  // namespace
}  // namespace alcove::eif

// SPDX-License-Identifier: Apache-2.0
//
// The archives are made byte by byte (POSIX ustar), so that they can be as bad as they like.
#include "eif/tar_source.hpp"

#include <cstdio>

#include <gtest/gtest.h>

#include "eif/gzip.hpp"

namespace alcove::eif {
namespace {

struct Member {
    std::string name;
    std::string content;
    char type = '0';
    std::string link = {};
    unsigned mode = 0644;
    unsigned uid = 0;
};

void put_octal(Bytes& header, size_t offset, size_t width, unsigned long value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%0*lo", static_cast<int>(width - 1), value);
    std::copy_n(text, width - 1, header.begin() + static_cast<std::ptrdiff_t>(offset));
}

void put_text(Bytes& header, size_t offset, std::string_view text) {
    std::copy(text.begin(), text.end(), header.begin() + static_cast<std::ptrdiff_t>(offset));
}

Bytes tar_of(const std::vector<Member>& members) {
    Bytes tar;
    for (const Member& member : members) {
        Bytes header(512);
        put_text(header, 0, member.name);
        put_octal(header, 100, 8, member.mode);
        put_octal(header, 108, 8, member.uid);
        put_octal(header, 116, 8, 0);
        put_octal(header, 124, 12, member.content.size());
        put_octal(header, 136, 12, 1700000000);
        header[156] = static_cast<uint8_t>(member.type);
        put_text(header, 157, member.link);
        put_text(header, 257, std::string_view("ustar\00000", 8));
        put_octal(header, 329, 8, 5);
        put_octal(header, 337, 8, 1);
        put_text(header, 148, "        ");
        unsigned sum = 0;
        for (const uint8_t byte : header)
            sum += byte;
        put_octal(header, 148, 7, sum);
        tar.insert(tar.end(), header.begin(), header.end());
        tar.insert(tar.end(), member.content.begin(), member.content.end());
        tar.resize((tar.size() + 511) / 512 * 512);
    }
    tar.resize(tar.size() + 1024);
    return tar;
}

std::string content_in(const FileTree& tree, std::string_view path) {
    return std::string(as_text(std::get<Bytes>(tree.find(path)->content)));
}

ErrorCode code_of(const std::vector<Member>& members) {
    const auto tree = tree_from_tar(tar_of(members));
    return tree ? ErrorCode{} : tree.error().code();
}

const std::vector<Member> kUsual = {
    {"./", "", '5', "", 0755},
    {"./bin/", "", '5', "", 0711},
    {"./bin/tool", "#!/bin/sh\n", '0', "", 0755},
    {"./bin/same", "", '1', "./bin/tool"},
    {"./bin/link", "", '2', "/etc/passwd"},
    {"dev/console", "", '3', "", 0600},
    {"pipe", "", '6', "", 0600},
};

TEST(TarSourceTest, EveryKindOfMemberIsTaken) {
    const FileTree tree = tree_from_tar(tar_of(kUsual)).value();

    EXPECT_EQ(tree.files().size(), 7U);
    EXPECT_EQ(tree.find("bin")->permissions, 0711);
    EXPECT_EQ(content_in(tree, "bin/tool"), "#!/bin/sh\n");
    EXPECT_EQ(tree.find("bin/tool"), tree.find("bin/same"));
    EXPECT_EQ(content_in(tree, "bin/link"), "/etc/passwd");
    EXPECT_EQ(tree.find("dev/console")->type, FileType::CharacterDevice);
    EXPECT_EQ(tree.find("dev/console")->device_major, 5U);
    EXPECT_EQ(tree.find("dev/console")->device_minor, 1U);
    EXPECT_EQ(tree.find("pipe")->type, FileType::Fifo);
}

TEST(TarSourceTest, ACompressedArchiveIsTheSame) {
    Bytes packed;
    auto gzip = GzipWriter::create(6, [&](ByteView piece) -> Result<void> {
                    packed.insert(packed.end(), piece.begin(), piece.end());
                    return {};
                }).value();
    ASSERT_TRUE(gzip.write(tar_of(kUsual)));
    ASSERT_TRUE(gzip.finish());
    EXPECT_EQ(tree_from_tar(packed).value().files().size(), 7U);
}

TEST(TarSourceTest, NamesThatLeadOutAreRefused) {
    EXPECT_EQ(code_of({{"/etc/passwd", "x"}}), ErrorCode::ImageBuildInput);
    EXPECT_EQ(code_of({{"../escape", "x"}}), ErrorCode::ImageBuildInput);
    EXPECT_EQ(code_of({{"a/../../escape", "x"}}), ErrorCode::ImageBuildInput);
    EXPECT_EQ(code_of({{"link", "", '1', "/etc/passwd"}}), ErrorCode::ImageBuildInput);
    EXPECT_EQ(code_of({{"link", "", '1', "../x"}}), ErrorCode::ImageBuildInput);
    EXPECT_EQ(code_of({{"link", "", '1', "missing"}}), ErrorCode::ImageBuildInput);
}

TEST(TarSourceTest, NothingIsPutThroughASymlink) {
    EXPECT_EQ(code_of({{"a", "", '2', "/etc"}, {"a/passwd", "x"}}), ErrorCode::ImageBuildInput);
}

TEST(TarSourceTest, LaterMembersReplaceEarlierOnes) {
    const FileTree tree = tree_from_tar(tar_of({{"a", "old"}, {"a", "new!"}})).value();
    EXPECT_EQ(content_in(tree, "a"), "new!");
}

TEST(TarSourceTest, ASetUserIdFileHasToBeRoots) {
    EXPECT_EQ(tree_from_tar(tar_of({{"su", "x", '0', "", 04755}})).value().find("su")->permissions, 04755);
    EXPECT_EQ(code_of({{"su", "x", '0', "", 04755, 1000}}), ErrorCode::ImageBuildInput);
    EXPECT_EQ(code_of({{"wall", "x", '0', "", 02755, 1000}}), ErrorCode::ImageBuildInput);
    EXPECT_EQ(code_of({{"plain", "x", '0', "", 0755, 1000}}), ErrorCode{});
}

TEST(TarSourceTest, ATruncatedMemberIsRefused) {
    const Bytes whole = tar_of({{"big", std::string(10'000, 'x')}});
    for (const size_t length :
         {size_t{1}, size_t{100}, size_t{511}, size_t{512}, size_t{600}, size_t{5000}, size_t{10'511}})
        EXPECT_EQ(tree_from_tar(ByteView(whole).first(length)).error().code(), ErrorCode::ImageBuildInput)
            << length;
}

TEST(TarSourceTest, WhatIsNoArchiveIsRefused) {
    for (const Bytes& bytes :
         {Bytes{}, Bytes(512, 'x'), Bytes{0x1f, 0x8b, 8, 0}, to_bytes(as_byte_view("plain text"))})
        EXPECT_EQ(tree_from_tar(bytes).error().code(), ErrorCode::ImageBuildInput);
}

TEST(TarSourceTest, ContentIsBounded) {
    const Bytes tar = tar_of({{"a", std::string(600, 'x')}, {"b", std::string(600, 'x')}});
    EXPECT_TRUE(tree_from_tar(tar, {.content = 1200}));
    EXPECT_EQ(tree_from_tar(tar, {.content = 1199}).error().code(), ErrorCode::ImageBuildInput);
}

TEST(TarSourceTest, PaxNamesInUtf8AreTaken) {
    const std::string record = "21 path=caf\xc3\xa9/gr\xc3\xbc\xc3\x9f\n";
    ASSERT_EQ(record.size(), 21U);
    const FileTree tree = tree_from_tar(tar_of({{"PaxHeaders/x", record, 'x'}, {"ascii", "hello"}})).value();
    ASSERT_NE(tree.find("caf\xc3\xa9/gr\xc3\xbc\xc3\x9f"), nullptr);
    EXPECT_EQ(tree.find("ascii"), nullptr);
}

TEST(TarSourceTest, LongGnuNamesAreTaken) {
    const std::string name = std::string(200, 'd') + "/" + std::string(200, 'f');
    const FileTree tree =
        tree_from_tar(tar_of({{"././@LongLink", name + '\0', 'L'}, {"short", "hello"}})).value();
    ASSERT_NE(tree.find(name), nullptr);
    EXPECT_EQ(content_in(tree, name), "hello");
}

}  // namespace
}  // namespace alcove::eif

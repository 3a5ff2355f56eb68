// SPDX-License-Identifier: Apache-2.0
//
// The archives are read back by libarchive's own cpio reader.
#include "eif/cpio.hpp"

#include <map>

#include <archive.h>
#include <archive_entry.h>

#include <gtest/gtest.h>

#include "eif/test_support.hpp"

namespace alcove::eif {
namespace {

Bytes archive_of(const FileTree& tree) {
    Bytes archive;
    write_cpio(tree, [&](ByteView piece) -> Result<void> {
        archive.insert(archive.end(), piece.begin(), piece.end());
        return {};
    }).value();
    return archive;
}

struct Entry {
    mode_t mode;
    int64_t uid;
    int64_t time;
    unsigned links;
    int64_t inode;
    int64_t device;
    std::string content;  // or the symlink's target
    std::string hard_link;
};

std::map<std::string, Entry> read_back(const Bytes& bytes) {
    std::map<std::string, Entry> entries;
    archive* reader = ::archive_read_new();
    ::archive_read_support_format_cpio(reader);
    EXPECT_EQ(::archive_read_open_memory(reader, bytes.data(), bytes.size()), ARCHIVE_OK);
    archive_entry* entry = nullptr;
    while (::archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
        Entry read{
            ::archive_entry_mode(entry),
            ::archive_entry_uid(entry),
            ::archive_entry_mtime(entry),
            ::archive_entry_nlink(entry),
            ::archive_entry_ino64(entry),
            static_cast<int64_t>(::archive_entry_rdevmajor(entry) * 1000 + ::archive_entry_rdevminor(entry)),
            "",
            ""};
        if (S_ISREG(read.mode)) read.content.resize(static_cast<size_t>(::archive_entry_size(entry)));
        EXPECT_EQ(::archive_read_data(reader, read.content.data(), read.content.size()),
                  static_cast<la_ssize_t>(read.content.size()));
        if (::archive_entry_symlink(entry) != nullptr) read.content = ::archive_entry_symlink(entry);
        if (::archive_entry_hardlink(entry) != nullptr) read.hard_link = ::archive_entry_hardlink(entry);
        entries.emplace(::archive_entry_pathname(entry), read);
    }
    EXPECT_EQ(::archive_read_free(reader), ARCHIVE_OK);
    return entries;
}

File file_of(std::string_view content, uint16_t permissions = 0644) {
    return File::regular(permissions, to_bytes(as_byte_view(content)));
}

TEST(CpioTest, EveryKindOfFileComesBack) {
    FileTree tree;
    ASSERT_TRUE(tree.add("bin/su", file_of("#!", 04755)));
    ASSERT_TRUE(tree.add("empty", file_of("")));
    ASSERT_TRUE(tree.add("tmp", File::directory(01777)));
    ASSERT_TRUE(tree.add("link", File::symlink("bin/su")));
    ASSERT_TRUE(tree.add("null", {.type = FileType::CharacterDevice,
                                  .permissions = 0666,
                                  .content = {},
                                  .device_major = 1,
                                  .device_minor = 3}));
    ASSERT_TRUE(tree.add("disk", {.type = FileType::BlockDevice,
                                  .permissions = 0660,
                                  .content = {},
                                  .device_major = 8,
                                  .device_minor = 1}));
    ASSERT_TRUE(tree.add("pipe", {.type = FileType::Fifo, .permissions = 0600, .content = {}}));
    ASSERT_TRUE(tree.add(std::string(255, 'n'), file_of("long name")));

    const auto entries = read_back(archive_of(tree));

    ASSERT_EQ(entries.size(), 9U);
    EXPECT_EQ(entries.at("bin").mode, S_IFDIR | 0755U);
    EXPECT_EQ(entries.at("bin/su").mode, S_IFREG | 04755U);
    EXPECT_EQ(entries.at("bin/su").content, "#!");
    EXPECT_EQ(entries.at("empty").content, "");
    EXPECT_EQ(entries.at("tmp").mode, S_IFDIR | 01777U);
    EXPECT_EQ(entries.at("link").content, "bin/su");
    EXPECT_EQ(entries.at("null").mode, S_IFCHR | 0666U);
    EXPECT_EQ(entries.at("null").device, 1003);
    EXPECT_EQ(entries.at("disk").device, 8001);
    EXPECT_EQ(entries.at("pipe").mode, S_IFIFO | 0600U);
    EXPECT_EQ(entries.at(std::string(255, 'n')).content, "long name");
    for (const auto& [name, entry] : entries) {
        EXPECT_EQ(entry.uid, 0) << name;
        EXPECT_EQ(entry.time, 0) << name;
    }
}

TEST(CpioTest, HardLinksShareAnInodeAndTheFirstHasTheContent) {
    FileTree tree;
    ASSERT_TRUE(tree.add("b", file_of("shared")));
    ASSERT_TRUE(tree.add_link("a", "b"));
    ASSERT_TRUE(tree.add("c", file_of("alone")));
    const auto entries = read_back(archive_of(tree));
    EXPECT_EQ(entries.at("a").content, "shared");
    EXPECT_EQ(entries.at("a").links, 2U);
    EXPECT_EQ(entries.at("b").links, 2U);
    EXPECT_EQ(entries.at("b").hard_link, "a");
    EXPECT_EQ(entries.at("a").inode, entries.at("b").inode);
    EXPECT_EQ(entries.at("c").links, 1U);
    EXPECT_NE(entries.at("c").inode, entries.at("a").inode);
}

TEST(CpioTest, EachNameOfALinkedSymlinkHasItsTarget) {
    FileTree tree;
    ASSERT_TRUE(tree.add("a", File::symlink("target")));
    ASSERT_TRUE(tree.add_link("b", "a"));
    const auto entries = read_back(archive_of(tree));
    EXPECT_EQ(entries.at("a").content, "target");
    EXPECT_EQ(entries.at("b").content, "target");
    EXPECT_EQ(entries.at("b").links, 1U);
}

TEST(CpioTest, TheOrderOfAddingDoesNotMatter) {
    FileTree first;
    ASSERT_TRUE(first.add("z", file_of("1")));
    ASSERT_TRUE(first.add("a/b", file_of("2")));
    FileTree second;
    ASSERT_TRUE(second.add("a", File::directory(0755)));
    ASSERT_TRUE(second.add("a/b", file_of("2")));
    ASSERT_TRUE(second.add("z", file_of("1")));
    EXPECT_EQ(archive_of(first), archive_of(second));
}

TEST(CpioTest, AnEmptyTreeIsTheTrailerAlone) {
    EXPECT_EQ(
        as_text(archive_of({})),
        std::string_view("070701000000000000000000000000000000000000000100000000000000000000000000000000"
                         "00000000000000000000000B00000000TRAILER!!!\0\0\0\0",
                         124));
}

TEST(CpioTest, ContentOfTheDiskIsRead) {
    const TestFolder folder;
    const std::string content(3'000'000, 'x');
    const std::string path = folder.write("big", content);
    FileTree tree;
    ASSERT_TRUE(tree.add("big", File::regular(0644, DiskContent{path, content.size()})));
    EXPECT_EQ(read_back(archive_of(tree)).at("big").content, content);
}

TEST(CpioTest, AFileThatChangedIsAnError) {
    const TestFolder folder;
    const std::string path = folder.write("file", "four");
    const Sink nowhere = [](ByteView) -> Result<void> { return {}; };
    for (const auto& content : {DiskContent{path, 3}, DiskContent{path, 5}, DiskContent{folder.path(), 4}}) {
        FileTree tree;
        ASSERT_TRUE(tree.add("file", File::regular(0644, content)));
        EXPECT_EQ(write_cpio(tree, nowhere).error().code(), ErrorCode::ImageBuildInput);
    }
}

TEST(CpioTest, WhatAnArchiveCanNotHoldIsAnError) {
    const Sink nowhere = [](ByteView) -> Result<void> { return {}; };
    FileTree large;
    ASSERT_TRUE(large.add("file", File::regular(0644, DiskContent{"/nowhere", 1ULL << 32})));
    EXPECT_EQ(write_cpio(large, nowhere).error().code(), ErrorCode::ImageBuildInput);
    FileTree link;
    ASSERT_TRUE(link.add("link", File::symlink(std::string(4096, 'x'))));
    EXPECT_EQ(write_cpio(link, nowhere).error().code(), ErrorCode::ImageBuildInput);
}

TEST(CpioTest, AnErrorOfTheSinkIsPassedOn) {
    FileTree tree;
    ASSERT_TRUE(tree.add("file", file_of("x")));
    const Sink full = [](ByteView) -> Result<void> { return fail(ErrorCode::NoSpace, "full"); };
    EXPECT_EQ(write_cpio(tree, full).error().code(), ErrorCode::NoSpace);
}

}  // namespace
}  // namespace alcove::eif

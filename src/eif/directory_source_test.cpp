// SPDX-License-Identifier: Apache-2.0
#include "eif/directory_source.hpp"

#include <filesystem>

#include <sys/socket.h>
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "eif/test_support.hpp"

namespace alcove::eif {
namespace {

namespace fs = std::filesystem;

TEST(DirectorySourceTest, FilesLinksAndModesAreTaken) {
    const TestFolder folder;
    folder.write("bin/tool", "#!/bin/sh\n", 0755);
    folder.write("data", "1234", 0600);
    fs::create_symlink("/etc/passwd", folder.path() + "/bin/outside");
    fs::create_hard_link(folder.path() + "/data", folder.path() + "/same");
    fs::create_directory(folder.path() + "/empty");
    ASSERT_EQ(::chmod((folder.path() + "/empty").c_str(), 01777), 0);
    ASSERT_EQ(::mkfifo((folder.path() + "/pipe").c_str(), 0600), 0);

    const FileTree tree = tree_from_directory(folder.path() + "/").value();

    EXPECT_EQ(tree.files().size(), 7U);
    EXPECT_EQ(tree.find("bin/tool")->permissions, 0755);
    EXPECT_EQ(tree.find("data")->size(), 4U);
    EXPECT_EQ(tree.find("data"), tree.find("same"));
    EXPECT_EQ(tree.find("empty")->permissions, 01777);
    EXPECT_EQ(tree.find("pipe")->type, FileType::Fifo);
    EXPECT_EQ(tree.find("bin/outside")->type, FileType::Symlink);
    EXPECT_EQ(as_text(std::get<Bytes>(tree.find("bin/outside")->content)), "/etc/passwd");
}

TEST(DirectorySourceTest, ALinkedDirectoryIsNotEntered) {
    const TestFolder folder;
    folder.write("real/file", "x");
    fs::create_directory_symlink("real", folder.path() + "/link");
    const FileTree tree = tree_from_directory(folder.path()).value();
    EXPECT_EQ(tree.find("link")->type, FileType::Symlink);
    EXPECT_EQ(tree.find("link/file"), nullptr);
}

TEST(DirectorySourceTest, OwnSetUserIdFilesAreKept) {
    const TestFolder folder;
    const std::string path = folder.write("su", "x");
    ASSERT_EQ(::chmod(path.c_str(), 04755), 0);
    EXPECT_EQ(tree_from_directory(folder.path()).value().find("su")->permissions, 04755);
}

TEST(DirectorySourceTest, ASocketIsRefused) {
    const TestFolder folder;
    const Fd listener = sys::unix_listen(folder.path() + "/socket", SOCK_STREAM, 0600).value();
    const auto tree = tree_from_directory(folder.path());
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().code(), ErrorCode::ImageBuildInput);
    EXPECT_NE(tree.error().message().find("socket"), std::string::npos);
}

TEST(DirectorySourceTest, WhatIsNoDirectoryIsRefused) {
    const TestFolder folder;
    const std::string file = folder.write("file", "x");
    for (const std::string& path : {file, folder.path() + "/missing", std::string()})
        EXPECT_EQ(tree_from_directory(path).error().code(), ErrorCode::ImageBuildInput) << path;
}

}  // namespace
}  // namespace alcove::eif

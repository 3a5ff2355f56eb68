// SPDX-License-Identifier: Apache-2.0
#include "eif/file_tree.hpp"

#include <gtest/gtest.h>

namespace alcove::eif {
namespace {

File plain_file(std::string_view content) {
    return File::regular(0644, to_bytes(as_byte_view(content)));
}

ErrorCode code_of(const Result<void>& result) {
    return result ? ErrorCode{} : result.error().code();
}

TEST(FileTreeTest, PathsAreNormalized) {
    EXPECT_EQ(FileTree::normalize("usr/bin/env").value(), "usr/bin/env");
    EXPECT_EQ(FileTree::normalize("./usr//bin/./env/").value(), "usr/bin/env");
    EXPECT_EQ(FileTree::normalize("./").value(), "");
    EXPECT_EQ(FileTree::normalize("..a/b..").value(), "..a/b..");
}

TEST(FileTreeTest, PathsThatLeadOutAreRefused) {
    for (const std::string_view path : {"/etc/passwd", "..", "../x", "a/../../x", "a/..", ""})
        EXPECT_EQ(FileTree::normalize(path).error().code(), ErrorCode::ImageBuildInput) << path;
    EXPECT_FALSE(FileTree::normalize(std::string_view("a\0b", 3)));
}

TEST(FileTreeTest, PathsTheKernelWouldNotUnpackAreRefused) {
    EXPECT_TRUE(FileTree::normalize(std::string(255, 'a')));
    EXPECT_FALSE(FileTree::normalize(std::string(256, 'a')));
    std::string deep;
    while (deep.size() < 4094)
        deep += "a/";
    EXPECT_TRUE(FileTree::normalize(deep + "b"));
    EXPECT_FALSE(FileTree::normalize(deep + "bc"));
}

TEST(FileTreeTest, MissingDirectoriesAreMade) {
    FileTree tree;
    ASSERT_TRUE(tree.add("a/b/c", plain_file("x")));
    ASSERT_NE(tree.find("a/b"), nullptr);
    EXPECT_EQ(tree.find("a")->type, FileType::Directory);
    EXPECT_EQ(tree.find("a")->permissions, 0755);
    EXPECT_EQ(tree.files().begin()->first, "a");
}

TEST(FileTreeTest, LaterFilesReplaceEarlierOnes) {
    FileTree tree;
    ASSERT_TRUE(tree.add("a", plain_file("old")));
    ASSERT_TRUE(tree.add("a", plain_file("newer")));
    EXPECT_EQ(tree.find("a")->size(), 5U);
}

TEST(FileTreeTest, ADirectoryIsReplacedByADirectoryOnly) {
    FileTree tree;
    ASSERT_TRUE(tree.add("a/b", plain_file("x")));
    EXPECT_TRUE(tree.add("a", File::directory(0700)));
    EXPECT_EQ(tree.find("a")->permissions, 0700);
    EXPECT_NE(tree.find("a/b"), nullptr);
    EXPECT_EQ(code_of(tree.add("a", plain_file("x"))), ErrorCode::ImageBuildInput);
    EXPECT_EQ(code_of(tree.add("a", File::symlink("/etc"))), ErrorCode::ImageBuildInput);
}

TEST(FileTreeTest, NothingIsPutThroughASymlink) {
    FileTree tree;
    ASSERT_TRUE(tree.add("link", File::symlink("/etc")));
    EXPECT_EQ(code_of(tree.add("link/passwd", plain_file("x"))), ErrorCode::ImageBuildInput);
    ASSERT_TRUE(tree.add("file", plain_file("x")));
    EXPECT_EQ(code_of(tree.add("file/below", plain_file("x"))), ErrorCode::ImageBuildInput);
}

TEST(FileTreeTest, HardLinksShareOneFile) {
    FileTree tree;
    ASSERT_TRUE(tree.add("a", plain_file("x")));
    ASSERT_TRUE(tree.add_link("b", "a"));
    EXPECT_EQ(tree.find("a"), tree.find("b"));
    EXPECT_EQ(code_of(tree.add_link("c", "missing")), ErrorCode::ImageBuildInput);
    ASSERT_TRUE(tree.add("d", File::directory(0755)));
    EXPECT_EQ(code_of(tree.add_link("e", "d")), ErrorCode::ImageBuildInput);
}

TEST(FileTreeTest, ATreeIsPutBelowADirectory) {
    FileTree inner;
    ASSERT_TRUE(inner.add("a", plain_file("x")));
    ASSERT_TRUE(inner.add_link("b", "a"));
    FileTree outer;
    ASSERT_TRUE(outer.add_tree("rootfs", inner));
    EXPECT_NE(outer.find("rootfs/a"), nullptr);
    EXPECT_EQ(outer.find("rootfs/a"), outer.find("rootfs/b"));
}

TEST(FileTreeTest, SymlinksInsideTheTreeAreFollowed) {
    FileTree tree;
    ASSERT_TRUE(tree.add("usr/bin/python3.11", plain_file("x")));
    ASSERT_TRUE(tree.add("usr/bin/python3", File::symlink("python3.11")));
    ASSERT_TRUE(tree.add("bin", File::symlink("usr/bin")));
    ASSERT_TRUE(tree.add("etc/python", File::symlink("/bin/../bin/python3")));
    ASSERT_TRUE(tree.add("loop", File::symlink("loop")));
    ASSERT_TRUE(tree.add("dangling", File::symlink("nowhere")));

    const File* python = tree.find("usr/bin/python3.11");
    EXPECT_EQ(tree.resolve("/bin/python3"), python);
    EXPECT_EQ(tree.resolve("etc/python"), python);
    EXPECT_EQ(tree.resolve("/../bin/./python3"), python);
    EXPECT_EQ(tree.resolve("/loop"), nullptr);
    EXPECT_EQ(tree.resolve("/dangling"), nullptr);
    EXPECT_EQ(tree.resolve("/usr/bin/python3.11/x"), nullptr);
    EXPECT_EQ(tree.resolve("/nothing"), nullptr);
}

}  // namespace
}  // namespace alcove::eif

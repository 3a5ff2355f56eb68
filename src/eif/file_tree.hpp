// SPDX-License-Identifier: Apache-2.0
//
// The files of a ramdisk before they are written: a map from path to file, in the order of the paths' bytes,
// which puts every directory before what it holds. Owners and times are not kept: in an image everything
// belongs to root and is of 1970.
//
// Paths are relative, without "." and "..", parts divided by single slashes: "usr/bin/env". Content is either
// in memory or a file of the disk, read when the archive is written.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::eif {

enum class FileType { Regular, Directory, Symlink, CharacterDevice, BlockDevice, Fifo };

// A regular file of the disk that has to have this size still when it is read.
struct DiskContent {
    std::string path;
    uint64_t size;  // bytes
};

struct File {
    FileType type;
    uint16_t permissions = 0;                  // the twelve bits of chmod
    std::variant<Bytes, DiskContent> content;  // of a regular file; a symlink's target is in memory too
    uint32_t device_major = 0;
    uint32_t device_minor = 0;

    static File directory(uint16_t permissions) {
        return {.type = FileType::Directory, .permissions = permissions, .content = {}};
    }
    static File regular(uint16_t permissions, std::variant<Bytes, DiskContent> content) {
        return {.type = FileType::Regular, .permissions = permissions, .content = std::move(content)};
    }
    static File symlink(std::string_view target) {
        return {.type = FileType::Symlink, .permissions = 0777, .content = to_bytes(as_byte_view(target))};
    }

    uint64_t size() const;  // bytes of content
};

class FileTree {
  public:
    // Hard links are several paths to one object.
    using Files = std::map<std::string, std::shared_ptr<const File>, std::less<>>;

    // Longest path and name: what the kernel unpacks (PATH_MAX with the terminating zero, NAME_MAX).
    static constexpr size_t kMaxPath = 4095;
    static constexpr size_t kMaxName = 255;
    static constexpr size_t kMaxFiles = 1 << 20;

    // "./usr//bin/" becomes "usr/bin", "." becomes "". ImageBuildInput for absolute paths, "..", zero bytes
    // and what is too long.
    static Result<std::string> normalize(std::string_view path);

    // `path` is normalized and not empty. Missing directories above it are made (0755). Replaces a file that
    // is there, a directory only by a directory (which keeps what it holds). ImageBuildInput otherwise.
    Result<void> add(const std::string& path, File file);
    // Another name of a file that is there and is no directory.
    Result<void> add_link(const std::string& path, const std::string& existing);
    // All of `other` below `directory`, which is made.
    Result<void> add_tree(const std::string& directory, const FileTree& other);

    const Files& files() const { return files_; }
    const File* find(std::string_view path) const;  // nullptr
    // Follows symlinks inside the tree, from `path` (absolute or relative to the root); nullptr when that
    // leads nowhere.
    const File* resolve(std::string_view path) const;

  private:
    Result<void> add_shared(const std::string& path, std::shared_ptr<const File> file);
    Result<void> make_parents(const std::string& path);

    Files files_;
};

}  // namespace alcove::eif

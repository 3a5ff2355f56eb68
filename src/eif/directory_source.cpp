// SPDX-License-Identifier: Apache-2.0
//
// One walk. The order of the directory's entries does not matter: the tree sorts, and hard links are found
// by device and inode number, of which nothing is kept.
#include "eif/directory_source.hpp"

#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace alcove::eif {

namespace {

namespace fs = std::filesystem;

Failure refuse(const std::string& path, const std::string& why) {
    return fail(ErrorCode::ImageBuildInput, "\"" + path + "\" " + why);
}

Failure refuse(const std::string& path, const std::error_code& error) {
    return refuse(path, "can not be read: " + error.message());
}

class DirectoryWalk {
  public:
    explicit DirectoryWalk(std::string root) : root_(std::move(root)) {}

    Result<FileTree> run() {
        std::error_code error;
        if (!fs::is_directory(root_, error)) return refuse(root_, "is no directory");
        fs::recursive_directory_iterator walk(root_, error);
        std::string last = root_;  // what the walk was about to enter when it fails
        for (; !error && walk != fs::recursive_directory_iterator(); walk.increment(error)) {
            last = walk->path().string();
            TRY(take(last));
        }
        if (error) return refuse(last, error);
        return std::move(tree_);
    }

  private:
    using Identity = std::pair<dev_t, ino_t>;

    Result<void> take(const std::string& path) {
        struct stat status {};
        if (::lstat(path.c_str(), &status) != 0) return fail_errno(errno, path, ErrorCode::ImageBuildInput);
        const std::string name = TRY(FileTree::normalize(std::string_view(path).substr(root_.size() + 1)));
        if (S_ISDIR(status.st_mode)) return tree_.add(name, File::directory(permissions(status)));
        if (status.st_nlink > 1) {
            const auto [known, is_new] = links_.try_emplace(Identity(status.st_dev, status.st_ino), name);
            if (!is_new) return tree_.add_link(name, known->second);
        }
        File file = TRY(read(path, status));
        return tree_.add(name, std::move(file));
    }

    static uint16_t permissions(const struct stat& status) {
        return static_cast<uint16_t>(status.st_mode & 07777);
    }

    Result<File> read(const std::string& path, const struct stat& status) const {
        File file{.type = FileType::Regular,
                  .permissions = permissions(status),
                  .content = {},
                  .device_major = gnu_dev_major(status.st_rdev),
                  .device_minor = gnu_dev_minor(status.st_rdev)};
        switch (status.st_mode & S_IFMT) {
            case S_IFREG:
                if ((status.st_mode & (S_ISUID | S_ISGID)) != 0 && status.st_uid != 0 &&
                    status.st_uid != ::geteuid())
                    return refuse(path, "is set-user-ID and belongs to user " +
                                            std::to_string(status.st_uid) +
                                            "; in an image it would be root's");
                return File::regular(file.permissions,
                                     DiskContent{path, static_cast<uint64_t>(status.st_size)});
            case S_IFLNK: {
                std::error_code error;
                const fs::path target = fs::read_symlink(path, error);
                if (error) return refuse(path, error);
                return File::symlink(target.string());
            }
            case S_IFCHR:
                file.type = FileType::CharacterDevice;
                return file;
            case S_IFBLK:
                file.type = FileType::BlockDevice;
                return file;
            case S_IFIFO:
                file.type = FileType::Fifo;
                return file;
            default:
                return refuse(path, "is a socket, which an image can not hold");
        }
    }

    std::string root_;
    FileTree tree_;
    std::map<Identity, std::string> links_;  // the first name of each file that has several
};

}  // namespace

Result<FileTree> tree_from_directory(const std::string& directory) {
    std::string root = directory;
    while (root.size() > 1 && root.ends_with('/'))
        root.pop_back();
    if (root.empty()) return refuse(root, "is no directory");
    return DirectoryWalk(root).run();
}

}  // namespace alcove::eif

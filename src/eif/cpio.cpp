// SPDX-License-Identifier: Apache-2.0
//
// A header is "070701" and thirteen numbers of eight hexadecimal digits; then the name with a zero, then the
// content, each padded to a multiple of four. Hard links share an inode number and a link count above one;
// the first of them carries the content.
#include "eif/cpio.hpp"

#include <array>
#include <cstdio>
#include <limits>
#include <map>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>

#include "support/bits.hpp"
#include "support/fd.hpp"
#include "support/system.hpp"

namespace alcove::eif {

namespace {

constexpr uint64_t kReadPiece = 1_MiB;

uint32_t mode_of(const File& file) {
    switch (file.type) {
        case FileType::Regular:
            return S_IFREG | file.permissions;
        case FileType::Directory:
            return S_IFDIR | file.permissions;
        case FileType::Symlink:
            return S_IFLNK | file.permissions;
        case FileType::CharacterDevice:
            return S_IFCHR | file.permissions;
        case FileType::BlockDevice:
            return S_IFBLK | file.permissions;
        case FileType::Fifo:
            return S_IFIFO | file.permissions;
    }
    return 0;
}

class CpioWriter {
  public:
    explicit CpioWriter(const Sink& output) : output_(output) {}

    Result<void> header(const std::string& name, uint32_t inode, uint32_t mode, uint32_t links, uint64_t size,
                        uint32_t device_major, uint32_t device_minor) {
        const uint32_t numbers[13] = {inode,
                                      mode,
                                      0,
                                      0,
                                      links,
                                      0,
                                      static_cast<uint32_t>(size),
                                      0,
                                      0,
                                      device_major,
                                      device_minor,
                                      static_cast<uint32_t>(name.size() + 1),
                                      0};
        std::string text = "070701";
        for (const uint32_t number : numbers) {
            std::array<char, 9> digits;
            std::snprintf(digits.data(), digits.size(), "%08X", number);
            text += digits.data();
        }
        text += name;
        text += '\0';
        TRY(write(as_byte_view(text)));
        return pad();
    }

    Result<void> write(ByteView data) {
        position_ += data.size();
        return output_(data);
    }

    Result<void> pad() {
        static constexpr std::array<uint8_t, 4> kZeros{};
        return write(ByteView(kZeros).first(align_up<uint64_t>(position_, 4) - position_));
    }

  private:
    const Sink& output_;
    uint64_t position_ = 0;
};

Result<void> write_disk_file(CpioWriter& writer, const DiskContent& content) {
    const Fd file = TRY(sys::open(content.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    const struct stat status = TRY(sys::stat(file));
    if (!S_ISREG(status.st_mode) || static_cast<uint64_t>(status.st_size) != content.size)
        return fail(ErrorCode::ImageBuildInput, "\"" + content.path + "\" changed while the image was built");
    Bytes buffer(std::min(kReadPiece, content.size));
    for (uint64_t done = 0; done < content.size;) {
        const auto piece =
            MutableByteView(buffer).first(std::min<uint64_t>(buffer.size(), content.size - done));
        auto read = sys::read_exact(file, piece);
        if (!read)
            return fail(ErrorCode::ImageBuildInput, "\"" + content.path + "\": " + read.error().to_string());
        TRY(writer.write(piece));
        done += piece.size();
    }
    return {};
}

Result<void> write_content(CpioWriter& writer, const File& file) {
    if (const auto* disk = std::get_if<DiskContent>(&file.content)) {
        TRY(write_disk_file(writer, *disk));
    } else {
        TRY(writer.write(std::get<Bytes>(file.content)));
    }
    return writer.pad();
}

Result<void> check_size(const std::string& path, const File& file) {
    if (file.size() > std::numeric_limits<uint32_t>::max())
        return fail(ErrorCode::ImageBuildInput,
                    "\"" + path + "\" is larger than 4 GiB, the limit of a ramdisk's file");
    if (file.type == FileType::Symlink && (file.size() == 0 || file.size() > FileTree::kMaxPath))
        return fail(ErrorCode::ImageBuildInput,
                    "the target of the link \"" + path + "\" is empty or too long");
    return {};
}

}  // namespace

Result<void> write_cpio(const FileTree& tree, const Sink& output) {
    struct Inode {
        uint32_t links = 0;
        uint32_t number = 0;  // 0: not written yet
    };
    std::map<const File*, Inode> inodes;
    for (const auto& [path, file] : tree.files())
        ++inodes[file.get()].links;

    CpioWriter writer(output);
    uint32_t last_number = 0;
    for (const auto& [path, shared] : tree.files()) {
        const File& file = *shared;
        TRY(check_size(path, file));
        Inode& inode = inodes[&file];
        // The kernel links regular files and devices only; each name of a symlink is one of its own.
        const bool first = inode.number == 0 || file.type == FileType::Symlink;
        if (first) inode.number = ++last_number;
        const uint32_t links = file.type == FileType::Directory ? 2
                               : file.type == FileType::Symlink ? 1
                                                                : inode.links;
        const uint64_t size = first ? file.size() : 0;
        TRY(writer.header(path, inode.number, mode_of(file), links, size, file.device_major,
                          file.device_minor));
        if (size > 0) TRY(write_content(writer, file));
    }
    return writer.header("TRAILER!!!", 0, 0, 1, 0, 0, 0);
}

}  // namespace alcove::eif

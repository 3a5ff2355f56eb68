// SPDX-License-Identifier: Apache-2.0
//
// libarchive reads the headers; every name, link and size passes through FileTree's rules.
#include "eif/tar_source.hpp"

#include <sys/stat.h>

#include "eif/archive_reader.hpp"
#include "eif/build_refusal.hpp"

namespace alcove::eif {

namespace {

// The library gives nothing in the form asked for when it can not convert a name to the locale's encoding; a
// program that never calls setlocale() has the "C" locale, and pax archives have UTF-8 names.
std::string_view first_of(const char* native, const char* utf8) {
    return native != nullptr ? native : utf8 != nullptr ? utf8 : "";
}
std::string_view path_of(archive_entry* entry) {
    return first_of(::archive_entry_pathname(entry), ::archive_entry_pathname_utf8(entry));
}
std::string_view hard_link_of(archive_entry* entry) {
    return first_of(::archive_entry_hardlink(entry), ::archive_entry_hardlink_utf8(entry));
}
std::string_view symlink_of(archive_entry* entry) {
    return first_of(::archive_entry_symlink(entry), ::archive_entry_symlink_utf8(entry));
}

class TarImport {
  public:
    TarImport(ArchiveReader reader, const TarLimits& limits)
        : reader_(std::move(reader)), left_(limits.content) {}

    Result<FileTree> run() {
        for (;;) {
            archive_entry* entry = nullptr;
            const int status = ::archive_read_next_header(reader_.get(), &entry);
            if (status == ARCHIVE_EOF) return std::move(tree_);
            // A warning is about a name's encoding; the name is there nevertheless.
            if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
                return archive_failure(reader_, "the archive can not be read");
            TRY(take(entry));
        }
    }

  private:
    Result<void> take(archive_entry* entry) {
        const std::string path = TRY(FileTree::normalize(path_of(entry)));
        const std::string_view link = hard_link_of(entry);
        if (path.empty()) return {};  // the archive's root
        if (!link.empty()) {
            const std::string existing = TRY(FileTree::normalize(link));
            return tree_.add_link(path, existing);
        }
        File file = TRY(read(entry).context("\"" + path + "\""));
        return tree_.add(path, std::move(file));
    }

    Result<File> read(archive_entry* entry) {
        File file{.type = FileType::Regular,
                  .permissions = static_cast<uint16_t>(::archive_entry_perm(entry) & 07777),
                  .content = {},
                  .device_major = static_cast<uint32_t>(::archive_entry_rdevmajor(entry)),
                  .device_minor = static_cast<uint32_t>(::archive_entry_rdevminor(entry))};
        switch (::archive_entry_filetype(entry)) {
            case AE_IFDIR:
                return File::directory(file.permissions);
            case AE_IFLNK:
                return File::symlink(symlink_of(entry));
            case AE_IFCHR:
                file.type = FileType::CharacterDevice;
                return file;
            case AE_IFBLK:
                file.type = FileType::BlockDevice;
                return file;
            case AE_IFIFO:
                file.type = FileType::Fifo;
                return file;
            case AE_IFREG:
                break;
            default:
                return refuse("it is of a type that an image can not hold");
        }
        if ((file.permissions & (S_ISUID | S_ISGID)) != 0 && ::archive_entry_uid(entry) != 0)
            return refuse("it is set-user-ID and not root's; in an image it would be root's");
        Bytes content = TRY(read_archive_content(reader_, left_));
        left_ -= content.size();
        return File::regular(file.permissions, std::move(content));
    }

    ArchiveReader reader_;
    uint64_t left_;
    FileTree tree_;
};

}  // namespace

Result<FileTree> tree_from_tar(const Fd& tar, const TarLimits& limits) {
    constexpr size_t kBlock = 256_KiB;
    ArchiveReader reader = new_archive_reader(ArchiveKind::Tar);
    if (reader == nullptr || ::archive_read_open_fd(reader.get(), tar.get(), kBlock) != ARCHIVE_OK)
        return archive_failure(reader, "the archive can not be opened");
    return TarImport(std::move(reader), limits).run();
}

Result<FileTree> tree_from_tar(ByteView tar, const TarLimits& limits) {
    ArchiveReader reader = new_archive_reader(ArchiveKind::Tar);
    if (reader == nullptr || ::archive_read_open_memory(reader.get(), tar.data(), tar.size()) != ARCHIVE_OK)
        return archive_failure(reader, "the archive can not be opened");
    return TarImport(std::move(reader), limits).run();
}

}  // namespace alcove::eif

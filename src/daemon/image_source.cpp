// SPDX-License-Identifier: Apache-2.0
#include "daemon/image_source.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include <fcntl.h>

#include "support/system.hpp"

namespace alcove::daemon {

namespace {

constexpr size_t kMaxSerial = 20;  // VIRTIO 1.2, 5.2.6: the id of a block device has at most 20 bytes

std::string first_line(const std::string& path) {
    const auto content = sys::read_file(path, 256);
    if (!content) return {};
    const auto text = as_text(*content);
    return std::string(text.substr(0, text.find('\n')));
}

bool is_serial(const std::string& serial) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_' || c == '.';
    };
    return !serial.empty() && serial.size() <= kMaxSerial && std::ranges::all_of(serial, allowed);
}

}  // namespace

Result<ImageSource> image_from_descriptor(Fd descriptor) {
    const auto status = TRY(sys::stat(descriptor));
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return fail(ErrorCode::InvalidArgument, "the image is neither a file nor a disk");
    const int flags = ::fcntl(descriptor.get(), F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY || (flags & O_PATH) != 0)
        return fail(ErrorCode::InvalidArgument, "the image is not open for reading");
    const uint64_t bytes = TRY(sys::file_size(descriptor));
    return ImageSource{.descriptor = std::move(descriptor), .bytes = bytes};
}

Result<ImageSource> image_from_disk(const std::string& serial, uint64_t bytes, const std::string& sys_block,
                                    const std::string& dev) {
    return disk_from_attached(serial, bytes, FileUse::ReadOnly, sys_block, dev);
}

Result<ImageSource> disk_from_descriptor(Fd descriptor, FileUse use) {
    auto source = TRY(image_from_descriptor(std::move(descriptor)).context("a disk"));
    const int flags = ::fcntl(source.descriptor.get(), F_GETFL);
    const bool writable = (flags & O_ACCMODE) == O_RDWR && (flags & O_APPEND) == 0;
    if (writable != (use == FileUse::ReadWrite))
        return fail(ErrorCode::InvalidArgument, use == FileUse::ReadWrite
                                                    ? "a disk is not open for reading and writing"
                                                    : "a read-only disk is not open for reading only");
    return source;
}

Result<ImageSource> disk_from_attached(const std::string& serial, uint64_t bytes, FileUse use,
                                       const std::string& sys_block, const std::string& dev) {
    if (!is_serial(serial))
        return fail(ErrorCode::InvalidArgument,
                    "a disk's serial number has 1 to 20 of A-Z, a-z, 0-9, '.', '_' and '-'");
    std::error_code error;
    for (std::filesystem::directory_iterator it(sys_block, error), end; !error && it != end;
         it.increment(error)) {
        const std::string directory = it->path().string();
        if (first_line(directory + "/serial") != serial) continue;
        const bool writable = first_line(directory + "/ro") != "1";
        if (writable != (use == FileUse::ReadWrite))
            return fail(ErrorCode::InvalidArgument, "the disk with serial number " + serial + " is " +
                                                        (writable ? "writable" : "read-only"));
        auto disk = TRY(sys::open(dev + "/" + it->path().filename().string(),
                                  use == FileUse::ReadWrite ? O_RDWR : O_RDONLY));
        const uint64_t size = TRY(sys::file_size(disk));
        if (bytes == 0 || bytes > size)
            return fail(ErrorCode::InvalidArgument, "the disk with serial number " + serial + " has " +
                                                        std::to_string(size) + " bytes, not " +
                                                        std::to_string(bytes));
        return ImageSource{.descriptor = std::move(disk), .bytes = bytes};
    }
    return fail(ErrorCode::NotFound, "no disk has the serial number " + serial);
}

}  // namespace alcove::daemon

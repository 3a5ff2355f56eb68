// SPDX-License-Identifier: Apache-2.0
#include "attestor/key_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::attestor {

namespace {
constexpr uint64_t kMaxKeyFile = 64_KiB;
}

Result<crypto::SecretBytes> read_key_file(const std::string& path, Sharing sharing) {
    const auto fd = TRY(sys::open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    const auto info = TRY(sys::stat(fd));
    const mode_t forbidden = sharing == Sharing::OwnerOnly ? 077 : 037;
    if (!S_ISREG(info.st_mode)) return fail(ErrorCode::PermissionDenied, path + " is not a regular file");
    if ((info.st_mode & forbidden) != 0)
        return fail(ErrorCode::PermissionDenied,
                    path + " can be read or written by others; make it 0600, or a new key");
    if (info.st_uid != ::geteuid() && info.st_uid != 0)
        return fail(ErrorCode::PermissionDenied, path + " belongs to another user");
    const uint64_t size = TRY(sys::file_size(fd));
    if (size > kMaxKeyFile) return fail(ErrorCode::LimitExceeded, path + " is too large for a key");
    Bytes content(size);
    TRY(sys::read_exact(fd, content).context("reading " + path));
    return crypto::SecretBytes(std::move(content));
}

Result<void> prepare_private_folder(const std::string& path) {
    TRY(sys::make_directories(path, 0700));
    const auto fd = TRY(sys::open(path, O_RDONLY | O_DIRECTORY));
    const auto info = TRY(sys::stat(fd));
    if (info.st_uid != ::geteuid())
        return fail(ErrorCode::PermissionDenied, path + " belongs to another user");
    if ((info.st_mode & 022) != 0)
        return fail(ErrorCode::PermissionDenied, path + " can be written by others");
    return {};
}

}  // namespace alcove::attestor

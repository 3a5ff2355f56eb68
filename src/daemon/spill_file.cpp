// SPDX-License-Identifier: Apache-2.0
#include "daemon/spill_file.hpp"

#include <cerrno>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::daemon {

namespace {

constexpr const char* kRemedy = "; give alcoved another folder with --spill-dir";

std::string mib(uint64_t bytes) {
    return std::to_string(bytes / 1_MiB) + " MiB";
}

Result<void> check_is_on_a_disk(const Fd& directory, const std::string& folder) {
    struct statfs info {};
    if (::fstatfs(directory.get(), &info) < 0) return fail_errno(errno, "statfs of " + folder);
    if (info.f_type != TMPFS_MAGIC && info.f_type != RAMFS_MAGIC) return {};
    return fail(ErrorCode::Unsupported,
                folder + " is in memory, and EPC beyond its budget would be there, too" + kRemedy);
}

// Not every file system has files that never had a name.
Result<Fd> open_unnamed(const Fd& directory) {
    auto file = sys::open_at(directory, ".", O_TMPFILE | O_RDWR);
    if (file || (file.error().errno_value() != EOPNOTSUPP && file.error().errno_value() != EISDIR))
        return file;
    constexpr const char* kName = "new-spill-file";  // left by a daemon that was killed between these two
    (void)::unlinkat(directory.get(), kName, 0);
    auto named = TRY(sys::open_at(directory, kName, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR));
    if (::unlinkat(directory.get(), kName, 0) < 0) return fail_errno(errno, "unlink of a spill file");
    return named;
}

}  // namespace

Result<Fd> make_spill_file(const std::string& folder, uint64_t bytes) {
    TRY(sys::make_directories(folder, 0700));
    const auto directory = TRY(sys::open(folder, O_RDONLY | O_DIRECTORY));
    TRY(check_is_on_a_disk(directory, folder));
    auto file = TRY(open_unnamed(directory).context(folder));
    const auto allocated = sys::allocate(file, 0, 0, bytes);
    if (allocated) return file;
    const int error = allocated.error().errno_value();
    if (error == EOPNOTSUPP)
        return fail(ErrorCode::Unsupported,
                    "the file system of " + folder + " can not take space for EPC beforehand" + kRemedy);
    if (error == ENOSPC || error == EFBIG || error == EDQUOT)
        return fail(ErrorCode::NoSpace, "the disk of " + folder + " has no room for " + mib(bytes) +
                                            " of EPC: make some, or a smaller EPC" + kRemedy);
    return Failure{Error(allocated.error()).context("taking space for EPC in " + folder)};
}

}  // namespace alcove::daemon

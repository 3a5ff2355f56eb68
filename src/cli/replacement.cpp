// SPDX-License-Identifier: Apache-2.0
#include "cli/replacement.hpp"

#include <cerrno>
#include <cstdio>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/system.hpp"

namespace alcove::cli {

Result<Replacement> Replacement::create(const std::string& target, mode_t mode) {
    struct stat status {};
    if (::stat(target.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
        return fail(ErrorCode::InvalidArgument, target + " is there and is no file");
    std::string path = target + ".new-" + std::to_string(::getpid());
    auto file = TRY(sys::open(path, O_RDWR | O_CREAT | O_EXCL, mode));
    return Replacement(std::move(file), std::move(path), target);
}

Replacement::Replacement(Replacement&& other) noexcept
    : file_(std::move(other.file_)),
      path_(std::exchange(other.path_, {})),
      target_(std::move(other.target_)) {}

Replacement::~Replacement() {
    if (!path_.empty()) ::unlink(path_.c_str());
}

Result<void> Replacement::commit() {
    if (::rename(path_.c_str(), target_.c_str()) < 0)
        return fail_errno(errno, "rename " + path_ + " to " + target_);
    path_.clear();
    return {};
}

}  // namespace alcove::cli

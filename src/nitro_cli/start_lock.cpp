// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/start_lock.hpp"

#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "nitro_cli/failure_code.hpp"
#include "support/system.hpp"

namespace alcove::nitro_cli {

namespace {

constexpr int kPause = 100;  // ms

}  // namespace

Result<StartLock> StartLock::take(const std::string& path, const Fd& caller) {
    // For whoever may write the folder; the lock is on the file, which has no content.
    auto file = TRY(coded(FailureCode::LockAcquire, sys::open(path, O_RDONLY | O_CREAT, 0664)));
    while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) return fail(FailureCode::LockAcquire, path);
        pollfd watched{caller.get(), 0, 0};
        if (::poll(&watched, 1, kPause) > 0)
            return fail(FailureCode::LockAcquire, "whoever asked for the enclave has gone");
    }
    return StartLock(std::move(file));
}

}  // namespace alcove::nitro_cli

// SPDX-License-Identifier: Apache-2.0
#include "init/file.hpp"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace alcove::init {

Result<Fd> open_file(const std::string& path, int flags) {
    Fd fd(open(path.c_str(), flags | O_CLOEXEC));
    if (!fd.is_open()) return fail_errno(errno, path);
    return fd;
}

Result<std::string> read_file(const std::string& path, size_t limit) {
    constexpr size_t kChunk = 4096;
    const Fd file = TRY(open_file(path, O_RDONLY));
    std::string content;
    for (;;) {
        const size_t length = content.size();
        content.resize(length + kChunk);
        const ssize_t count = read(file.get(), content.data() + length, kChunk);
        if (count < 0) return fail_errno(errno, path);
        content.resize(length + static_cast<size_t>(count));
        if (count == 0) return content;
        if (content.size() > limit)
            return fail(ErrorCode::LimitExceeded,
                        path + " has more than " + std::to_string(limit) + " bytes");
    }
}

}  // namespace alcove::init

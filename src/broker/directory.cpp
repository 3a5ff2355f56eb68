// SPDX-License-Identifier: Apache-2.0
#include "broker/directory.hpp"

#include <cerrno>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "support/system.hpp"

namespace alcove::broker {

Result<std::vector<std::string>> names_in(const Fd& directory) {
    auto copy = TRY(sys::open_at(directory, ".", O_RDONLY | O_DIRECTORY));  // with a position of its own
    DIR* const stream = ::fdopendir(copy.get());
    if (stream == nullptr) return fail_errno(errno, "fdopendir");
    copy.release();  // the stream's now
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(stream)) {
        const std::string name = entry->d_name;
        if (name != "." && name != "..") names.push_back(name);
    }
    ::closedir(stream);
    return names;
}

Result<void> remove_tree(const Fd& above, const std::string& name, int depth) {
    const auto directory = TRY(sys::open_at(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    const auto names = TRY(names_in(directory));
    for (const auto& child : names) {
        if (::unlinkat(directory.get(), child.c_str(), 0) == 0) continue;
        if (depth > 0) (void)remove_tree(directory, child, depth - 1);  // a failure shows in the rmdir below
    }
    if (::unlinkat(above.get(), name.c_str(), AT_REMOVEDIR) < 0) return fail_errno(errno, "rmdir " + name);
    return {};
}

}  // namespace alcove::broker

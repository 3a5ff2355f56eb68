// SPDX-License-Identifier: Apache-2.0
#include "broker/cgroups.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/directory.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::broker {

Result<Cgroups> Cgroups::open(const std::string& root) {
    auto root_directory = TRY(sys::open(root, O_PATH | O_DIRECTORY));
    Cgroups above(std::move(root_directory));
    TRY(above.delegate("."));
    const auto made = above.make("alcove");
    if (!made && made.error().code() != ErrorCode::AlreadyExists) return Failure{made.error()};
    auto directory = TRY(above.open_file("alcove", O_PATH | O_DIRECTORY));
    Cgroups groups(std::move(directory));
    TRY(groups.delegate("."));
    // Since Linux 6.7, a group deep in the tree can have CPUs for itself if all above it allow it. Older
    // kernels have no such file; a dedicated VM is then told that its cores are not exclusive.
    const auto all = above.read("cpuset.cpus.effective");
    if (made && all) {
        const auto allowed = groups.write("cpuset.cpus.exclusive", *all);
        if (!allowed) log::warn("no exclusive cores: {}", allowed.error().to_string());
    }
    return groups;
}

bool Cgroups::host_swaps() const {
    const auto swaps = sys::read_file("/proc/swaps", 64 * 1024);
    if (!swaps) return swaps.error().code() != ErrorCode::NotFound;
    const auto text = as_text(*swaps);
    return std::ranges::count(text, '\n') > 1;
}

Result<void> Cgroups::make(const std::string& group) {
    if (::mkdirat(directory_.get(), group.c_str(), 0755) < 0)
        return fail_errno(errno, "mkdir " + group,
                          errno == EEXIST ? ErrorCode::AlreadyExists : ErrorCode::SystemCall);
    return {};
}

Result<void> Cgroups::delegate(const std::string& group) const {
    return write(group + "/cgroup.subtree_control", "+cpuset +memory +pids");
}

Result<void> Cgroups::remove(const std::string& group) {
    if (::unlinkat(directory_.get(), group.c_str(), AT_REMOVEDIR) == 0) return {};
    const auto code = errno == ENOENT  ? ErrorCode::NotFound
                      : errno == EBUSY ? ErrorCode::Busy
                                       : ErrorCode::SystemCall;
    return fail_errno(errno, "rmdir " + group, code);
}

Result<std::vector<std::string>> Cgroups::children(const std::string& group) const {
    const auto directory = TRY(open_file(group, O_RDONLY | O_DIRECTORY));
    auto names = TRY(names_in(directory));
    // The kernel's files have dots in their names, our groups have none.
    std::erase_if(names, [](const std::string& name) { return name.find('.') != std::string::npos; });
    return names;
}

Result<Fd> Cgroups::open_file(const std::string& file, int flags) const {
    return sys::open_at(directory_, file, flags | O_NOFOLLOW).context("cgroup");
}

Result<void> Cgroups::write(const std::string& file, std::string_view text) const {
    const auto fd = TRY(open_file(file, O_WRONLY | O_TRUNC));
    return sys::write_all(fd, as_byte_view(text)).context("cgroup " + file);
}

Result<std::string> Cgroups::read(const std::string& file) const {
    const auto fd = TRY(open_file(file, O_RDONLY));
    Bytes content(4096);
    const auto transfer = TRY(sys::read_some(fd, content));
    return std::string(as_text(ByteView(content).first(transfer.bytes)));
}

}  // namespace alcove::broker

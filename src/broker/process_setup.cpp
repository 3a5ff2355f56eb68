// SPDX-License-Identifier: Apache-2.0
#include "broker/process_setup.hpp"

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/system.hpp"

namespace alcove::broker {

namespace {

Result<void> check(long result, const std::string& what) {
    if (result < 0) return fail_errno(errno, what);
    return {};
}

bool is_smt_active() {
    const auto active = sys::read_file("/sys/devices/system/cpu/smt/active", 16);
    return active && as_text(*active).starts_with("1");
}

// `path` below the new root, which is the working directory.
Result<void> show(const std::string& path) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) < 0) return {};  // not every system has every library folder
    const std::string target = "." + path;
    TRY(sys::make_directories(target.substr(0, target.rfind('/'))));
    if (S_ISLNK(info.st_mode)) {
        char text[PATH_MAX] = {};
        TRY(check(::readlink(path.c_str(), text, sizeof text - 1), "readlink " + path));
        return check(::symlink(text, target.c_str()), "symlink " + path);
    }
    TRY(check(::mkdir(target.c_str(), 0755), "mkdir " + path));
    TRY(check(::mount(path.c_str(), target.c_str(), nullptr, MS_BIND | MS_REC, nullptr), "bind " + path));
    constexpr unsigned long kReadOnly = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV;
    return check(::mount(nullptr, target.c_str(), nullptr, kReadOnly, nullptr), "remount " + path);
}

}  // namespace

Result<pid_t> fork_into(const Fd& cgroup) {
    clone_args arguments{};
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.exit_signal = SIGCHLD;
    arguments.cgroup = static_cast<uint64_t>(cgroup.get());
    const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid < 0) return fail_errno(errno, "clone3 into a cgroup");
    return static_cast<pid_t>(pid);
}

Result<void> enter_empty_root(const std::string& mount_point, const std::vector<std::string>& visible) {
    TRY(check(::unshare(CLONE_NEWNS), "unshare of mounts"));
    TRY(check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "private mounts"));
    constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    TRY(check(::mount("jail", mount_point.c_str(), "tmpfs", kPlain, "size=64k,nr_inodes=64,mode=0755"),
              "mount tmpfs"));
    TRY(check(::chdir(mount_point.c_str()), "chdir to the new root"));
    for (const auto& path : visible)
        TRY(show(path));
    TRY(check(::mount(nullptr, ".", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | kPlain, nullptr),
              "read-only root"));
    if (::syscall(SYS_pivot_root, ".", ".") == 0)
        return check(::umount2(".", MNT_DETACH), "umount of the old root");
    if (errno != EINVAL) return fail_errno(errno, "pivot_root");
    // The initial file system of a kernel can not be pivoted away from. Covered, it is out of reach as well.
    TRY(check(::mount(".", "/", nullptr, MS_MOVE, nullptr), "moving the new root"));
    TRY(check(::chroot("."), "chroot"));
    return check(::chdir("/"), "chdir /");
}

Result<void> limit_resources(uint64_t descriptors) {
    const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
    const rlimit files{.rlim_cur = descriptors, .rlim_max = descriptors};
    TRY(check(::setrlimit(RLIMIT_CORE, &no_core), "RLIMIT_CORE"));
    return check(::setrlimit(RLIMIT_NOFILE, &files), "RLIMIT_NOFILE");
}

Result<void> drop_privileges(uid_t uid, gid_t gid) {
    TRY(check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs"));
    for (unsigned long capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
        TRY(check(::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "capability bounding set"));
    TRY(check(::setgroups(0, nullptr), "setgroups"));
    TRY(check(::setresgid(gid, gid, gid), "setresgid"));
    TRY(check(::setresuid(uid, uid, uid), "setresuid"));
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
    TRY(check(::syscall(SYS_capset, &header, none), "capset"));
    if (uid != 0 && ::setuid(0) == 0) return fail(ErrorCode::Internal, "privileges came back");
    return {};
}

Result<void> check_siblings_can_be_shared() {
    unsigned long cookie = 0;  // of this thread
    if (!is_smt_active() ||
        ::prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, 0, PR_SCHED_CORE_SCOPE_THREAD, &cookie) == 0)
        return {};
    return fail_errno(errno,
                      "the kernel has no core scheduling, so this host's siblings can not be shared safely",
                      ErrorCode::Unsupported);
}

Result<void> isolate_siblings() {
    TRY(check_siblings_can_be_shared());
    if (!is_smt_active()) return {};
    return check(::prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD_GROUP, 0),
                 "PR_SCHED_CORE_CREATE");
}

Error become_program(const ProgramStart& start, int& status) {
    constexpr int kAbove = 64;  // out of the way of all targets
    std::vector<int> all = {start.standard_input, start.output, start.output, start.channel};
    all.insert(all.end(), start.more.begin(), start.more.end());
    const int new_status = static_cast<int>(all.size());
    all.insert(all.end(), {status, start.program});
    for (int& fd : all) {
        fd = ::fcntl(fd, F_DUPFD_CLOEXEC, kAbove);
        if (fd < 0) return Error::from_errno(errno, "moving descriptors");
    }
    int target = 0;
    for (const int fd : all) {
        if (::dup3(fd, target, target < new_status ? 0 : O_CLOEXEC) < 0)
            return Error::from_errno(errno, "placing descriptors");
        ++target;
    }
    status = new_status;
    const int program = new_status + 1;
    if (::syscall(SYS_close_range, program + 1, ~0U, 0) < 0) return Error::from_errno(errno, "close_range");
    // Seen by nobody else: this process is single-threaded and about to be another program.
    std::vector<char*> arguments;
    for (const auto& argument : start.arguments)
        arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    const char* const level = ::getenv("ALCOVE_LOG");
    std::string log = std::string("ALCOVE_LOG=") + (level == nullptr ? "info" : level);
    std::string path = "PATH=/usr/bin:/bin";
    char* environment[] = {path.data(), log.data(), nullptr};
    ::syscall(SYS_execveat, program, "", arguments.data(), environment, AT_EMPTY_PATH);
    return Error::from_errno(errno, "executing " + start.arguments.front());
}

}  // namespace alcove::broker

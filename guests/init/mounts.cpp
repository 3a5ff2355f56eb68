// SPDX-License-Identifier: Apache-2.0
#include "init/mounts.hpp"

#include <cerrno>
#include <string>

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

namespace alcove::init {

namespace {

constexpr char kRoot[] = "/rootfs";

struct Mount {
    const char* type;
    const char* target;
    unsigned long flags;
    const char* options;
};

// /dev is not `noexec`: SGX enclaves are mapped executable from a device there.
constexpr Mount kEarly[] = {
    {"devtmpfs", "/dev", MS_NOSUID, "mode=0755"},
    {"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""},
    {"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""},
};

constexpr Mount kLate[] = {
    {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
    {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666,gid=5"},
    {"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""},
};

struct Link {
    const char* target;
    const char* path;
};

constexpr Link kLinks[] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

// 0 or the errno. A directory that cannot be made shows at the mount, with the better message.
int mount_one(const Mount& entry) {
    mkdir(entry.target, 0755);
    return mount(entry.type, entry.target, entry.type, entry.flags, entry.options) == 0 ? 0 : errno;
}

std::string description(const Mount& entry) {
    return std::string("mounting ") + entry.type + " at " + entry.target;
}

}  // namespace

Result<void> mount_early() {
    for (const Mount& entry : kEarly) {
        const int error = mount_one(entry);
        // EBUSY: a kernel that mounts devtmpfs by itself was there first.
        if (error != 0 && error != EBUSY) return fail_errno(error, description(entry));
    }
    return {};
}

Result<void> enter_root() {
    struct stat status {};
    if (stat(kRoot, &status) != 0) {
        if (errno == ENOENT) return {};
        return fail_errno(errno, kRoot);
    }
    // Only a mount can be moved: the directory becomes one by being bound to itself.
    if (mount(kRoot, kRoot, nullptr, MS_BIND, nullptr) != 0) return fail_errno(errno, "binding /rootfs");
    if (chdir(kRoot) != 0) return fail_errno(errno, "entering /rootfs");
    for (const Mount& entry : kEarly) {
        const std::string target = std::string(kRoot) + entry.target;
        mkdir(target.c_str(), 0755);
        if (mount(entry.target, target.c_str(), nullptr, MS_MOVE, nullptr) != 0)
            return fail_errno(errno, "moving " + std::string(entry.target) + " to " + target);
    }
    if (mount(".", "/", nullptr, MS_MOVE, nullptr) != 0) return fail_errno(errno, "moving /rootfs to /");
    if (chroot(".") != 0) return fail_errno(errno, "changing the root to /rootfs");
    if (chdir("/") != 0) return fail_errno(errno, "entering the new root");
    return {};
}

Result<void> mount_late() {
    for (const Mount& entry : kLate) {
        const int error = mount_one(entry);
        // ENODEV: the kernel has no such file system. ENOENT: nor, therefore, the directory for it in /sys.
        if (error != 0 && error != ENODEV && error != ENOENT) return fail_errno(error, description(entry));
    }
    // A root that brings its own keeps it.
    for (const Link& link : kLinks) {
        if (symlink(link.target, link.path) != 0 && errno != EEXIST)
            return fail_errno(errno, std::string("linking ") + link.path);
    }
    return {};
}

}  // namespace alcove::init

// SPDX-License-Identifier: Apache-2.0
//
// For this folder's tests: a tree of plain directories in which making a group makes the kernel's files, and
// removing it takes them away or, if a test says that processes are in it, fails as the kernel does. CPUs are
// exclusive to one VM, and a partition that has more of them than the group above becomes invalid, as in
// the kernel. Also a run directory beside it, and launch requests that are in order.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "broker/cgroups.hpp"
#include "broker/vm_folders.hpp"
#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::broker {

class FakeCgroups : public Cgroups {
  public:
    explicit FakeCgroups(std::filesystem::path root)
        : Cgroups(sys::open(root, O_PATH | O_DIRECTORY).value()), root_(std::move(root)) {}

    std::set<std::string> populated;      // groups with processes in them
    std::set<std::string> missing_files;  // that this kernel does not have
    std::string refused_group;            // that can not be made
    mutable int broken_partitions = 0;    // that were valid before a write
    mutable uint64_t reclaimable = 0;     // of what a group uses
    bool swaps = false;                   // the host has swap

    bool host_swaps() const override { return swaps; }
    Result<void> make(const std::string& group) override {
        if (group == refused_group) return fail(ErrorCode::SystemCall, "refused by the test");
        if (::mkdir((root_ / group).c_str(), 0755) < 0)
            return fail_errno(errno, "mkdir", ErrorCode::AlreadyExists);
        for (const char* file :
             {"cgroup.subtree_control", "cgroup.procs", "cgroup.threads", "cgroup.type", "cgroup.kill",
              "cgroup.events", "memory.max", "memory.current", "memory.swap.max", "pids.max", "cpuset.cpus",
              "cpuset.cpus.exclusive", "cpuset.cpus.partition"})
            if (!missing_files.contains(file)) std::ofstream(root_ / group / file);
        return {};
    }
    Result<void> remove(const std::string& group) override {
        if (!std::filesystem::exists(root_ / group)) return fail(ErrorCode::NotFound, "no group");
        if (populated.contains(group)) return fail(ErrorCode::Busy, "processes");
        for (const auto& entry : std::filesystem::directory_iterator(root_ / group))
            if (entry.is_regular_file()) std::filesystem::remove(entry);
        return Cgroups::remove(group);
    }
    Result<void> write(const std::string& file, std::string_view text) const override {
        if (file.ends_with("/cpuset.cpus.exclusive") && is_taken(file, text))
            return fail_errno(EINVAL, "exclusive CPUs of another group");
        if (file.ends_with("/memory.reclaim")) return reclaim(file, text);
        TRY(Cgroups::write(file, text));
        if (file.ends_with("/vmm/vcpus/cpuset.cpus.partition")) judge(file);
        const auto names = children(".");
        for (const auto& vm : names ? *names : std::vector<std::string>{})
            if (content(vm + "/vmm/vcpus/cpuset.cpus.partition") == "isolated" && !judge(vm + "/vmm/vcpus/x"))
                ++broken_partitions;
        return {};
    }
    std::string content(const std::string& file) const {
        std::ifstream stream(root_ / file);
        return {std::istreambuf_iterator<char>(stream), {}};
    }
    void set(const std::string& file, const std::string& text) const { std::ofstream(root_ / file) << text; }

  private:
    Result<void> reclaim(const std::string& file, std::string_view text) const {
        const std::string current = file.substr(0, file.rfind('/')) + "/memory.current";
        const auto wanted = std::stoull(std::string(text));
        const auto taken = std::min<uint64_t>(wanted, reclaimable);
        reclaimable -= taken;
        set(current, std::to_string(std::stoull(content(current)) - taken) + "\n");
        if (taken < wanted) return fail_errno(EAGAIN, "memory.reclaim");
        return {};
    }
    api::CpuMask exclusive(const std::string& group) const {
        return api::CpuMask::parse_list(content(group + "/cpuset.cpus.exclusive")).value();
    }
    bool is_taken(const std::string& file, std::string_view text) const {
        const auto wanted = api::CpuMask::parse_list(text).value();
        const auto names = children(".").value();
        return std::ranges::any_of(names, [&](const std::string& vm) {
            const bool same = file.starts_with(vm + "/");
            return !same && (exclusive(vm) | wanted).count() < exclusive(vm).count() + wanted.count();
        });
    }
    // Of a file of the group <vm>/vmm/vcpus that wants to be a partition.
    bool judge(const std::string& file) const {
        const std::string group = file.substr(0, file.rfind('/'));
        if (!content(group + "/cpuset.cpus.partition").starts_with("isolated")) return true;
        bool valid = exclusive(group).count() != 0;
        for (auto above = group; above.find('/') != std::string::npos;) {
            above = above.substr(0, above.rfind('/'));
            valid = valid && (exclusive(above) | exclusive(group)) == exclusive(above);
        }
        if (!valid) set(group + "/cpuset.cpus.partition", "isolated invalid (not exclusive above)\n");
        return valid;
    }

    std::filesystem::path root_;
};

struct FakeHost {
    std::filesystem::path root = [] {
        std::string name = testing::TempDir() + "/alcove-broker-XXXXXX";
        return std::filesystem::path(::mkdtemp(name.data()));
    }();
    std::filesystem::path run = [this] {
        std::filesystem::create_directory(root / "run");
        std::filesystem::create_directory(root / "cgroup");
        return root / "run";
    }();
    FakeCgroups cgroups{root / "cgroup"};
    VmFolders folders = VmFolders::open(cgroups, run, {.shim_uid = ::getuid(), .group = ::getgid()}).value();

    ~FakeHost() { std::filesystem::remove_all(root); }

    bool is_empty() const {
        return std::filesystem::is_empty(root / "cgroup") && std::filesystem::is_empty(run / "vm") &&
               std::filesystem::is_empty(run / "slots");
    }
};

// Two cores of two threads: 0 and 1, 2 and 3.
inline Result<api::CpuMask> two_cores(uint32_t cpu) {
    if (cpu > 3) return fail(ErrorCode::NotFound, "no such CPU");
    api::CpuMask mask;
    mask.add(cpu & ~1U);
    mask.add(cpu | 1U);
    return mask;
}

inline api::broker::Launch good_launch(const std::string& id = "vm-1", uint32_t slot = 7) {
    api::broker::Launch launch{};
    launch.request = 5;
    launch.flags = api::broker::Launch::kDedicated;
    launch.vm_id = api::VmId::parse(id).value().field();
    launch.vcpu_count = 2;
    launch.threads_per_core = 2;
    launch.page_size = api::kSmallPage;
    launch.vmm_slot = slot;
    launch.memory_bytes = 64_MiB;
    launch.image_size = 1000;
    launch.guest_cid = 16;
    launch.host_cpus.add(2);
    launch.host_cpus.add(3);
    launch.module_id = api::TextField<128>::of("i-1234-enc5678");
    return launch;
}

inline api::broker::Launch good_primary_launch(uint32_t disks = 2) {
    auto launch = good_launch("i-0123456789abcdef0");
    launch.role = static_cast<uint32_t>(api::VmRole::Primary);
    launch.guest_cid = api::kParentCid;
    launch.disk_count = disks;
    launch.module_id = {};
    return launch;
}

inline api::broker::Launch good_sgx_launch() {
    auto launch = good_primary_launch(0);
    launch.sgx.sections[0] = {.base = api::EpcSection::kAnywhere, .size_mib = 4, .node = 0};
    launch.sgx.flags = api::Sgx::kSgx1;
    launch.sgx_root_owner = api::TextField<80>::of("vm:dev");
    return launch;
}

inline api::broker::Launch good_hardware_sgx_launch() {
    auto launch = good_sgx_launch();
    launch.sgx.sections[1] = launch.sgx.sections[0];
    launch.sgx.flags = launch.sgx.flags | api::Sgx::kHardware;
    launch.sgx_root_owner = {};
    return launch;
}

inline api::broker::Launch good_spilling_launch() {
    auto launch = good_sgx_launch();
    launch.sgx.budget_mib = 1;
    return launch;
}

inline api::broker::Launch good_carved_launch() {
    auto launch = good_launch("i-1234-enc5678");
    launch.flags = api::broker::Launch::kCarved;
    launch.vcpu_count = 0;
    launch.threads_per_core = 0;
    launch.image_size = 0;
    launch.guest_cid = 0;
    return launch;
}

inline api::broker::AssignCores assignment(const std::vector<uint32_t>& cpus,
                                           uint32_t flags = api::broker::Launch::kDedicated,
                                           const std::string& id = "vm-1") {
    api::broker::AssignCores request{};
    request.request = 12;
    request.flags = flags;
    request.vm_id = api::VmId::parse(id).value().field();
    for (const uint32_t cpu : cpus)
        request.host_cpus.add(cpu);
    return request;
}

}  // namespace alcove::broker

// SPDX-License-Identifier: Apache-2.0
#include "broker/vm_folders.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <set>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/directory.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::broker {

namespace {

constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

Failure refused(const std::string& what) {
    const int error = errno;
    return fail_errno(error, what, error == EEXIST ? ErrorCode::AlreadyExists : ErrorCode::SystemCall);
}

Result<Fd> make_private_directory(const Fd& above, const std::string& name, mode_t mode) {
    if (::mkdirat(above.get(), name.c_str(), mode) < 0 && errno != EEXIST) return refused("mkdir " + name);
    return sys::open_at(above, name, kDirectory);
}

std::string vcpus_of(const std::string& id) {
    return id + "/vmm/vcpus";
}

std::string slot_target(const Fd& slots, const std::string& name) {
    std::array<char, 128> text{};
    const ssize_t length = ::readlinkat(slots.get(), name.c_str(), text.data(), text.size());
    return {text.data(), length < 0 ? 0 : static_cast<size_t>(length)};
}

}  // namespace

Result<VmFolders> VmFolders::open(Cgroups& cgroups, const std::string& run, Owner owner) {
    const auto above = TRY(sys::open(run, kDirectory));
    auto vms = TRY(make_private_directory(above, "vm", 0755));
    auto slots = TRY(make_private_directory(above, "slots", 0700));
    return VmFolders(cgroups, std::move(vms), std::move(slots), owner);
}

Result<VmPlaces> VmFolders::create(const LaunchPlan& plan) {
    const std::string& id = plan.id.text();
    const std::string slot = std::to_string(plan.numbers.vmm_slot);
    // The slot is the first thing made and the last one removed: who has it has everything else to itself.
    const auto slots = TRY(slots_by_vm());
    if (slots.contains(id)) return fail(ErrorCode::AlreadyExists, "VM " + id + " is there already");
    if (::symlinkat(id.c_str(), slots_.get(), slot.c_str()) < 0)
        return errno == EEXIST ? fail(ErrorCode::AlreadyExists,
                                      "VMM slot " + slot + " belongs to VM " + slot_target(slots_, slot))
                               : refused("claiming VMM slot " + slot);
    auto places = fill(plan);
    if (places) return places;
    const auto undone = remove(plan.id);
    if (!undone) log::error("VM {}: undoing a failed launch: {}", id, undone.error().to_string());
    return places;
}

Result<VmPlaces> VmFolders::fill(const LaunchPlan& plan) {
    const std::string& id = plan.id.text();
    TRY(cgroups_.make(id));
    TRY(cgroups_.delegate(id));
    TRY(cgroups_.make(id + "/vmm"));
    TRY(cgroups_.make(id + "/shim"));
    TRY(make_vcpu_group(id));
    TRY(limit(plan));
    auto note = TRY(assign_cores(plan.cores()));
    auto folder = TRY(make_folder(id));
    auto shim_cgroup = TRY(cgroups_.open_file(id + "/shim", kDirectory));
    auto vmm_cgroup = TRY(cgroups_.open_file(id + "/vmm", kDirectory));
    auto vmm_kill = TRY(cgroups_.open_file(id + "/vmm/cgroup.kill", O_WRONLY));
    auto vcpu_threads = TRY(cgroups_.open_file(vcpus_of(id) + "/cgroup.threads", O_WRONLY));
    auto vcpu_partition = TRY(cgroups_.open_file(vcpus_of(id) + "/cpuset.cpus.partition", O_RDONLY));
    return VmPlaces{.folder = std::move(folder),
                    .shim_cgroup = std::move(shim_cgroup),
                    .vmm_cgroup = std::move(vmm_cgroup),
                    .vmm_kill = std::move(vmm_kill),
                    .vcpu_threads = std::move(vcpu_threads),
                    .vcpu_partition = std::move(vcpu_partition),
                    .core_note = std::move(note)};
}

// Threads of one process in groups of their own: only controllers that can do that are handed on.
Result<void> VmFolders::make_vcpu_group(const std::string& id) {
    TRY(cgroups_.make(vcpus_of(id)));
    TRY(cgroups_.write(vcpus_of(id) + "/cgroup.type", "threaded"));
    return cgroups_.write(id + "/vmm/cgroup.subtree_control", "+cpuset");
}

Result<void> VmFolders::limit(const LaunchPlan& plan) {
    const std::string& id = plan.id.text();
    TRY(cgroups_.write(id + "/memory.max", std::to_string(plan.memory_limit())));
    const auto no_swap = cgroups_.write(id + "/memory.swap.max", "0");
    // A kernel without swap has no such file; one that swaps and has none could write guest memory to a disk.
    const bool harmless = !no_swap && no_swap.error().code() == ErrorCode::NotFound && !cgroups_.host_swaps();
    if (!no_swap && !harmless) return no_swap;
    return cgroups_.write(id + "/pids.max", std::to_string(plan.process_limit()));
}

// The kernel would kill to enforce a limit below what is in use. Pages of files that are on a disk are in
// use, too, until somebody asks for them (memory.reclaim, Linux 5.19).
Result<void> VmFolders::limit_memory(const LaunchPlan& plan) {
    const std::string& id = plan.id.text();
    const uint64_t limit = plan.memory_limit();
    for (bool asked = false;; asked = true) {
        const auto text = TRY(cgroups_.read(id + "/memory.current"));
        const uint64_t used = std::strtoull(text.c_str(), nullptr, 10);
        if (used <= limit) return cgroups_.write(id + "/memory.max", std::to_string(limit));
        if (asked) return fail(ErrorCode::Busy, "VM " + id + " uses " + std::to_string(used) + " bytes");
        (void)cgroups_.write(id + "/memory.reclaim", std::to_string(used - limit)).has_value();
    }
}

Result<std::string> VmFolders::assign_cores(const CorePlan& cores) {
    const auto claimed = cores.dedicated ? claim_cores(cores) : Result<void>();
    if (!cores.dedicated || !claimed) give_up_cores(cores.id);
    // Where they are not claimed, the vCPUs run on those that no other partition has.
    TRY(cgroups_.write(vcpus_of(cores.id.text()) + "/cpuset.cpus", cores.host_cpus.to_list()));
    return claimed ? "" : claimed.error().to_string();
}

// The partition is the vCPUs' group; the kernel balances no load in it, because each thread has its CPU. It
// never has a CPU that the groups above have not: those have the former CPUs and the new ones in between, so
// that the partition is valid throughout, whether it grows or shrinks.
Result<void> VmFolders::claim_cores(const CorePlan& cores) {
    const std::string whole = cores.id.text() + "/cpuset.cpus.exclusive";
    const std::string vmm = cores.id.text() + "/vmm/cpuset.cpus.exclusive";
    const std::string vcpus = vcpus_of(cores.id.text()) + "/";
    const std::string list = cores.host_cpus.to_list();
    const auto before = cgroups_.read(whole);
    if (!before && before.error().code() == ErrorCode::NotFound)
        return fail(ErrorCode::Unsupported,
                    "this kernel has no cpuset.cpus.exclusive (Linux has it since 6.7)");
    if (!before) return Failure{before.error()};
    const auto former = TRY(api::CpuMask::parse_list(*before));
    for (const auto& above : {whole, vmm})
        TRY(cgroups_.write(above, (former | cores.host_cpus).to_list()));
    TRY(cgroups_.write(vcpus + "cpuset.cpus.exclusive", list));
    TRY(cgroups_.write(vcpus + "cpuset.cpus", list));
    for (const auto& above : {vmm, whole})
        TRY(cgroups_.write(above, list));
    TRY(cgroups_.write(vcpus + "cpuset.cpus.partition", "isolated"));
    const auto state = TRY(cgroups_.read(vcpus + "cpuset.cpus.partition"));
    const auto line = state.substr(0, state.find('\n'));  // "isolated invalid (why)" when it had no effect
    if (line == "isolated") return {};
    return fail(ErrorCode::Unsupported, "cpuset.cpus.partition: " + line);
}

// What a kernel does not have, or a VM never had, is not missed.
void VmFolders::give_up_cores(const api::VmId& id) {
    (void)cgroups_.write(vcpus_of(id.text()) + "/cpuset.cpus.partition", "member").has_value();
    for (const auto& group : {vcpus_of(id.text()), id.text() + "/vmm", id.text()})
        (void)cgroups_.write(group + "/cpuset.cpus.exclusive", "\n").has_value();
}

Result<Fd> VmFolders::make_folder(const std::string& id) {
    // Closed until it has its owner.
    if (::mkdirat(vms_.get(), id.c_str(), 0700) < 0) return refused("mkdir vm/" + id);
    auto folder = TRY(sys::open_at(vms_, id, kDirectory));
    if (::fchown(folder.get(), owner_.shim_uid, owner_.group) < 0) return refused("chown vm/" + id);
    if (::fchmod(folder.get(), S_ISGID | S_ISVTX | 0770) < 0) return refused("chmod vm/" + id);
    return folder;
}

Result<void> VmFolders::kill_vmm(const api::VmId& id) {
    return cgroups_.write(id.text() + "/vmm/cgroup.kill", "1");
}

Result<void> VmFolders::kill_all(const api::VmId& id) {
    const auto killed = cgroups_.write(id.text() + "/cgroup.kill", "1");
    if (!killed && killed.error().code() != ErrorCode::NotFound) return killed;
    return {};
}

Result<void> VmFolders::remove(const api::VmId& vm) {
    const std::string& id = vm.text();
    bool found = false;
    for (const auto& group : {vcpus_of(id), id + "/vmm", id + "/shim", id}) {
        const auto removed = cgroups_.remove(group);
        if (!removed && removed.error().code() != ErrorCode::NotFound) return removed;
        found = found || removed;
    }
    if (::faccessat(vms_.get(), id.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        found = true;
        TRY(remove_tree(vms_, id, 4));
    }
    const auto slots = TRY(slots_by_vm());
    if (const auto slot = slots.find(id); slot != slots.end()) {
        found = true;
        if (::unlinkat(slots_.get(), std::to_string(slot->second).c_str(), 0) < 0)
            return refused("freeing a VMM slot");
    }
    if (!found) return fail(ErrorCode::NotFound, "there is no VM " + id);
    return {};
}

bool VmFolders::is_populated(const std::string& group) {
    const auto events = cgroups_.read(group + "/cgroup.events");
    return events && events->find("populated 1") != std::string::npos;
}

Result<std::map<std::string, uint32_t>> VmFolders::slots_by_vm() {
    const auto names = TRY(names_in(slots_));
    std::map<std::string, uint32_t> slots;
    for (const auto& name : names)
        slots.emplace(slot_target(slots_, name),
                      static_cast<uint32_t>(std::strtoul(name.c_str(), nullptr, 10)));
    return slots;
}

Result<std::vector<api::broker::ListEntry>> VmFolders::list() {
    using api::broker::ListEntry;
    const auto slots = TRY(slots_by_vm());
    const auto groups = TRY(cgroups_.children("."));
    // A launch or a removal that was interrupted may have left only a slot.
    std::set<std::string> ids(groups.begin(), groups.end());
    for (const auto& [id, slot] : slots)
        ids.insert(id);
    std::vector<ListEntry> entries;
    for (const auto& text : ids) {
        const auto id = api::VmId::parse(text);
        if (!id) continue;  // not ours
        const uint32_t flags = (is_populated(text + "/shim") ? ListEntry::kShimAlive : 0) |
                               (is_populated(text + "/vmm") ? ListEntry::kVmmAlive : 0);
        const auto slot = slots.find(text);
        entries.push_back({.vm_id = id->field(),
                           .flags = flags,
                           .vmm_slot = slot == slots.end() ? UINT32_MAX : slot->second});
    }
    return entries;
}

Result<Fd> VmFolders::shim_pidfd(const api::VmId& id) {
    const auto processes = TRY(cgroups_.read(id.text() + "/shim/cgroup.procs"));
    const auto pid = std::strtol(processes.c_str(), nullptr, 10);
    if (pid <= 0) return fail(ErrorCode::NotFound, "no shim runs for VM " + id.text());
    Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd.is_open()) return fail_errno(errno, "pidfd_open of a shim");
    return pidfd;
}

}  // namespace alcove::broker

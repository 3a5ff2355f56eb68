// SPDX-License-Identifier: Apache-2.0
//
// What a VM has in file systems, made and taken away whole:
//
//     <cgroups>/alcove/<vm>/        memory, swap and process limits of the VM
//                          vmm/     the VMM alone, on the CPUs that no other VM has to itself
//                          vmm/vcpus/  its vCPU threads, on the VM's CPUs (a threaded group)
//                          shim/    the shim, as the VMM
//     <run>/vm/<vm>/                shim.sock, connect.sock, and host programs' port-<N>.sock
//     <run>/slots/<n>               a link that no one follows: its text is the VM that has VMM slot n
//
// The folder belongs to the shim and the group `alcove`, whose members may make files in it but, by the
// sticky bit, remove only their own. All access is by directory descriptors and checked ids.
#pragma once

#include <map>

#include "broker/cgroups.hpp"
#include "broker/launch_plan.hpp"

namespace alcove::broker {

// What the processes of a VM are started with.
struct VmPlaces {
    Fd folder;
    Fd shim_cgroup;  // directories
    Fd vmm_cgroup;
    Fd vmm_kill;            // cgroup.kill of the VMM's cgroup
    Fd vcpu_threads;        // cgroup.threads: which thread of the VMM writes "0" there is on the VM's CPUs
    Fd vcpu_partition;      // cpuset.cpus.partition there, to be read
    std::string core_note;  // of a dedicated VM: why its cores are not exclusive, if they are not
};

class VmFolders {
  public:
    struct Owner {
        uid_t shim_uid;
        gid_t group;
    };
    // `run` is an existing directory that belongs to us; the cgroups are borrowed.
    static Result<VmFolders> open(Cgroups& cgroups, const std::string& run, Owner owner);

    // All or nothing. AlreadyExists: the VM or its slot is there.
    Result<VmPlaces> create(const LaunchPlan& plan);
    // Of a VM that runs. Its vCPU threads move there; the answer says why the cores are not exclusive,
    // and is empty when they are, or were not to be.
    Result<std::string> assign_cores(const CorePlan& cores);
    // Of a VM that runs. Busy when it uses more than that.
    Result<void> limit_memory(const LaunchPlan& plan);
    Result<void> kill_vmm(const api::VmId& id);  // NotFound
    Result<void> kill_all(const api::VmId& id);  // what is not there is not killed
    // Takes everything away. Busy while processes are in it: kill_all first, then again a little later.
    // NotFound when there was nothing at all.
    Result<void> remove(const api::VmId& id);
    Result<std::vector<api::broker::ListEntry>> list();  // by id
    Result<Fd> shim_pidfd(const api::VmId& id);          // NotFound when it does not run

  private:
    VmFolders(Cgroups& cgroups, Fd vms, Fd slots, Owner owner)
        : cgroups_(cgroups), vms_(std::move(vms)), slots_(std::move(slots)), owner_(owner) {}
    Result<VmPlaces> fill(const LaunchPlan& plan);
    Result<void> make_vcpu_group(const std::string& id);
    Result<void> limit(const LaunchPlan& plan);
    Result<void> claim_cores(const CorePlan& cores);
    void give_up_cores(const api::VmId& id);
    Result<Fd> make_folder(const std::string& id);
    bool is_populated(const std::string& group);
    Result<std::map<std::string, uint32_t>> slots_by_vm();

    Cgroups& cgroups_;
    Fd vms_;
    Fd slots_;
    Owner owner_;
};

}  // namespace alcove::broker

// SPDX-License-Identifier: Apache-2.0
//
// Starts the two processes of a VM. The broker forks a child into the shim's cgroup, which forks once more
// and becomes the shim, so that the shim is the VMM's parent though neither could have made the other:
//
//     broker (root)
//       `-- shim     user alcove-shim; own network, IPC and UTS namespaces
//             `-- VMM   user 60000 + slot; the same namespaces and its own file system, read-only libraries
//
// A primary VM's VMM is begun anew at each reset of its guest, by a process that takes the VMM's place here
// (vmm/lives.hpp) and is told so by an argument.
//
// Each finds one channel at descriptor 3 and holds, besides, only what was handed to it there; the VMM also
// its vCPUs' group at 4 and 5 (vmm/vcpu_places.hpp), and which of the host's CPUs are siblings as an
// argument.
#pragma once

#include <string>
#include <vector>

#include "broker/launch_plan.hpp"
#include "broker/vm_folders.hpp"

namespace alcove::broker {

// What a launch hands on, apart from its places.
struct VmDescriptors {
    Fd image;  // of a carved enclave: the RAM file of its primary VM
    Fd kvm;
    Fd attestor;  // an enclave's connection, opened
    Fd spill;     // of EPC with a budget
    std::vector<Fd> disks;
    std::vector<Fd> networks;
    std::vector<Fd> epc;            // of SGX by the host's processors, for each section
    Fd provision;                   // and if it has the provisioning key
    api::SgxRootSecret sgx_root{};  // of a VM with SGX in software
};

struct SpawnedShim {
    pid_t pid = 0;  // our child
    Fd pidfd;
    Fd report;  // at its end, both programs have begun; anything before is the Error that stopped them
};

class Spawner {
  public:
    virtual ~Spawner() = default;
    virtual Result<SpawnedShim> spawn(const LaunchPlan& plan, VmPlaces places, VmDescriptors descriptors) = 0;
};

struct SpawnSettings {
    std::string shim_program;  // absolute paths
    std::string vmm_program;
    std::string jail_mount_point;  // an empty directory of ours
    // Where a shim finds alcove-attestor after its restart; absolute, at most 107 bytes.
    std::string attestor_shim_socket;
    // What a VMM sees of the file system: what its program's libraries need.
    std::vector<std::string> visible = {"/usr/lib", "/usr/lib64", "/lib", "/lib64"};
    std::string host_cores;  // CPUs of each core with several threads: "0,1/2,3"
    uid_t shim_uid = 0;
    gid_t shim_gid = 0;
    uid_t daemon_uid = 0;
};

class ProcessSpawner : public Spawner {
  public:
    explicit ProcessSpawner(SpawnSettings settings) : settings_(std::move(settings)) {}
    Result<SpawnedShim> spawn(const LaunchPlan& plan, VmPlaces places, VmDescriptors descriptors) override;

  private:
    SpawnSettings settings_;
};

// The text of a report: nothing when both programs have begun.
Result<void> read_report(const Fd& report);

}  // namespace alcove::broker

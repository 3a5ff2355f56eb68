// SPDX-License-Identifier: Apache-2.0
//
// What alcove-broker leaves for the alcove-shim that it starts: two datagrams, Hello and Start, wait in the
// socket at descriptor 3 when the shim's main() begins, and nothing is answered. The descriptors are the
// whole of what the shim can do; it is nobody otherwise.
#pragma once

#include "api/network.hpp"
#include "api/protocol.hpp"
#include "api/sgx.hpp"
#include "api/vm_id.hpp"
#include "api/vm_role.hpp"

namespace alcove::api::start {

inline constexpr VersionRange kVersions{.min = 7, .max = 7};
inline constexpr int kChannelDescriptor = 3;  // in the shim, when its main() begins

struct Start {
    static constexpr uint16_t kType = 16;
    static constexpr uint32_t kDebug = 1;
    static constexpr uint32_t kCarved = 2;       // broker::Launch::kCarved: the numbers are as there
    static constexpr uint32_t kEnclaves = 4;     // of a primary VM: it has the NE device
    static constexpr uint32_t kProvisioned = 8;  // broker::Launch::kProvisioned

    VmId::Field vm_id;
    Le32 flags;
    Le32 vcpu_count;
    Le32 page_size;
    Le32 daemon_uid;  // whom the shim serves
    Le32 vmm_pid;     // its child: of an enclave the VMM, of a primary VM what begins its VMMs
    Le32 role;        // VmRole
    Le32 disk_count;
    Le32 threads_per_core;  // as the guest sees its vCPUs
    Le32 reserved;
    Le64 memory_bytes;
    Le64 image_size;
    Le64 guest_cid;
    // alcove-attestor's socket for shims, an absolute path. It is looked up anew for each connection, for an
    // attestor that is restarted makes it anew.
    TextField<108> attestor_socket;
    Networks networks;
    Sgx sgx;
};
static_assert(sizeof(Start) == 444);

// In the order on the wire.
struct Descriptors {
    Fd daemon_listener;   // shim.sock, listening
    Fd connect_listener;  // connect.sock, listening
    Fd folder;            // the VM's folder, where host programs put port-<N>.sock
    Fd image;             // as the client gave it: its content may change at any moment. Of a carved enclave:
                          // the RAM file of its primary VM, which that VM writes to at any moment
    Fd kvm;
    Fd vmm_channel;         // to descriptor 3 of the child
    Fd vmm_log;             // the VMM's standard output and error, as a pipe
    Fd vmm_pidfd;           // the child
    Fd vmm_kill;            // cgroup.kill of the VMM's cgroup: "1" kills it, which the shim's user could not
    Fd attestor;            // of an enclave: its connection, opened by the broker
    Fd spill;               // where EPC beyond its budget goes, with room for all of it; of a VM with such
    std::vector<Fd> epc;    // of SGX by the host's processors: /dev/sgx_vepc, opened for each section
    Fd provision;           // and /dev/sgx_provision, if it has the provisioning key
    std::vector<Fd> disks;  // of a primary VM, in the order of the guest's slots
    std::vector<Fd> networks;
};
struct Order {
    Start start;
    Descriptors descriptors;
};

// Writes Hello and Start into `channel`. For the broker's child: everything it needs exists already.
Result<void> send_start(const Channel& channel, const Order& order);
// Reads and checks both; ErrorCode::VersionMismatch when the broker is of another release.
Result<Order> receive_start(const Channel& channel);

}  // namespace alcove::api::start

// SPDX-License-Identifier: Apache-2.0
//
// A guest that is joined with another one, as its VMM has it: a machine with a vsock device and a fabric
// behind it. The one with the parent's context id has its device on PCI, as a primary VM does. Two of them,
// each in a thread or process of its own, are a primary VM and its enclave without anything that carves.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "api/fabric_ring.hpp"
#include "machine/machine.hpp"
#include "vsock/spec.hpp"

namespace alcove::tests {

struct JoinedGuest {
    vsock::Cid cid;
    vsock::Cid peer;
    api::FabricEnd end;
    std::string kernel;  // paths
    std::string initrd;
    std::string command_line;
    uint64_t memory_bytes;
    std::chrono::seconds deadline;
    std::function<void(uint8_t)> console;  // on the vCPU's thread
    // Told every few milliseconds how many bytes its VMM holds for the peer; may be empty.
    std::function<void(uint64_t)> held = {};
};

// Runs the guest until it ends, its peer is gone, or the deadline comes. In a process where
// cpu::VcpuThread::install_kick_signal() was called.
Result<void> run_joined_guest(JoinedGuest guest);

}  // namespace alcove::tests

// SPDX-License-Identifier: Apache-2.0
//
// The counters a VMM keeps and `alcove enclave inspect` shows. A number is never reused; a reader shows
// unknown ids by number.
#pragma once

#include <cstdint>
#include <string_view>

namespace alcove::api {

enum class StatisticId : uint32_t {
    KvmRuns = 1,                 // returns of KVM_RUN, by vCPU
    ExitsIo = 2,                 // of those: port accesses, by vCPU
    ExitsMmio = 3,               // memory-mapped register accesses, by vCPU
    ExitsOther = 4,              // by vCPU
    UnknownRegister = 5,         // accesses that no device claims
    GuestMistakes = 6,           // malformed requests, bad rings: what the guest should not have done
    ConsoleBytes = 7,            // written by the guest, kept or dropped
    NsmRequests = 16,            // all of them
    NsmFailures = 17,            // answered with an error
    NsmDocuments = 18,           // attestation documents given
    RngBytes = 19,               // random bytes given
    VsockRxPackets = 32,         // towards the guest
    VsockTxPackets = 33,         // from the guest
    VsockRxBytes = 34,           // payload towards the guest
    VsockTxBytes = 35,           // payload from the guest
    VsockConnections = 36,       // open now
    VsockAccepted = 37,          // connections ever made
    VsockResets = 38,            // connections refused or torn down with RST
    QueueNotifies = 48,          // by device
    QueueInterrupts = 49,        // by device
    DiskReads = 64,              // requests, by disk
    DiskWrites = 65,             // by disk
    DiskFlushes = 66,            // by disk
    DiskFailures = 67,           // requests that were not carried out, by disk
    NeCommands = 80,             // of the NE device's driver
    NeRefused = 81,              // of those: answered with an error
    NeEvents = 82,               // enclaves that ended by themselves
    NeWithdrawnBytes = 83,       // RAM that was ever taken out of the guest's sight, for an enclave
    NePauses = 84,               // how often all vCPUs stood still for that, or for giving back
    NeLongestPauseNs = 85,       // the longest of them
    NetworkReceived = 96,        // frames towards the guest, by network
    NetworkSent = 97,            // frames from the guest, by network
    NetworkReceiveDropped = 98,  // too long for the guest's buffers, by network
    NetworkSendDropped = 99,     // not sendable as they were, by network
    NetworkLinkUp = 100,         // 1 while there is another side, by network
};

// "kvm_runs"; "unknown" for a number without a name.
std::string_view statistic_name(uint32_t id);

}  // namespace alcove::api

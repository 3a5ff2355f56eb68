// SPDX-License-Identifier: Apache-2.0
#include "api/statistics.hpp"

#include <algorithm>
#include <iterator>

namespace alcove::api {

namespace {

struct NameEntry {
    StatisticId id;
    std::string_view name;
};

constexpr NameEntry kNames[] = {
    {StatisticId::KvmRuns, "kvm_runs"},
    {StatisticId::ExitsIo, "exits_io"},
    {StatisticId::ExitsMmio, "exits_mmio"},
    {StatisticId::ExitsOther, "exits_other"},
    {StatisticId::UnknownRegister, "unknown_register"},
    {StatisticId::GuestMistakes, "guest_mistakes"},
    {StatisticId::ConsoleBytes, "console_bytes"},
    {StatisticId::NsmRequests, "nsm_requests"},
    {StatisticId::NsmFailures, "nsm_failures"},
    {StatisticId::NsmDocuments, "nsm_documents"},
    {StatisticId::RngBytes, "rng_bytes"},
    {StatisticId::VsockRxPackets, "vsock_rx_packets"},
    {StatisticId::VsockTxPackets, "vsock_tx_packets"},
    {StatisticId::VsockRxBytes, "vsock_rx_bytes"},
    {StatisticId::VsockTxBytes, "vsock_tx_bytes"},
    {StatisticId::VsockConnections, "vsock_connections"},
    {StatisticId::VsockAccepted, "vsock_accepted"},
    {StatisticId::VsockResets, "vsock_resets"},
    {StatisticId::QueueNotifies, "queue_notifies"},
    {StatisticId::QueueInterrupts, "queue_interrupts"},
    {StatisticId::DiskReads, "disk_reads"},
    {StatisticId::DiskWrites, "disk_writes"},
    {StatisticId::DiskFlushes, "disk_flushes"},
    {StatisticId::DiskFailures, "disk_failures"},
    {StatisticId::NeCommands, "ne_commands"},
    {StatisticId::NeRefused, "ne_refused"},
    {StatisticId::NeEvents, "ne_events"},
    {StatisticId::NeWithdrawnBytes, "ne_withdrawn_bytes"},
    {StatisticId::NePauses, "ne_pauses"},
    {StatisticId::NeLongestPauseNs, "ne_longest_pause_ns"},
    {StatisticId::NetworkReceived, "network_received"},
    {StatisticId::NetworkSent, "network_sent"},
    {StatisticId::NetworkReceiveDropped, "network_receive_dropped"},
    {StatisticId::NetworkSendDropped, "network_send_dropped"},
    {StatisticId::NetworkLinkUp, "network_link_up"},
};

}  // namespace

std::string_view statistic_name(uint32_t id) {
    const auto* found =
        std::ranges::find(kNames, id, [](const NameEntry& entry) { return static_cast<uint32_t>(entry.id); });
    return found == std::end(kNames) ? "unknown" : found->name;
}

}  // namespace alcove::api

// SPDX-License-Identifier: Apache-2.0
#include "vmm/statistics.hpp"

#include "api/statistics.hpp"

namespace alcove::vmm {

namespace {

using api::StatisticId;

class Entries {
  public:
    void add(StatisticId id, uint64_t value, uint32_t index = 0) {
        entries_.push_back({.id = static_cast<uint32_t>(id), .index = index, .value = value});
    }
    std::vector<api::vmm::StatisticsEntry> take() { return std::move(entries_); }

  private:
    std::vector<api::vmm::StatisticsEntry> entries_;
};

uint64_t load(const std::atomic<uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
}

}  // namespace

std::vector<api::vmm::StatisticsEntry> collect_statistics(const StatisticsSources& sources) {
    Entries entries;
    uint64_t unclaimed = 0;
    for (const auto& vcpu : sources.machine.vcpus()) {
        const auto& counters = vcpu->counters();
        entries.add(StatisticId::KvmRuns, load(counters.runs), vcpu->index());
        entries.add(StatisticId::ExitsIo, load(counters.io), vcpu->index());
        entries.add(StatisticId::ExitsMmio, load(counters.mmio), vcpu->index());
        entries.add(StatisticId::ExitsOther, load(counters.other), vcpu->index());
        unclaimed += load(counters.unclaimed);
    }
    entries.add(StatisticId::UnknownRegister, unclaimed);
    entries.add(StatisticId::ConsoleBytes, sources.console_bytes);

    uint64_t mistakes = 0;
    uint32_t device = 0;
    const auto add_transport = [&](const auto& counters) {
        entries.add(StatisticId::QueueNotifies, counters.notifications, device);
        entries.add(StatisticId::QueueInterrupts, counters.interrupts, device);
        mistakes += counters.violations;
        ++device;
    };
    for (const auto& transport : sources.machine.transports())
        add_transport(transport->counters());
    for (const auto& transport : sources.machine.pci_transports())
        add_transport(transport->counters());
    const auto& packets = sources.vsock.counters();
    const auto& host = sources.host_backend.counters();
    const auto& host_traffic = sources.host_backend.traffic();
    const auto fabric =
        sources.fabric != nullptr ? sources.fabric->counters() : vsock::FabricLink::Counters();
    const size_t fabric_streams = sources.fabric != nullptr ? sources.fabric->stream_count() : 0;
    mistakes += fabric.violations;
    mistakes += packets.packets_malformed + packets.packets_misaddressed + host_traffic.violations;
    entries.add(StatisticId::GuestMistakes, mistakes);

    entries.add(StatisticId::VsockTxPackets, packets.packets_from_guest);
    entries.add(StatisticId::VsockRxBytes, host_traffic.bytes_to_guest + fabric.bytes_to_guest);
    entries.add(StatisticId::VsockTxBytes, host_traffic.bytes_to_host + fabric.bytes_to_peer);
    entries.add(StatisticId::VsockConnections, sources.host_backend.connection_count() + fabric_streams);
    entries.add(StatisticId::VsockAccepted, host.accepted);
    entries.add(StatisticId::VsockResets, host_traffic.resets_sent + host.refused + fabric.resets);

    if (sources.nsm != nullptr) {
        const auto& nsm = sources.nsm->counters();
        entries.add(StatisticId::NsmRequests, nsm.requests);
        entries.add(StatisticId::NsmFailures, nsm.failures);
        entries.add(StatisticId::NsmDocuments, nsm.documents);
    }
    for (uint32_t i = 0; i < sources.disks.size(); ++i) {
        const auto& disk = sources.disks[i]->counters();
        entries.add(StatisticId::DiskReads, disk.reads, i);
        entries.add(StatisticId::DiskWrites, disk.writes, i);
        entries.add(StatisticId::DiskFlushes, disk.flushes, i);
        entries.add(StatisticId::DiskFailures, disk.failures, i);
    }
    if (sources.ne_device != nullptr && sources.ne_backend != nullptr) {
        const auto commands = sources.ne_device->counters();
        const auto& carved = sources.ne_backend->counters();
        entries.add(StatisticId::NeCommands, commands.commands);
        entries.add(StatisticId::NeRefused, commands.refused);
        entries.add(StatisticId::NeEvents, commands.events);
        entries.add(StatisticId::NeWithdrawnBytes, carved.bytes_withdrawn);
        entries.add(StatisticId::NePauses, carved.pauses);
        const auto longest = std::chrono::duration_cast<std::chrono::nanoseconds>(carved.longest_pause);
        entries.add(StatisticId::NeLongestPauseNs, static_cast<uint64_t>(longest.count()));
    }
    for (uint32_t i = 0; i < sources.networks.size(); ++i) {
        const auto& network = sources.networks[i]->counters();
        entries.add(StatisticId::NetworkReceived, network.received, i);
        entries.add(StatisticId::NetworkSent, network.sent, i);
        entries.add(StatisticId::NetworkReceiveDropped, network.receive_dropped, i);
        entries.add(StatisticId::NetworkSendDropped, network.send_dropped, i);
        entries.add(StatisticId::NetworkLinkUp, sources.networks[i]->has_link() ? 1 : 0, i);
    }
    return entries.take();
}

}  // namespace alcove::vmm

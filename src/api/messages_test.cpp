// SPDX-License-Identifier: Apache-2.0
//
// The messages that carry more than numbers: descriptors, lists, and checks of their own.
#include <functional>

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "api/broker_messages.hpp"
#include "api/limits.hpp"
#include "api/shim_messages.hpp"
#include "api/start_messages.hpp"
#include "api/statistics.hpp"
#include "api/vmm_messages.hpp"
#include "support/system.hpp"

namespace alcove::api {
namespace {

struct Ends {
    Channel a;
    Channel b;
};

Ends make_ends() {
    auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
    return {Channel(std::move(pair.first)), Channel(std::move(pair.second))};
}

Fd any_descriptor(const std::string& name) {
    return sys::memfd(name).value();
}

std::string name_of(const Fd& fd) {
    std::array<char, 256> text{};
    const std::string link = "/proc/self/fd/" + std::to_string(fd.get());
    const auto length = ::readlink(link.c_str(), text.data(), text.size());
    return {text.data(), length < 0 ? 0 : static_cast<size_t>(length)};
}

vmm::LaunchOrder make_launch(uint32_t flags) {
    vmm::LaunchOrder order;
    order.launch.vm_id = VmId::parse("0123").value().field();
    order.launch.machine_version = kMachineVersion;
    order.launch.flags = flags;
    order.launch.vcpu_count = 2;
    order.launch.threads_per_core = 2;
    order.launch.page_size = kSmallPage;
    order.launch.memory_bytes = 64_MiB;
    order.launch.image_size = 1000;
    order.launch.guest_cid = 16;
    order.launch.console_ring_bytes = flags == vmm::Launch::kConsole ? 4096 : 0;
    order.descriptors.kvm = any_descriptor("kvm");
    order.descriptors.ram = any_descriptor("ram");
    order.descriptors.image = any_descriptor("image");
    order.descriptors.attestor = any_descriptor("attestor");
    order.descriptors.connect_socket = any_descriptor("connect");
    if (flags == vmm::Launch::kConsole) order.descriptors.console_ring = any_descriptor("ring");
    return order;
}

Result<vmm::LaunchOrder> decode_launch(Channel::Message message) {
    return vmm::decode_launch(open_envelope(message.data).value(), std::move(message.descriptors));
}

TEST(VmmLaunch, DescriptorsArriveInTheirPlaces) {
    auto message = vmm::encode_launch(make_launch(vmm::Launch::kConsole)).value();

    const auto order = decode_launch(std::move(message));

    ASSERT_TRUE(order) << order.error().to_string();
    EXPECT_EQ(order->launch.memory_bytes, 64_MiB);
    EXPECT_EQ(name_of(order->descriptors.kvm), "/memfd:kvm (deleted)");
    EXPECT_EQ(name_of(order->descriptors.ram), "/memfd:ram (deleted)");
    EXPECT_EQ(name_of(order->descriptors.image), "/memfd:image (deleted)");
    EXPECT_EQ(name_of(order->descriptors.attestor), "/memfd:attestor (deleted)");
    EXPECT_EQ(name_of(order->descriptors.connect_socket), "/memfd:connect (deleted)");
    EXPECT_EQ(name_of(order->descriptors.console_ring), "/memfd:ring (deleted)");
}

TEST(VmmLaunch, WithoutAConsoleThereIsNoRing) {
    auto message = vmm::encode_launch(make_launch(0)).value();

    const auto order = decode_launch(std::move(message));

    ASSERT_TRUE(order) << order.error().to_string();
    EXPECT_FALSE(order->descriptors.console_ring.is_open());
}

vmm::LaunchOrder make_primary_launch(uint32_t disks) {
    auto order = make_launch(vmm::Launch::kConsole);
    order.launch.role = static_cast<uint32_t>(VmRole::Primary);
    order.launch.guest_cid = kParentCid;
    order.launch.disk_count = disks;
    order.descriptors.attestor.reset();
    for (uint32_t i = 0; i < disks; ++i)
        order.descriptors.disks.push_back(any_descriptor("disk" + std::to_string(i)));
    return order;
}

TEST(VmmLaunch, APrimaryVmHasDisksAndNoAttestor) {
    auto message = vmm::encode_launch(make_primary_launch(2)).value();

    const auto order = decode_launch(std::move(message));

    ASSERT_TRUE(order) << order.error().to_string();
    EXPECT_FALSE(order->descriptors.attestor.is_open());
    EXPECT_EQ(name_of(order->descriptors.console_ring), "/memfd:ring (deleted)");
    ASSERT_EQ(order->descriptors.disks.size(), 2U);
    EXPECT_EQ(name_of(order->descriptors.disks[0]), "/memfd:disk0 (deleted)");
    EXPECT_EQ(name_of(order->descriptors.disks[1]), "/memfd:disk1 (deleted)");
}

TEST(VmmLaunch, OnlyAPrimaryVmCarvesAndOnlyAnEnclaveIsCarved) {
    auto carved = make_launch(0);
    carved.launch.flags = vmm::Launch::kCarved;
    auto primary = make_primary_launch(0);
    primary.launch.flags = vmm::Launch::kConsole | vmm::Launch::kEnclaves;
    auto wrong = make_primary_launch(0);
    wrong.launch.flags = vmm::Launch::kConsole | vmm::Launch::kCarved;

    EXPECT_TRUE(decode_launch(vmm::encode_launch(std::move(carved)).value()));
    EXPECT_TRUE(decode_launch(vmm::encode_launch(std::move(primary)).value()));
    EXPECT_FALSE(vmm::encode_launch(std::move(wrong)));
}

TEST(VmmLaunch, SgxOfTheProcessorsHasADeviceForEachSection) {
    const auto hardware_launch = [](uint32_t devices) {
        auto order = make_primary_launch(1);
        order.launch.sgx.sections[0] = {.base = EpcSection::kAnywhere, .size_mib = 4, .node = 0};
        order.launch.sgx.sections[1] = order.launch.sgx.sections[0];
        order.launch.sgx.flags = Sgx::kHardware | Sgx::kProvisionKey;
        for (uint32_t i = 0; i < devices; ++i)
            order.descriptors.epc.push_back(any_descriptor("epc" + std::to_string(i)));
        order.descriptors.provision = any_descriptor("provision");
        return order;
    };

    const auto order = decode_launch(vmm::encode_launch(hardware_launch(2)).value());

    ASSERT_TRUE(order) << order.error().to_string();
    ASSERT_EQ(order->descriptors.epc.size(), 2U);
    EXPECT_EQ(name_of(order->descriptors.epc[1]), "/memfd:epc1 (deleted)");
    EXPECT_EQ(name_of(order->descriptors.provision), "/memfd:provision (deleted)");
    EXPECT_EQ(name_of(order->descriptors.disks.at(0)), "/memfd:disk0 (deleted)");
    EXPECT_FALSE(vmm::encode_launch(hardware_launch(1)));
}

TEST(VmmLaunch, NetworksComeBehindTheDisks) {
    auto order = make_primary_launch(1);
    order.launch.networks = {Network{.mac = {2, 0, 0, 0, 0, 1}, .kind = 1, .reserved = 0},
                             Network{.mac = {2, 0, 0, 0, 0, 2}, .kind = 2, .reserved = 0}};
    order.descriptors.networks.push_back(any_descriptor("tap"));
    order.descriptors.networks.push_back(any_descriptor("stream"));
    auto message = vmm::encode_launch(std::move(order)).value();

    const auto received = decode_launch(std::move(message));

    ASSERT_TRUE(received) << received.error().to_string();
    ASSERT_EQ(received->descriptors.networks.size(), 2U);
    EXPECT_EQ(name_of(received->descriptors.disks[0]), "/memfd:disk0 (deleted)");
    EXPECT_EQ(name_of(received->descriptors.networks[0]), "/memfd:tap (deleted)");
    EXPECT_EQ(name_of(received->descriptors.networks[1]), "/memfd:stream (deleted)");
}

TEST(VmmLaunch, ADiskThatIsNotThereIsRefused) {
    auto message = vmm::encode_launch(make_primary_launch(2)).value();
    message.descriptors.pop_back();

    EXPECT_EQ(decode_launch(std::move(message)).error().code(), ErrorCode::InvalidMessage);
}

TEST(VmmLaunch, AMissingOrExtraDescriptorIsRefused) {
    for (const size_t count : {4U, 6U}) {
        Channel::Message message{.data = encode(make_launch(0).launch), .descriptors = {}};
        for (size_t i = 0; i < count; ++i)
            message.descriptors.push_back(any_descriptor("x"));

        EXPECT_EQ(decode_launch(std::move(message)).error().code(), ErrorCode::InvalidMessage) << count;
    }
}

TEST(VmmLaunch, EveryNumberOutOfRangeIsRefused) {
    const std::function<void(vmm::Launch&)> spoilers[] = {
        [](auto& launch) { launch.machine_version = 2; },
        [](auto& launch) { launch.flags = 16; },
        [](auto& launch) { launch.flags = vmm::Launch::kEnclaves; },
        [](auto& launch) { launch.vcpu_count = 0; },
        [](auto& launch) { launch.vcpu_count = 33; },
        [](auto& launch) { launch.threads_per_core = 0; },
        [](auto& launch) { launch.threads_per_core = 3; },
        [](auto& launch) { launch.vcpu_count = 1; },  // of cores with two threads
        [](auto& launch) { launch.page_size = 8192; },
        [](auto& launch) { launch.memory_bytes = 64_MiB + 1; },
        [](auto& launch) { launch.memory_bytes = 0; },
        [](auto& launch) { launch.memory_bytes = kMaxMemoryBytes + kHugePage; },
        [](auto& launch) { launch.image_size = 0; },
        [](auto& launch) { launch.image_size = kMaxImageBytes + 1; },
        [](auto& launch) { launch.guest_cid = 3; },
        [](auto& launch) { launch.guest_cid = 0xffffffff; },
        [](auto& launch) { launch.console_ring_bytes = 4096; },
        [](auto& launch) { launch.role = 2; },
        [](auto& launch) { launch.role = static_cast<uint32_t>(VmRole::Primary); },  // with an enclave's CID
        [](auto& launch) { launch.disk_count = 1; },                                 // of an enclave
        [](auto& launch) {
            launch.role = static_cast<uint32_t>(VmRole::Primary);
            launch.guest_cid = kParentCid;
            launch.disk_count = kMaxDisks + 1;
        },
        [](auto& launch) { launch.networks[0] = {.mac = {2}, .kind = 1, .reserved = 0}; },  // of an enclave
    };
    for (size_t i = 0; i < std::size(spoilers); ++i) {
        auto order = make_launch(0);
        spoilers[i](order.launch);
        Channel::Message message{.data = encode(order.launch), .descriptors = {}};
        for (int n = 0; n < 5; ++n)
            message.descriptors.push_back(any_descriptor("x"));

        EXPECT_EQ(decode_launch(std::move(message)).error().code(), ErrorCode::InvalidMessage) << i;
    }
}

TEST(VmmStatistics, AListComesBack) {
    const vmm::StatisticsEntry entries[] = {{.id = 1, .index = 0, .value = 10},
                                            {.id = 1, .index = 1, .value = 20}};

    const auto message = vmm::encode_statistics(5, entries);
    const auto reply = vmm::decode_statistics(open_envelope(message).value());

    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->request, 5U);
    ASSERT_EQ(reply->entries.size(), 2U);
    EXPECT_EQ(reply->entries[1].index, 1U);
    EXPECT_EQ(reply->entries[1].value, 20U);
}

TEST(VmmStatistics, ACountThatLiesIsRefused) {
    const Bytes tail(2 * sizeof(vmm::StatisticsEntry), 0);
    for (const uint32_t count : {0U, 1U, 3U, 0x10000002U, 0xffffffffU}) {
        const auto message = encode(vmm::Statistics{.request = 1, .count = count}, tail);

        EXPECT_FALSE(vmm::decode_statistics(open_envelope(message).value())) << count;
    }
}

TEST(BrokerListing, TheLargestListIsOneDatagramAndSaysThereIsMore) {
    const std::vector<broker::ListEntry> entries(broker::Listing::kMaxEntries + 1);

    const auto message = broker::encode_listing(3, entries);
    const auto reply = broker::decode_listing(open_envelope(message).value());

    ASSERT_TRUE(reply);
    EXPECT_LE(message.size(), Channel::kMaxMessage);
    EXPECT_TRUE(reply->more);
    EXPECT_EQ(reply->entries.size(), broker::Listing::kMaxEntries);
}

TEST(BrokerListing, ACountThatLiesIsRefused) {
    const Bytes tail(sizeof(broker::ListEntry), 0);
    const auto message = encode(broker::Listing{.request = 1, .count = 2, .more = 0, .reserved = {}}, tail);

    EXPECT_FALSE(broker::decode_listing(open_envelope(message).value()));
}

start::Order make_start() {
    start::Order order;
    order.start.vm_id = VmId::parse("0123").value().field();
    order.start.vcpu_count = 1;
    order.start.threads_per_core = 1;
    order.start.page_size = kSmallPage;
    order.start.memory_bytes = 64_MiB;
    order.start.image_size = 1000;
    order.start.guest_cid = 16;
    order.start.attestor_socket = TextField<108>::of("/run/attestor/shims.sock");
    auto& fds = order.descriptors;
    for (auto* fd : {&fds.daemon_listener, &fds.connect_listener, &fds.folder, &fds.kvm, &fds.attestor,
                     &fds.vmm_channel, &fds.vmm_log, &fds.vmm_pidfd})
        *fd = any_descriptor("other");
    fds.image = any_descriptor("image");
    fds.vmm_kill = any_descriptor("kill");
    return order;
}

TEST(ShimStart, WaitsInTheSocketForTheShim) {
    const auto ends = make_ends();

    ASSERT_TRUE(start::send_start(ends.a, make_start()));
    const auto order = start::receive_start(ends.b);

    ASSERT_TRUE(order) << order.error().to_string();
    EXPECT_EQ(order->start.guest_cid, 16U);
    EXPECT_EQ(order->start.attestor_socket.text(), "/run/attestor/shims.sock");
    EXPECT_EQ(name_of(order->descriptors.image), "/memfd:image (deleted)");
    EXPECT_EQ(name_of(order->descriptors.vmm_kill), "/memfd:kill (deleted)");
}

start::Order make_primary_start() {
    auto order = make_start();
    order.start.role = static_cast<uint32_t>(VmRole::Primary);
    order.start.guest_cid = kParentCid;
    order.start.disk_count = 1;
    order.descriptors.attestor.reset();
    order.descriptors.disks.push_back(any_descriptor("disk"));
    return order;
}

TEST(ShimStart, OfAPrimaryVmHasDisksAndNoAttestor) {
    const auto ends = make_ends();
    auto order = make_primary_start();
    order.start.networks[0] = {.mac = {2, 0, 0, 0, 0, 1}, .kind = 1, .reserved = 0};
    order.descriptors.networks.push_back(any_descriptor("tap"));

    ASSERT_TRUE(start::send_start(ends.a, order));
    const auto received = start::receive_start(ends.b);

    ASSERT_TRUE(received) << received.error().to_string();
    EXPECT_FALSE(received->descriptors.attestor.is_open());
    ASSERT_EQ(received->descriptors.disks.size(), 1U);
    EXPECT_EQ(name_of(received->descriptors.disks[0]), "/memfd:disk (deleted)");
    ASSERT_EQ(received->descriptors.networks.size(), 1U);
    EXPECT_EQ(name_of(received->descriptors.networks[0]), "/memfd:tap (deleted)");
    EXPECT_EQ(name_of(received->descriptors.vmm_kill), "/memfd:kill (deleted)");
}

TEST(ShimStart, OfAVmWhoseEpcHasABudgetHasASpillFile) {
    const auto ends = make_ends();
    auto order = make_primary_start();
    order.start.sgx.sections[0] = {.base = EpcSection::kAnywhere, .size_mib = 4, .node = 0};
    order.start.sgx.budget_mib = 1;
    order.descriptors.spill = any_descriptor("spill");

    ASSERT_TRUE(start::send_start(ends.a, order));
    const auto received = start::receive_start(ends.b);

    ASSERT_TRUE(received) << received.error().to_string();
    EXPECT_EQ(name_of(received->descriptors.spill), "/memfd:spill (deleted)");
    EXPECT_EQ(name_of(received->descriptors.disks.at(0)), "/memfd:disk (deleted)");
}

TEST(ShimStart, OfSgxOfTheProcessorsHasTheirDevices) {
    const auto ends = make_ends();
    auto order = make_primary_start();
    order.start.sgx.sections[0] = {.base = EpcSection::kAnywhere, .size_mib = 4, .node = 0};
    order.start.sgx.sections[1] = order.start.sgx.sections[0];
    order.start.sgx.flags = Sgx::kHardware | Sgx::kProvisionKey;
    order.descriptors.epc.push_back(any_descriptor("first"));
    order.descriptors.epc.push_back(any_descriptor("second"));
    order.descriptors.provision = any_descriptor("provision");

    ASSERT_TRUE(start::send_start(ends.a, order));
    const auto received = start::receive_start(ends.b);

    ASSERT_TRUE(received) << received.error().to_string();
    ASSERT_EQ(received->descriptors.epc.size(), 2U);
    EXPECT_EQ(name_of(received->descriptors.epc[1]), "/memfd:second (deleted)");
    EXPECT_EQ(name_of(received->descriptors.provision), "/memfd:provision (deleted)");
    EXPECT_EQ(name_of(received->descriptors.disks.at(0)), "/memfd:disk (deleted)");
    order.descriptors.epc.pop_back();
    ASSERT_TRUE(start::send_start(ends.a, order));
    EXPECT_FALSE(start::receive_start(ends.b)) << "one is missing";
}

// A carved enclave: what it will be is said later.
void make_carved(start::Start& start) {
    start.flags = start::Start::kCarved;
    start.vcpu_count = 0;
    start.threads_per_core = 0;
    start.image_size = 0;
    start.guest_cid = 0;
}

TEST(ShimStart, OfACarvedEnclaveSaysOnlyHowMuchMemoryItCanHave) {
    const auto ends = make_ends();
    auto order = make_start();
    make_carved(order.start);

    ASSERT_TRUE(start::send_start(ends.a, order));
    const auto received = start::receive_start(ends.b);

    ASSERT_TRUE(received) << received.error().to_string();
    EXPECT_EQ(received->start.flags, start::Start::kCarved);
    EXPECT_EQ(received->start.memory_bytes, 64_MiB);
    EXPECT_TRUE(received->descriptors.attestor.is_open());
}

TEST(ShimStart, EveryNumberOutOfRangeIsRefused) {
    const std::function<void(start::Start&)> spoilers[] = {
        [](auto& start) { start.vcpu_count = 64; },
        [](auto& start) { start.threads_per_core = 2; },
        [](auto& start) { start.threads_per_core = 0; },
        [](auto& start) { start.flags = 16; },
        [](auto& start) { start.flags = start::Start::kEnclaves; },  // of an enclave
        [](auto& start) { start.flags = start::Start::kCarved; },    // with numbers of its own
        [](auto& start) { make_carved(start), start.flags = start.flags | start::Start::kDebug; },
        [](auto& start) { make_carved(start), start.vcpu_count = 1; },
        [](auto& start) { make_carved(start), start.threads_per_core = 1; },
        [](auto& start) { make_carved(start), start.image_size = 1; },
        [](auto& start) { make_carved(start), start.guest_cid = 16; },
        [](auto& start) { make_carved(start), start.memory_bytes = 64_MiB + 1; },
    };
    for (size_t i = 0; i < std::size(spoilers); ++i) {
        const auto ends = make_ends();
        auto order = make_start();
        spoilers[i](order.start);

        ASSERT_TRUE(start::send_start(ends.a, order));

        EXPECT_EQ(start::receive_start(ends.b).error().code(), ErrorCode::InvalidMessage) << i;
    }
}

TEST(ShimStart, AnAttestorsSocketThatIsNoAbsolutePathIsRefused) {
    for (const char* const path : {"", "shims.sock"}) {
        const auto ends = make_ends();
        auto order = make_start();
        order.start.attestor_socket = TextField<108>::of(path);

        ASSERT_TRUE(start::send_start(ends.a, order));

        EXPECT_EQ(start::receive_start(ends.b).error().code(), ErrorCode::InvalidMessage) << path;
    }
}

TEST(ShimStart, ABrokerOfAnotherReleaseIsNoticed) {
    const auto ends = make_ends();

    const auto next = static_cast<uint16_t>(start::kVersions.max + 1);

    ASSERT_TRUE(ends.a.send(encode_hello(Protocol::Start, {.min = next, .max = next})));

    EXPECT_EQ(start::receive_start(ends.b).error().code(), ErrorCode::VersionMismatch);
}

TEST(StopReason, AVmmCanNotTellWhatOnlyItsLauncherCanKnow) {
    EXPECT_EQ(stop_reason_from_vmm(4), StopReason::TripleFault);
    EXPECT_EQ(stop_reason_from_vmm(static_cast<uint16_t>(StopReason::VmmCrashed)), std::nullopt);
    EXPECT_EQ(stop_reason_from_vmm(static_cast<uint16_t>(StopReason::Killed)), std::nullopt);
    EXPECT_EQ(stop_reason_from_vmm(0), std::nullopt);
    EXPECT_EQ(stop_reason_from_vmm(0xffff), std::nullopt);
}

TEST(StopReason, HasAStableName) {
    EXPECT_EQ(stop_reason_name(StopReason::I8042Reset), "i8042_reset");
    EXPECT_EQ(stop_reason_name(StopReason::VmmCrashed), "vmm_crashed");
    EXPECT_EQ(stop_reason_name(StopReason{999}), "unknown");
}

TEST(ShimPhase, NumbersOutsideTheListAreNotPhases) {
    EXPECT_EQ(shim::phase_from(0), std::nullopt);
    EXPECT_EQ(shim::phase_from(9), std::nullopt);
    EXPECT_EQ(shim::phase_from(8), shim::Phase::Gathering);
}

TEST(CpuMask, IsWrittenAsCpusetsReadIt) {
    CpuMask mask;
    for (const uint32_t cpu : {2U, 3U, 64U, 1023U})
        mask.add(cpu);

    EXPECT_EQ(mask.to_list(), "2,3,64,1023");
    EXPECT_EQ(mask.count(), 4U);
    EXPECT_TRUE(mask.has(64));
    EXPECT_FALSE(mask.has(65));
    EXPECT_FALSE(mask.has(70000));
}

TEST(CpuList, ReadsWhatTheKernelWrites) {
    EXPECT_EQ(CpuMask::parse_list("0-1,4,6-7\n")->to_list(), "0,1,4,6,7");
    EXPECT_EQ(CpuMask::parse_list("3\n")->to_list(), "3");
    EXPECT_EQ(CpuMask::parse_list("\n")->to_list(), "");
}

TEST(CpuList, RefusesEverythingElse) {
    for (const char* text :
         {"a", "1-", "-1", "2-1", "1,", ",1", "1 2", "1024", "0-4294967295", "99999999999"})
        EXPECT_FALSE(CpuMask::parse_list(text)) << text;
}

TEST(Statistics, CountersHaveNames) {
    EXPECT_EQ(statistic_name(static_cast<uint32_t>(StatisticId::NsmRequests)), "nsm_requests");
    EXPECT_EQ(statistic_name(0), "unknown");
}

FabricPeer make_peer(bool has_console) {
    FabricPeer peer{.cid = 16, .end = make_fabric_pair().value().first, .console_ring = {}};
    if (has_console) peer.console_ring = any_descriptor("console");
    return peer;
}

TEST(FabricJoin, DescriptorsArriveInTheirPlacesOnBothWays) {
    auto outer = shim::encode_fabric_join(7, make_peer(true));
    auto received = shim::decode_fabric_join(open_envelope(outer.data).value(), std::move(outer.descriptors));
    ASSERT_TRUE(received);
    auto inner = vmm::encode_fabric_join(std::move(*received));
    const auto peer =
        vmm::decode_fabric_join(open_envelope(inner.data).value(), std::move(inner.descriptors));

    ASSERT_TRUE(peer);
    EXPECT_EQ(peer->cid, 16U);
    EXPECT_TRUE(FabricRing::open(peer->end.own_ring, peer->end.peer_ring));
    EXPECT_NE(name_of(peer->end.doorbell).find("socket"), std::string::npos);
    EXPECT_NE(name_of(peer->console_ring).find("console"), std::string::npos);
}

TEST(FabricJoin, WhatItSaysAndWhatComesHaveToAgree) {
    const auto refused = [](uint64_t cid, uint32_t flags, size_t descriptors) {
        std::vector<Fd> fds;
        for (size_t i = 0; i < descriptors; ++i)
            fds.push_back(any_descriptor("any"));
        const auto peer = FabricPeer::from_message(cid, flags, std::move(fds));
        return !peer && peer.error().code() == ErrorCode::InvalidMessage;
    };
    EXPECT_FALSE(refused(3, 0, 3));
    EXPECT_FALSE(refused(4, FabricPeer::kConsole, 4));
    EXPECT_TRUE(refused(16, 0, 2));
    EXPECT_TRUE(refused(16, 0, 4));
    EXPECT_TRUE(refused(16, FabricPeer::kConsole, 3));
    EXPECT_TRUE(refused(16, 2, 3));
    for (const uint64_t cid : {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{0xffffffff}, ~uint64_t{0}})
        EXPECT_TRUE(refused(cid, 0, 3)) << cid;
}

}  // namespace
}  // namespace alcove::api

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "daemon/network_json.hpp"
#include "daemon/supervisor_fixture_test.hpp"

namespace alcove::daemon {
namespace {

TEST_F(SupervisorTest, ALaunchedEnclaveBecomesReady) {
    const auto record = supervisor_->launch(request("web")).value();

    EXPECT_EQ(record.state, VmState::Reserving);
    EXPECT_EQ(record.cid, 16U);
    EXPECT_TRUE(record.id.starts_with(store_->instance_id() + "-enc")) << record.id;
    ASSERT_TRUE(until([&] { return supervisor_->find("web")->ready; }));
    const auto ready = supervisor_->find(record.id).value();
    EXPECT_EQ(ready.state, VmState::Running);
    EXPECT_EQ(ready.heartbeat, HeartbeatAnswer::Alcove);
    ASSERT_TRUE(ready.measurements);
    EXPECT_EQ(ready.measurements->pcr2[47], 0x12);
    EXPECT_EQ(ready.timings.first_instruction, 3000U);
    EXPECT_EQ(host_.image_content(record.id), "an image");
}

TEST_F(SupervisorTest, TheBrokerIsToldWhatWasGranted) {
    auto launch = request();
    launch.debug = true;
    launch.pages = host::PageSize::Size2M;
    const auto record = supervisor_->launch(std::move(launch)).value();
    ASSERT_TRUE(until([&] { return !host_.launches().empty(); }));

    const auto order = host_.launches().at(0);

    EXPECT_EQ(order.vm_id.text(), record.id);
    EXPECT_EQ(order.module_id.text(), record.id);
    EXPECT_EQ(order.host_cpus.to_list(), "2,3");
    EXPECT_EQ(order.flags, api::broker::Launch::kDebug | api::broker::Launch::kDedicated);
    EXPECT_EQ(order.page_size, 2_MiB);
    EXPECT_EQ(order.memory_bytes, 64_MiB);
    EXPECT_EQ(order.guest_cid, 16U);
    EXPECT_NE(order.pcr4, PcrValue{});
    EXPECT_EQ(order.pcr3, PcrValue{});
}

TEST_F(SupervisorTest, AStoppedEnclaveGivesEverythingBack) {
    const auto id = launch_ready();
    ASSERT_FALSE(ledger_->grants().empty());

    const auto stopping = supervisor_->stop(id, milliseconds(1000)).value();

    EXPECT_EQ(stopping.state, VmState::Stopping);
    ASSERT_TRUE(until_state(id, VmState::Stopped));
    EXPECT_EQ(supervisor_->find(id)->reason, "host_request");
    EXPECT_TRUE(ledger_->grants().empty());
    EXPECT_TRUE(host_.present().empty());
}

TEST_F(SupervisorTest, AHundredCyclesLeaveNothingBehind) {
    for (int i = 0; i < 100; ++i) {
        const auto id = launch_ready();
        ASSERT_TRUE(supervisor_->stop(id, milliseconds(0)));
        ASSERT_TRUE(until_state(id, VmState::Stopped));
        ASSERT_TRUE(supervisor_->remove(id));
    }

    EXPECT_TRUE(supervisor_->list().empty());
    EXPECT_TRUE(store_->load().value().empty());
    EXPECT_TRUE(ledger_->grants().empty());
    EXPECT_TRUE(host_.present().empty());
}

TEST_F(SupervisorTest, AnEnclaveThatEndsByItselfTellsWhy) {
    const auto id = launch_ready();

    host_.end(id, api::StopReason::PowerOff, "the guest powered off");

    ASSERT_TRUE(until_state(id, VmState::Stopped));
    const auto record = supervisor_->find(id).value();
    EXPECT_EQ(record.reason, "power_off");
    EXPECT_EQ(record.detail, "the guest powered off");
    ASSERT_TRUE(record.app_exit);
    EXPECT_EQ(record.app_exit->value, 3U);
    EXPECT_FALSE(record.ready);
    EXPECT_TRUE(ledger_->grants().empty());
}

TEST_F(SupervisorTest, ABadImageIsAFailureWithItsCode) {
    host_.set_script(FakeHost::Script::Fail);

    const auto id = supervisor_->launch(request()).value().id;

    ASSERT_TRUE(until_state(id, VmState::Failed));
    const auto record = supervisor_->find(id).value();
    ASSERT_TRUE(record.error);
    EXPECT_EQ(record.error->code, ErrorCode::ImageCrc);
    EXPECT_EQ(record.error->message, "the checksum is another");
    EXPECT_TRUE(ledger_->grants().empty());
    EXPECT_TRUE(host_.present().empty());
}

TEST_F(SupervisorTest, ARefusedLaunchFailsAndFreesItsLease) {
    host_.refuse_launches(Error(ErrorCode::KvmMissing, "no /dev/kvm"));

    const auto id = supervisor_->launch(request()).value().id;

    ASSERT_TRUE(until_state(id, VmState::Failed));
    EXPECT_EQ(supervisor_->find(id)->error->code, ErrorCode::KvmMissing);
    EXPECT_TRUE(ledger_->grants().empty());
}

TEST_F(SupervisorTest, AnEnclaveStoppedWhileItIsLaunchedNeverRuns) {
    host_.hold_launches(true);
    const auto id = supervisor_->launch(request()).value().id;
    ASSERT_TRUE(supervisor_->stop(id, milliseconds(60'000)));
    run_for(milliseconds(50));
    EXPECT_EQ(supervisor_->find(id)->state, VmState::Stopping);

    host_.hold_launches(false);

    ASSERT_TRUE(until_state(id, VmState::Stopped));
    EXPECT_EQ(supervisor_->find(id)->reason, "killed");
    EXPECT_TRUE(host_.present().empty());
}

TEST_F(SupervisorTest, AShimThatDoesNotStopIsRemovedByForce) {
    const auto id = launch_ready();
    host_.ignore_stops(true);

    ASSERT_TRUE(supervisor_->stop(id, milliseconds(50)));

    ASSERT_TRUE(until_state(id, VmState::Stopped));
    EXPECT_EQ(supervisor_->find(id)->reason, "killed");
    EXPECT_TRUE(host_.present().empty());
}

TEST_F(SupervisorTest, ALostShimEndsTheEnclave) {
    const auto id = launch_ready();

    host_.kill_shim(id);

    ASSERT_TRUE(until_state(id, VmState::Stopped));
    EXPECT_EQ(supervisor_->find(id)->reason, "vmm_crashed");
    EXPECT_EQ(host_.removed(), std::vector{id});
}

TEST_F(SupervisorTest, ABrokenConnectionToAShimIsMadeAnew) {
    const auto id = launch_ready();

    host_.drop_connection(id);

    ASSERT_TRUE(until([&] { return host_.attaches(id) == 2; }));
    run_for(milliseconds(50));
    EXPECT_EQ(supervisor_->find(id)->state, VmState::Running);
    EXPECT_TRUE(supervisor_->find(id)->ready);
}

TEST_F(SupervisorTest, AShimThatSpeaksForAnotherVmIsNotBelieved) {
    const auto first = launch_ready();
    const auto second = launch_ready();
    api::shim::State lie{};
    lie.vm_id = api::VmId::parse(second).value().field();
    lie.phase = static_cast<uint32_t>(api::shim::Phase::Ended);
    lie.reason = static_cast<uint16_t>(api::StopReason::PowerOff);

    host_.send_raw(first, api::encode(lie, {}));
    run_for(milliseconds(100));

    EXPECT_EQ(supervisor_->find(second)->state, VmState::Running);
    EXPECT_NE(supervisor_->find(first)->reason, "power_off");
}

TEST_F(SupervisorTest, GarbageFromAShimClosesOnlyItsConnection) {
    const auto id = launch_ready();
    const auto other = launch_ready();

    host_.send_raw(id, Bytes(40, 0xff));

    ASSERT_TRUE(until([&] { return host_.attaches(id) == 2; }));
    EXPECT_EQ(host_.attaches(other), 1);
}

TEST_F(SupervisorTest, AFailedRemovalIsTriedAgainAndHoldsTheLease) {
    const auto id = launch_ready();
    host_.refuse_removals(true);
    ASSERT_TRUE(supervisor_->stop(id, milliseconds(0)));
    run_for(milliseconds(100));
    EXPECT_EQ(supervisor_->find(id)->state, VmState::Stopping);
    EXPECT_FALSE(ledger_->grants().empty());

    host_.refuse_removals(false);

    ASSERT_TRUE(until_state(id, VmState::Stopped));
    EXPECT_TRUE(ledger_->grants().empty());
}

TEST_F(SupervisorTest, ARestartedDaemonFindsItsEnclaves) {
    const auto id = launch_ready();
    const auto before = supervisor_->find(id).value();

    restart();

    ASSERT_TRUE(until([&] { return supervisor_->find(id)->ready; }));
    const auto after = supervisor_->find(id).value();
    EXPECT_EQ(after.state, VmState::Running);
    EXPECT_EQ(after.cid, before.cid);
    EXPECT_EQ(after.measurements, before.measurements);
    EXPECT_EQ(after.ready_ms, before.ready_ms);
    ASSERT_EQ(ledger_->grants().size(), 1U);
    EXPECT_EQ(ledger_->grants()[0].cpus, (std::vector<host::CpuId>{{2}, {3}}));
    EXPECT_TRUE(host_.removed().empty());
    EXPECT_TRUE(supervisor_->stop(id, milliseconds(0)));
    EXPECT_TRUE(until_state(id, VmState::Stopped));
}

TEST_F(SupervisorTest, AnEnclaveThatVanishedIsMarked) {
    const auto id = launch_ready();
    stop_daemon();
    host_.kill_shim(id);

    start();

    ASSERT_TRUE(until_state(id, VmState::Stopped));
    EXPECT_EQ(supervisor_->find(id)->reason, VmRecord::kLost);
    EXPECT_TRUE(ledger_->grants().empty());
}

TEST_F(SupervisorTest, AnEnclaveWhoseLaunchWasCutOffFailed) {
    host_.hold_launches(true);
    const auto id = supervisor_->launch(request()).value().id;

    restart();

    ASSERT_TRUE(until_state(id, VmState::Failed));
    EXPECT_EQ(supervisor_->find(id)->error->code, ErrorCode::EnclaveLaunchFailed);
}

TEST_F(SupervisorTest, ACleanupThatWasCutOffIsFinishedAndKeepsItsReason) {
    const auto id = launch_ready();
    host_.refuse_removals(true);
    host_.end(id, api::StopReason::TripleFault);
    ASSERT_TRUE(until([&] { return supervisor_->find(id)->reason == "triple_fault"; }));

    stop_daemon();
    host_.refuse_removals(false);
    start();

    ASSERT_TRUE(until_state(id, VmState::Stopped));
    EXPECT_EQ(supervisor_->find(id)->reason, "triple_fault");
}

TEST_F(SupervisorTest, AStopThatWasCutOffIsRepeated) {
    const auto id = launch_ready();
    host_.ignore_stops(true);
    ASSERT_TRUE(supervisor_->stop(id, milliseconds(60'000)));
    run_for(milliseconds(20));
    stop_daemon();
    host_.ignore_stops(false);

    start();

    ASSERT_TRUE(until_state(id, VmState::Stopped));
    EXPECT_EQ(supervisor_->find(id)->reason, "host_request");
}

TEST_F(SupervisorTest, LeftoversOfTheBrokerAreRemoved) {
    const auto id = launch_ready();
    stop_daemon();
    host_.add_leftover("somebody-elses");

    start();

    ASSERT_TRUE(until([&] { return !host_.removed().empty(); }));
    EXPECT_EQ(host_.removed(), std::vector<std::string>{"somebody-elses"});
    EXPECT_EQ(host_.present(), std::vector{id});
}

TEST_F(SupervisorTest, WithoutABrokerNothingIsReserved) {
    host_.close_broker();
    ASSERT_TRUE(until([&] { return !supervisor_->broker_trouble().empty(); }));

    EXPECT_EQ(supervisor_->launch(request()).error().code(), ErrorCode::ConnectionLost);

    EXPECT_TRUE(ledger_->grants().empty());
    host_.open_broker();
    ASSERT_TRUE(until([&] { return supervisor_->broker_trouble().empty(); }));
    EXPECT_TRUE(supervisor_->launch(request()));
}

TEST_F(SupervisorTest, OneSlowVmDelaysNoOther) {
    host_.set_script(FakeHost::Script::Hold);
    const auto slow = supervisor_->launch(request()).value().id;
    ASSERT_TRUE(until([&] { return supervisor_->find(slow)->progress.has_value(); }));
    host_.set_script(FakeHost::Script::Ready);

    const auto quick = launch_ready();

    EXPECT_TRUE(supervisor_->find(quick)->ready);
    EXPECT_EQ(supervisor_->find(slow)->state, VmState::Measuring);
    EXPECT_EQ(supervisor_->find(slow)->progress->total, 2U);
}

TEST_F(SupervisorTest, NamesAndCidsBelongToOneLiveEnclave) {
    const auto first = supervisor_->launch(request("web")).value();
    auto same_cid = request("other");
    same_cid.cid = first.cid;

    EXPECT_EQ(supervisor_->launch(request("web")).error().code(), ErrorCode::EnclaveNameTaken);
    EXPECT_EQ(supervisor_->launch(std::move(same_cid)).error().code(), ErrorCode::AlreadyExists);

    ASSERT_TRUE(supervisor_->stop("web", milliseconds(0)));
    ASSERT_TRUE(until_state(first.id, VmState::Stopped));
    const auto second = supervisor_->launch(request("web")).value();
    EXPECT_EQ(second.cid, first.cid + 1);
    EXPECT_EQ(supervisor_->find("web")->id, second.id);
}

TEST_F(SupervisorTest, RequestsOutOfRangeAreRefused) {
    const auto code = [&](auto change) {
        auto launch = request("ok");
        change(launch);
        return supervisor_->launch(std::move(launch)).error().code();
    };

    EXPECT_EQ(code([](LaunchRequest& r) { r.vcpus = 0; }), ErrorCode::InvalidArgument);
    EXPECT_EQ(code([](LaunchRequest& r) { r.vcpus = 33; }), ErrorCode::InvalidArgument);
    EXPECT_EQ(code([](LaunchRequest& r) { r.memory_bytes = 3_MiB; }), ErrorCode::InvalidArgument);
    EXPECT_EQ(code([](LaunchRequest& r) { r.memory_bytes = 0; }), ErrorCode::InvalidArgument);
    EXPECT_EQ(code([](LaunchRequest& r) { r.image_bytes = 0; }), ErrorCode::InvalidArgument);
    EXPECT_EQ(code([](LaunchRequest& r) { r.name = "a b"; }), ErrorCode::InvalidArgument);
    EXPECT_EQ(code([](LaunchRequest& r) { r.name = "i-0"; }), ErrorCode::InvalidArgument);
    EXPECT_EQ(code([](LaunchRequest& r) { r.name = std::string(65, 'a'); }), ErrorCode::InvalidArgument);
    EXPECT_EQ(code([](LaunchRequest& r) { r.cid = 3; }), ErrorCode::InvalidArgument);
    EXPECT_EQ(code([](LaunchRequest& r) { r.cid = 0xffffffff; }), ErrorCode::InvalidArgument);
    EXPECT_EQ(code([](LaunchRequest& r) { r.vcpus = 5; }), ErrorCode::NoFreeCores);
    EXPECT_EQ(code([](LaunchRequest& r) { r.memory_bytes = 2_GiB; }), ErrorCode::NoFreeMemory);
    EXPECT_TRUE(host_.launches().empty());
    EXPECT_TRUE(supervisor_->list().empty());
    EXPECT_TRUE(store_->load().value().empty());
}

TEST_F(SupervisorTest, ADebugConsoleOutlivesItsEnclave) {
    const auto id = launch_ready(true);
    host_.write_console(id, "hello from inside");
    ASSERT_TRUE(supervisor_->stop(id, milliseconds(0)));
    ASSERT_TRUE(until_state(id, VmState::Stopped));

    std::string text;
    supervisor_->console(id, [&](Result<Fd> ring) {
        text = as_text(api::ConsoleRingReader::open(ring.value()).value().read().data);
    });

    EXPECT_EQ(text, "hello from inside");
}

TEST_F(SupervisorTest, WithoutDebugModeThereIsNoConsole) {
    const auto id = launch_ready();

    std::optional<ErrorCode> code;
    supervisor_->console(id, [&](const Result<Fd>& ring) { code = ring.error().code(); });

    EXPECT_EQ(code, ErrorCode::EnclaveNotDebug);
}

TEST_F(SupervisorTest, CountersComeFromTheVmm) {
    const auto id = launch_ready();

    std::optional<Supervisor::Counters> counters;
    supervisor_->counters(id, [&](Result<Supervisor::Counters> answer) { counters = answer.value(); });

    ASSERT_TRUE(until([&] { return counters.has_value(); }));
    ASSERT_EQ(counters->size(), 3U);
    EXPECT_EQ(counters->at(0).value, 70U);
}

TEST_F(SupervisorTest, OldRecordsAreForgotten) {
    stop_daemon();
    config_.kept_records = 2;
    start();
    std::vector<std::string> ids;
    for (int i = 0; i < 4; ++i) {
        ids.push_back(launch_ready());
        ASSERT_TRUE(supervisor_->stop(ids.back(), milliseconds(0)));
        ASSERT_TRUE(until(
            [&] { return !supervisor_->find(ids.back()) || is_over(supervisor_->find(ids.back())->state); }));
    }

    EXPECT_EQ(supervisor_->list().size(), 2U);
    EXPECT_EQ(supervisor_->find(ids[0]).error().code(), ErrorCode::EnclaveNotFound);
    EXPECT_TRUE(supervisor_->find(ids[3]));
    EXPECT_EQ(store_->load().value().size(), 2U);
}

TEST_F(SupervisorTest, RemovingALiveEnclaveStopsItFirst) {
    const auto id = launch_ready();

    const auto record = supervisor_->remove(id).value();

    EXPECT_EQ(record.state, VmState::Stopping);
    ASSERT_TRUE(until([&] { return !supervisor_->find(id); }));
    EXPECT_TRUE(host_.present().empty());
    EXPECT_TRUE(store_->load().value().empty());
}

TEST_F(SupervisorTest, EventsTellTheStory) {
    const auto id = launch_ready();
    ASSERT_TRUE(supervisor_->stop(id, milliseconds(0)));
    ASSERT_TRUE(until_state(id, VmState::Stopped));

    const auto events = store_->events(0, 100).value();

    std::vector<std::string> story;
    for (const auto& event : events)
        story.push_back(event.kind + ":" + event.detail);
    EXPECT_EQ(story,
              (std::vector<std::string>{"state:reserving", "state:measuring", "state:starting",
                                        "state:running", "ready:", "state:stopping: a client asked for it",
                                        "state:stopping: host_request", "state:stopped: host_request"}));
}

LaunchRequest of_primary(LaunchRequest request, uint32_t disks) {
    request.role = api::VmRole::Primary;
    for (uint32_t i = 0; i < disks; ++i)
        request.disks.push_back({.file = sys::memfd("disk").value(),
                                 .record = {.bytes = 512, .read_only = i == 0, .serial = {}}});
    return request;
}

TEST_F(SupervisorTest, APrimaryVmRunsWithItsDisksAsAParent) {
    const auto record = supervisor_->launch(of_primary(request("dev"), 2)).value();

    ASSERT_TRUE(
        until([&] { return supervisor_->find("dev", api::VmRole::Primary)->state == VmState::Running; }));
    const auto order = host_.launches().at(0);
    EXPECT_EQ(record.id.size(), 19U);
    EXPECT_TRUE(record.id.starts_with("i-"));
    EXPECT_NE(record.id, store_->instance_id());
    EXPECT_EQ(record.cid, api::kParentCid);
    EXPECT_EQ(order.guest_cid, api::kParentCid);
    EXPECT_EQ(order.role, static_cast<uint32_t>(api::VmRole::Primary));
    EXPECT_EQ(order.disk_count, 2U);
    EXPECT_EQ(order.module_id.text(), "");
    EXPECT_EQ(host_.disk_count(record.id), 2U);
    EXPECT_FALSE(supervisor_->find(record.id, api::VmRole::Primary)->measurements);
}

TEST_F(SupervisorTest, APrimaryVmsNetworksHaveTheirAddresses) {
    auto request = of_primary(this->request("dev"), 1);
    const api::MacAddress given = {2, 0, 0, 0, 0, 1};
    request.networks.push_back(
        {.link = sys::memfd("tap").value(), .kind = api::NetworkKind::Tap, .mac = given});
    request.networks.push_back(
        {.link = sys::memfd("stream").value(), .kind = api::NetworkKind::Stream, .mac = {}});

    const auto record = supervisor_->launch(std::move(request)).value();

    ASSERT_TRUE(until([&] { return !host_.launches().empty(); }));
    const auto order = host_.launches().at(0);
    EXPECT_EQ(api::network_count(order.networks), 2U);
    EXPECT_EQ(order.networks[0].mac, given);
    EXPECT_EQ(order.networks[0].kind, 1);
    EXPECT_EQ(order.networks[1].mac, mac_of(record.id, 1));
    EXPECT_EQ(order.networks[1].kind, 2);
    EXPECT_EQ(record.networks.at(1).mac, mac_of(record.id, 1));
    EXPECT_TRUE(until([&] { return host_.disk_count(record.id) == 3; })) << "a disk and two networks";
}

TEST_F(SupervisorTest, VmsOfOneRoleAreNotFoundAmongTheOthers) {
    const auto primary = supervisor_->launch(of_primary(request("dev"), 0)).value().id;

    EXPECT_EQ(supervisor_->find("dev").error().code(), ErrorCode::EnclaveNotFound);
    EXPECT_EQ(supervisor_->find(primary).error().code(), ErrorCode::EnclaveNotFound);
    EXPECT_TRUE(supervisor_->find("dev", api::VmRole::Primary));
    EXPECT_EQ(supervisor_->launch(request("dev")).error().code(), ErrorCode::EnclaveNameTaken);
}

TEST_F(SupervisorTest, AResetOfAPrimaryVmIsCountedAndItRunsOn) {
    const auto id = supervisor_->launch(of_primary(request(), 0)).value().id;
    const auto vm = [&] { return supervisor_->find(id, api::VmRole::Primary).value(); };
    ASSERT_TRUE(until([&] { return vm().state == VmState::Running; }));

    host_.reset(id);

    ASSERT_TRUE(until([&] { return vm().restarts == 1; }));
    run_for(milliseconds(50));
    EXPECT_EQ(vm().state, VmState::Running);
    EXPECT_EQ(store_->load().value().at(0).record.restarts, 1U);
    EXPECT_EQ(store_->events(0, 100).value().back().kind, "restarted");
}

TEST_F(SupervisorTest, ThePrimaryVmsConsoleIsThereWithoutDebugMode) {
    const auto id = supervisor_->launch(of_primary(request(), 0)).value().id;
    const auto vm = [&] { return supervisor_->find(id, api::VmRole::Primary).value(); };
    ASSERT_TRUE(until([&] { return vm().state == VmState::Running; }));
    host_.write_console(id, "login: ");
    host_.end(id, api::StopReason::PowerOff);
    ASSERT_TRUE(until([&] { return vm().state == VmState::Stopped; }));

    std::string text;
    supervisor_->console(id, [&](Result<Fd> ring) {
        text = as_text(api::ConsoleRingReader::open(ring.value()).value().read().data);
    });

    EXPECT_EQ(text, "login: ");
    EXPECT_EQ(vm().reason, "power_off");
}

TEST_F(SupervisorTest, WhatIsOfTheOtherRoleIsRefused) {
    EXPECT_EQ(supervisor_->launch(of_primary(request(), api::kMaxDisks + 1)).error().code(),
              ErrorCode::InvalidArgument);
    auto with_cid = of_primary(request(), 0);
    with_cid.cid = 20;
    EXPECT_EQ(supervisor_->launch(std::move(with_cid)).error().code(), ErrorCode::InvalidArgument);
    auto networks = of_primary(request(), 0);
    networks.networks.resize(api::kMaxNetworks + 1);
    EXPECT_EQ(supervisor_->launch(std::move(networks)).error().code(), ErrorCode::InvalidArgument);
    auto enclave = of_primary(request(), 1);
    enclave.role = api::VmRole::Enclave;
    EXPECT_EQ(supervisor_->launch(std::move(enclave)).error().code(), ErrorCode::InvalidArgument);
}

TEST_F(SupervisorTest, CoresThatOthersMayUseAreShownAndAnEvent) {
    host_.set_core_note("an old kernel");
    const auto id = launch_ready();
    restart();

    EXPECT_EQ(supervisor_->find(id)->core_note, "an old kernel");
    const auto events = store_->events(0, 100).value();
    const auto noted = std::ranges::find(events, "cores", &Event::kind);
    ASSERT_NE(noted, events.end());
    EXPECT_EQ(noted->vm, id);
    EXPECT_EQ(noted->detail, "not exclusive: an old kernel");
}

}  // namespace
}  // namespace alcove::daemon

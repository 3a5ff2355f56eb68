// SPDX-License-Identifier: Apache-2.0
//
// The broker with a spawner that starts plain children of this test instead of jailed programs. The real
// spawner needs root: tests/ has that part.
#include "broker/broker.hpp"

#include <csignal>

#include <sys/socket.h>
#include <sys/syscall.h>

#include <gtest/gtest.h>

#include "broker/fake_cgroups.hpp"

namespace alcove::broker {
namespace {

namespace message = api::broker;

constexpr std::chrono::seconds kPatience(10);

// A child that lives until it is killed, and a report that the test ends or fills.
class FakeSpawner : public Spawner {
  public:
    Result<SpawnedShim> spawn(const LaunchPlan& plan, VmPlaces, VmDescriptors descriptors) override {
        if (refuse) return fail(ErrorCode::SystemCall, "fork refused");
        spawned.push_back(plan.id.text());
        image_size = sys::file_size(descriptors.image).value();
        disk_count = descriptors.disks.size();
        network_count = descriptors.networks.size();
        sgx_root = descriptors.sgx_root;
        spill = std::move(descriptors.spill);
        epc_count = descriptors.epc.size();
        has_provision = descriptors.provision.is_open();
        const pid_t pid = ::fork();
        if (pid == 0) {
            ::syscall(SYS_close_range, 3, ~0U, 0);  // as the real one does
            ::pause();
            ::_exit(0);
        }
        pids.push_back(pid);
        auto pipe = sys::pipe(O_NONBLOCK).value();
        report = std::move(pipe.second);
        return SpawnedShim{.pid = pid,
                           .pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))),
                           .report = std::move(pipe.first)};
    }
    ~FakeSpawner() override {
        for (const pid_t pid : pids)
            ::kill(pid, SIGKILL);
    }

    bool refuse = false;
    std::vector<std::string> spawned;
    std::vector<pid_t> pids;
    uint64_t image_size = 0;
    size_t disk_count = 0;
    size_t network_count = 0;
    api::SgxRootSecret sgx_root{};
    Fd spill;
    size_t epc_count = 0;
    bool has_provision = false;
    Fd report;
};

struct BrokerTest : testing::Test, FakeHost {
    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    FakeSpawner spawner;
    uid_t daemon_uid = ::getuid();
    std::string kvm = "/dev/null";
    std::string sgx_vepc = "/dev/null";
    std::string sgx_provision = "/dev/null";
    bool attestor_refuses = false;
    bool siblings_refused = false;
    std::string opened_at_attestor;
    Fd image = sys::memfd("image").value();
    std::unique_ptr<Broker> broker;
    Channel daemon;

    BrokerTest() { sys::truncate(image, 1000).value(); }

    void start() {
        auto listener = sys::unix_listen(root / "broker.sock", SOCK_SEQPACKET, 0600).value();
        broker = Broker::create(
                     *loop,
                     {.folders = folders,
                      .spawner = spawner,
                      .siblings_of = two_cores,
                      .check_siblings_can_be_shared = [this]() -> Result<void> {
                          if (siblings_refused) return fail(ErrorCode::Unsupported, "no");
                          return {};
                      },
                      .open_at_attestor = [this](const LaunchPlan& plan) -> Result<Fd> {
                          if (attestor_refuses) return fail(ErrorCode::KeyInvalid, "no key");
                          opened_at_attestor = plan.module_id;
                          return sys::open("/dev/null", O_RDWR);
                      },
                      .sgx_root = [this](const LaunchPlan& plan) -> Result<api::SgxRootSecret> {
                          if (attestor_refuses) return fail(ErrorCode::KeyInvalid, "no key");
                          return api::SgxRootSecret{uint8_t(plan.numbers.sgx_root_owner.text()->size())};
                      },
                      .kvm = kvm,
                      .sgx_vepc = sgx_vepc,
                      .sgx_provision = sgx_provision,
                      .daemon_uid = daemon_uid},
                     std::move(listener))
                     .value();
        daemon = Channel(sys::unix_connect(root / "broker.sock", SOCK_SEQPACKET).value());
        ASSERT_TRUE(sys::set_non_blocking(daemon.fd(), true));
        if (daemon_uid != ::getuid()) return;
        ASSERT_TRUE(daemon.send(api::encode_hello(api::Protocol::Broker, message::kVersions)));
        next();
    }
    void ask_launch(const message::Launch& launch, std::vector<int> disks = {}) {
        const auto for_reading = sys::open("/proc/self/fd/" + std::to_string(image.get()), O_RDONLY).value();
        disks.insert(disks.begin(), for_reading.get());
        ASSERT_TRUE(daemon.send(api::encode(launch), disks));
    }
    bool turn_until(const std::function<bool()>& condition) {
        const auto deadline = std::chrono::steady_clock::now() + kPatience;
        while (!condition()) {
            if (std::chrono::steady_clock::now() > deadline) return false;
            loop->run_once(std::chrono::milliseconds(10)).value();
        }
        return true;
    }
    // The next message to the daemon; an empty one when none comes.
    Channel::Message next() {
        Channel::Message result;
        turn_until([&] {
            auto received = daemon.receive();
            if (received) result = std::move(*received);
            return received.has_value() || received.error().code() == ErrorCode::ConnectionLost;
        });
        return result;
    }
    Error next_failure() {
        const auto received = next();
        const auto envelope = api::open_envelope(received.data);
        auto failed =
            envelope ? api::decode_failed(*envelope) : Result<api::FailedRequest>(fail(ErrorCode{}, "none"));
        return failed ? failed->error : Error(ErrorCode{}, "no failure");
    }
    uint32_t next_done() {
        const auto received = next();
        const auto done = api::decode<message::Done>(api::open_envelope(received.data).value());
        return done ? uint32_t{done->request} : 0;
    }
    // A VM that runs.
    Channel::Message launched(const std::string& id = "vm-1", uint32_t slot = 7) {
        ask_launch(good_launch(id, slot));
        const auto count = spawner.spawned.size();
        turn_until([&] { return spawner.spawned.size() > count; });
        spawner.report.reset();
        return next();
    }
};

TEST_F(BrokerTest, ALaunchIsAnsweredWithThePidfdOfTheShim) {
    start();

    const auto answer = launched();
    const auto body =
        api::decode_with_tail<message::Launched>(api::open_envelope(answer.data).value()).value();

    EXPECT_EQ(body.body.request, 5U);
    EXPECT_EQ(body.body.flags, message::Launched::kExclusiveCores);
    EXPECT_EQ(body.body.shim_pid, static_cast<uint32_t>(spawner.pids[0]));
    ASSERT_EQ(answer.descriptors.size(), 1U);
    ASSERT_EQ(::syscall(SYS_pidfd_send_signal, answer.descriptors[0].get(), 0, nullptr, 0), 0);
    EXPECT_EQ(spawner.image_size, 1000U);
    EXPECT_EQ(opened_at_attestor, "i-1234-enc5678");
}

TEST_F(BrokerTest, ALaunchIsNotAnsweredBeforeBothProgramsHaveBegun) {
    start();
    ask_launch(good_launch());
    ASSERT_TRUE(turn_until([this] { return !spawner.spawned.empty(); }));
    for (int i = 0; i < 5; ++i)
        loop->run_once(std::chrono::milliseconds(10)).value();

    EXPECT_EQ(daemon.receive().error().code(), ErrorCode::Busy);
}

TEST_F(BrokerTest, AProgramThatDoesNotBeginTakesTheVmWithIt) {
    start();
    ask_launch(good_launch());
    ASSERT_TRUE(turn_until([this] { return !spawner.spawned.empty(); }));

    const auto report = api::encode_failed(0, Error::from_errno(ENOENT, "executing alcove-vmm"));
    ASSERT_TRUE(sys::write_all(spawner.report, report));
    const auto failure = next_failure();

    EXPECT_NE(failure.message().find("executing alcove-vmm"), std::string::npos);
    EXPECT_TRUE(is_empty());
}

TEST_F(BrokerTest, EveryRefusalLeavesNothing) {
    const std::pair<const char*, std::function<void(BrokerTest&)>> refusals[] = {
        {"spawner", [](BrokerTest& test) { test.spawner.refuse = true; }},
        {"attestor", [](BrokerTest& test) { test.attestor_refuses = true; }},
        {"cgroup", [](BrokerTest& test) { test.cgroups.refused_group = "vm-1/vmm"; }},
        {"image", [](BrokerTest& test) { sys::truncate(test.image, 999).value(); }},
    };
    start();
    for (const auto& [name, refuse] : refusals) {
        refuse(*this);
        ask_launch(good_launch());

        EXPECT_NE(next_failure().code(), ErrorCode{}) << name;
        EXPECT_TRUE(is_empty()) << name;
        spawner.refuse = attestor_refuses = false;
        cgroups.refused_group.clear();
    }
}

TEST_F(BrokerTest, APrimaryVmHasItsDisksAndNoAttestor) {
    start();
    attestor_refuses = true;  // nobody asks it
    const auto disk = sys::memfd("disk").value();
    const auto read_only = sys::open("/proc/self/fd/" + std::to_string(disk.get()), O_RDONLY).value();

    ask_launch(good_primary_launch(2), {disk.get(), read_only.get()});

    ASSERT_TRUE(turn_until([this] { return !spawner.spawned.empty(); }));
    EXPECT_EQ(spawner.disk_count, 2U);
    EXPECT_EQ(opened_at_attestor, "");
}

TEST_F(BrokerTest, AVmWithSgxHasItsSecretFromTheAttestor) {
    start();
    ask_launch(good_sgx_launch());
    ASSERT_TRUE(turn_until([&] { return spawner.spawned.size() == 1; }));

    EXPECT_EQ(spawner.sgx_root[0], std::string("vm:dev").size()) << "asked for that owner";
    EXPECT_EQ(opened_at_attestor, "") << "and for nothing else";
}

TEST_F(BrokerTest, SgxOfTheProcessorsHasTheirDevicesAndNoSecret) {
    attestor_refuses = true;  // nobody asks it
    start();
    auto launch = good_hardware_sgx_launch();

    ask_launch(launch);
    ASSERT_TRUE(turn_until([&] { return spawner.spawned.size() == 1; }));
    EXPECT_EQ(spawner.epc_count, 2U) << "one for each section";
    EXPECT_FALSE(spawner.has_provision);
    EXPECT_EQ(spawner.sgx_root, api::SgxRootSecret{});

    launch.vm_id = api::VmId::parse("i-1").value().field();
    launch.vmm_slot = launch.vmm_slot + 1;
    launch.sgx.flags = launch.sgx.flags | api::Sgx::kProvisionKey;
    ask_launch(launch);
    ASSERT_TRUE(turn_until([&] { return spawner.spawned.size() == 2; }));
    EXPECT_TRUE(spawner.has_provision);
}

TEST_F(BrokerTest, WithoutTheDevicesOfTheProcessorsNothingIsLaunched) {
    sgx_provision = "/nonexistent";
    start();
    auto launch = good_hardware_sgx_launch();
    launch.sgx.flags = launch.sgx.flags | api::Sgx::kProvisionKey;

    ask_launch(launch);

    const auto refused = next_failure();
    EXPECT_EQ(refused.code(), ErrorCode::Unsupported);
    EXPECT_NE(refused.to_string().find("/nonexistent"), std::string::npos);
    EXPECT_TRUE(spawner.spawned.empty());
    ask_launch(good_sgx_launch());
    ASSERT_TRUE(turn_until([&] { return spawner.spawned.size() == 1; })) << "software needs none";
    EXPECT_EQ(spawner.epc_count, 0U);
}

TEST_F(BrokerTest, EpcWithABudgetHasAFileToGoToBehindTheNetworks) {
    start();
    const auto spill = sys::memfd("spill").value();
    const auto stream = sys::socket_pair(SOCK_STREAM).value();
    auto launch = good_spilling_launch();
    launch.networks[0] = {.mac = {2, 0, 0, 0, 0, 1}, .kind = 2, .reserved = 0};
    const auto for_reading = sys::open("/proc/self/fd/" + std::to_string(spill.get()), O_RDONLY).value();

    ask_launch(launch, {stream.first.get()});
    EXPECT_EQ(next_failure().code(), ErrorCode::InvalidMessage) << "nothing";
    ask_launch(launch, {stream.first.get(), spill.get()});
    EXPECT_EQ(next_failure().code(), ErrorCode::InvalidArgument) << "too small";
    ASSERT_TRUE(sys::truncate(spill, 4_MiB));
    ask_launch(launch, {stream.first.get(), for_reading.get()});
    EXPECT_EQ(next_failure().code(), ErrorCode::InvalidArgument) << "for reading only";
    ask_launch(launch, {stream.first.get(), stream.second.get()});
    EXPECT_EQ(next_failure().code(), ErrorCode::InvalidArgument) << "no file";
    ask_launch(launch, {stream.first.get(), spill.get()});

    ASSERT_TRUE(turn_until([&] { return spawner.spawned.size() == 1; }));
    EXPECT_EQ(sys::file_size(spawner.spill).value(), 4_MiB);
    EXPECT_EQ(spawner.network_count, 1U);
}

TEST_F(BrokerTest, TheMemoryOfAVmThatRunsIsLimitedAnew) {
    start();
    auto launch = good_spilling_launch();
    const std::string vm(launch.vm_id.text().value());
    launch.request = 14;
    const auto ask = [&] {
        const message::LimitMemory request{.launch = launch};
        ASSERT_TRUE(daemon.send(api::encode(request)));
    };
    ask();
    EXPECT_EQ(next_failure().code(), ErrorCode::NotFound);
    const auto spill = sys::memfd("spill").value();
    ASSERT_TRUE(sys::truncate(spill, 4_MiB));
    ask_launch(launch, {spill.get()});
    ASSERT_TRUE(turn_until([&] { return spawner.spawned.size() == 1; }));
    spawner.report.reset();
    next();

    launch.sgx.budget_mib = 2;
    ask();

    EXPECT_EQ(next_done(), 14U);
    EXPECT_EQ(cgroups.content(vm + "/memory.max"),
              std::to_string(plan_launch(launch, two_cores)->memory_limit()));
    launch.sgx.budget_mib = 9;
    ask();
    EXPECT_EQ(next_failure().code(), ErrorCode::InvalidArgument) << "checked as a launch is";
}

TEST_F(BrokerTest, WithoutItsSecretAVmWithSgxIsNotLaunched) {
    attestor_refuses = true;
    start();
    ask_launch(good_sgx_launch());

    EXPECT_EQ(next_failure().code(), ErrorCode::KeyInvalid);
    EXPECT_TRUE(spawner.spawned.empty());
}

TEST_F(BrokerTest, NetworksComeBehindTheDisks) {
    start();
    const auto disk = sys::memfd("disk").value();
    const auto stream = sys::socket_pair(SOCK_STREAM).value();
    auto launch = good_primary_launch(1);
    launch.networks[0] = {.mac = {2, 0, 0, 0, 0, 1}, .kind = 2, .reserved = 0};

    ask_launch(launch, {disk.get(), disk.get()});
    EXPECT_EQ(next_failure().code(), ErrorCode::InvalidArgument) << "no stream";
    ask_launch(launch, {disk.get()});
    EXPECT_EQ(next_failure().code(), ErrorCode::InvalidMessage) << "nothing";
    ask_launch(launch, {disk.get(), stream.first.get()});

    ASSERT_TRUE(turn_until([this] { return !spawner.spawned.empty(); }));
    EXPECT_EQ(spawner.disk_count, 1U);
    EXPECT_EQ(spawner.network_count, 1U);
}

TEST_F(BrokerTest, WhatIsNoDiskIsRefused) {
    start();
    const auto disk = sys::memfd("disk").value();
    const auto path = "/proc/self/fd/" + std::to_string(disk.get());
    const auto write_only = sys::open(path, O_WRONLY).value();
    const auto appending = sys::open(path, O_RDWR | O_APPEND).value();
    const auto name_only = sys::open(path, O_PATH).value();
    const auto pipe = sys::pipe().value();

    for (const int fd : {write_only.get(), appending.get(), name_only.get(), pipe.first.get()}) {
        ask_launch(good_primary_launch(1), {fd});

        EXPECT_NE(next_failure().code(), ErrorCode{}) << fd;
    }
    ask_launch(good_primary_launch(2), {disk.get()});
    EXPECT_EQ(next_failure().code(), ErrorCode::InvalidMessage);
    EXPECT_TRUE(is_empty());
    EXPECT_TRUE(spawner.spawned.empty());
}

// The RAM file of a primary VM, as its shim makes it.
Fd make_parent_ram(int seals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) {
    auto ram = sys::memfd("ram").value();
    EXPECT_TRUE(sys::truncate(ram, 64_MiB));
    EXPECT_TRUE(sys::add_seals(ram, seals));
    return ram;
}

TEST_F(BrokerTest, ACarvedEnclaveBeginsWithItsPrimarysRam) {
    start();
    const Fd ram = make_parent_ram();

    ASSERT_TRUE(daemon.send(api::encode(good_carved_launch()), {ram.get()}));

    ASSERT_TRUE(turn_until([this] { return !spawner.spawned.empty(); }));
    EXPECT_EQ(spawner.image_size, 64_MiB);
    EXPECT_EQ(opened_at_attestor, "i-1234-enc5678");
    EXPECT_EQ(cgroups.content("i-1234-enc5678/vmm/vcpus/cpuset.cpus"), "2,3");
    EXPECT_EQ(cgroups.content("i-1234-enc5678/vmm/vcpus/cpuset.cpus.partition"), "member");
}

TEST_F(BrokerTest, WhatIsNoPrimarysRamIsRefused) {
    start();
    const Fd ram = make_parent_ram();
    const auto path = "/proc/self/fd/" + std::to_string(ram.get());
    const Fd for_reading = sys::open(path, O_RDONLY).value();
    const Fd for_writing = sys::open(path, O_WRONLY).value();
    const Fd appending = sys::open(path, O_RDWR | O_APPEND).value();
    const Fd can_shrink = make_parent_ram(F_SEAL_GROW | F_SEAL_SEAL);
    const Fd can_grow = make_parent_ram(F_SEAL_SHRINK | F_SEAL_SEAL);
    const Fd can_be_sealed = make_parent_ram(F_SEAL_GROW | F_SEAL_SHRINK);
    const Fd on_disk = sys::open(root / "file", O_RDWR | O_CREAT).value();
    ASSERT_TRUE(sys::truncate(on_disk, 64_MiB));
    const Fd device = sys::open("/dev/null", O_RDWR).value();

    for (const Fd* fd : {&for_reading, &for_writing, &appending, &can_shrink, &can_grow, &can_be_sealed,
                         &on_disk, &device}) {
        ASSERT_TRUE(daemon.send(api::encode(good_carved_launch()), {fd->get()}));

        EXPECT_EQ(next_failure().code(), ErrorCode::InvalidArgument) << fd->get();
    }
    auto larger = good_carved_launch();
    larger.memory_bytes = 65_MiB;
    auto huge = good_carved_launch();
    huge.page_size = api::kHugePage;
    for (const auto& launch : {larger, huge}) {
        ASSERT_TRUE(daemon.send(api::encode(launch), {ram.get()}));

        EXPECT_EQ(next_failure().code(), ErrorCode::InvalidArgument);
    }
    EXPECT_TRUE(is_empty());
    EXPECT_TRUE(spawner.spawned.empty());
}

TEST_F(BrokerTest, AVmMovesToOtherCores) {
    start();
    launched();

    ASSERT_TRUE(daemon.send(api::encode(assignment({0, 1}))));

    const auto answer = next();
    const auto body =
        api::decode_with_tail<message::CoresAssigned>(api::open_envelope(answer.data).value()).value();
    EXPECT_EQ(body.body.request, 12U);
    EXPECT_EQ(body.body.flags, message::Launched::kExclusiveCores);
    EXPECT_EQ(as_text(body.tail), "");
    EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus"), "0,1");
}

TEST_F(BrokerTest, CoresThatAreNotExclusiveAreAnsweredWithTheReason) {
    cgroups.missing_files = {"cpuset.cpus.exclusive"};
    start();
    launched();

    ASSERT_TRUE(daemon.send(api::encode(assignment({0, 1}))));

    const auto answer = next();
    const auto body =
        api::decode_with_tail<message::CoresAssigned>(api::open_envelope(answer.data).value()).value();
    EXPECT_EQ(body.body.flags, 0U);
    EXPECT_NE(as_text(body.tail).find("cpuset.cpus.exclusive"), std::string_view::npos);
    EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus"), "0,1");
}

TEST_F(BrokerTest, CoresOfNobodyAndCoresThatCanNotBeSharedAreRefused) {
    start();
    ASSERT_TRUE(daemon.send(api::encode(assignment({0, 1}))));
    EXPECT_EQ(next_failure().code(), ErrorCode::NotFound);
    launched();

    siblings_refused = true;
    ASSERT_TRUE(daemon.send(api::encode(assignment({0}, 0))));
    EXPECT_EQ(next_failure().code(), ErrorCode::Unsupported);
    ASSERT_TRUE(daemon.send(api::encode(assignment({0}))));
    EXPECT_EQ(next_failure().code(), ErrorCode::InvalidArgument);

    EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus"), "2,3");
}

TEST_F(BrokerTest, AHostWithoutKvmIsNamedSo) {
    kvm = (root / "no-kvm").string();
    start();

    ask_launch(good_launch());

    EXPECT_EQ(next_failure().code(), ErrorCode::KvmMissing);
}

TEST_F(BrokerTest, AnImageThatCouldBeWrittenIsRefused) {
    start();

    ASSERT_TRUE(daemon.send(api::encode(good_launch()), {image.get()}));

    EXPECT_EQ(next_failure().code(), ErrorCode::InvalidArgument);
}

TEST_F(BrokerTest, ALaunchWithoutAnImageIsRefused) {
    start();

    ASSERT_TRUE(daemon.send(api::encode(good_launch())));

    EXPECT_EQ(next_failure().code(), ErrorCode::InvalidMessage);
}

TEST_F(BrokerTest, OneIdRunsOnce) {
    start();
    launched();

    ask_launch(good_launch("vm-1", 8));
    EXPECT_EQ(next_failure().code(), ErrorCode::AlreadyExists);
    ask_launch(good_launch("vm-2", 7));
    EXPECT_EQ(next_failure().code(), ErrorCode::AlreadyExists);

    EXPECT_EQ(spawner.spawned, std::vector<std::string>{"vm-1"});
}

TEST_F(BrokerTest, TheEndOfAShimIsTheEndOfItsVmm) {
    start();
    launched();

    ::kill(spawner.pids[0], SIGKILL);

    EXPECT_TRUE(turn_until([this] { return cgroups.content("vm-1/vmm/cgroup.kill") == "1"; }));
    EXPECT_EQ(::kill(spawner.pids[0], 0), -1);  // and it was reaped
}

TEST_F(BrokerTest, KillReachesTheVmmAndNotTheShim) {
    start();
    launched();

    ASSERT_TRUE(
        daemon.send(api::encode(message::Kill{.request = 9, .reserved = {}, .vm_id = good_launch().vm_id})));

    EXPECT_EQ(next_done(), 9U);
    EXPECT_EQ(cgroups.content("vm-1/vmm/cgroup.kill"), "1");
    EXPECT_EQ(::kill(spawner.pids[0], 0), 0);
}

TEST_F(BrokerTest, RemoveKillsWaitsAndTakesAway) {
    start();
    launched();
    cgroups.populated = {"vm-1/vmm"};

    ASSERT_TRUE(daemon.send(
        api::encode(message::Remove{.request = 10, .reserved = {}, .vm_id = good_launch().vm_id})));
    ASSERT_TRUE(turn_until([this] { return cgroups.content("vm-1/cgroup.kill") == "1"; }));
    EXPECT_FALSE(is_empty());
    cgroups.populated = {};

    EXPECT_EQ(next_done(), 10U);
    EXPECT_TRUE(is_empty());
}

TEST_F(BrokerTest, RemovingWhatIsNotThereIsNotFound) {
    start();

    ASSERT_TRUE(daemon.send(
        api::encode(message::Remove{.request = 10, .reserved = {}, .vm_id = good_launch().vm_id})));

    EXPECT_EQ(next_failure().code(), ErrorCode::NotFound);
}

TEST_F(BrokerTest, TheListCanBeReadOnFromAnId) {
    start();
    launched("vm-a", 1);
    launched("vm-b", 2);
    launched("vm-c", 3);

    ASSERT_TRUE(daemon.send(
        api::encode(message::List{.request = 11, .reserved = {}, .after = api::VmId::Field::of("vm-a")})));
    const auto received = next();
    const auto listing = message::decode_listing(api::open_envelope(received.data).value()).value();

    ASSERT_EQ(listing.entries.size(), 2U);
    EXPECT_EQ(listing.entries[0].vm_id.text(), "vm-b");
    EXPECT_EQ(listing.entries[1].vmm_slot, 3U);
    EXPECT_FALSE(listing.more);
}

TEST_F(BrokerTest, SomebodyElseIsNotServed) {
    daemon_uid = ::getuid() + 1;
    start();

    EXPECT_TRUE(next().data.empty());
    EXPECT_EQ(daemon.receive().error().code(), ErrorCode::ConnectionLost);
}

TEST_F(BrokerTest, NonsenseClosesTheConnectionAndNothingElse) {
    start();
    launched();

    ASSERT_TRUE(daemon.send(api::encode_raw(message::Launch::kType, Bytes(10), {})));

    EXPECT_TRUE(next().data.empty());
    EXPECT_EQ(::kill(spawner.pids[0], 0), 0);
}

TEST_F(BrokerTest, ARestartedBrokerKeepsWatchingTheShims) {
    start();
    launched();
    launched("vm-2", 8);
    cgroups.set("vm-1/shim/cgroup.procs", std::to_string(spawner.pids[0]) + "\n");
    broker.reset();  // vm-2's shim is gone meanwhile: its cgroup is empty

    start();
    EXPECT_EQ(cgroups.content("vm-2/vmm/cgroup.kill"), "1");
    EXPECT_EQ(cgroups.content("vm-1/vmm/cgroup.kill"), "");
    ::kill(spawner.pids[0], SIGKILL);

    EXPECT_TRUE(turn_until([this] { return cgroups.content("vm-1/vmm/cgroup.kill") == "1"; }));
}

TEST_F(BrokerTest, ADaemonThatLeavesDuringALaunchFindsTheVmInTheList) {
    start();
    ask_launch(good_launch());
    ASSERT_TRUE(turn_until([this] { return !spawner.spawned.empty(); }));
    daemon.release();
    spawner.report.reset();
    for (int i = 0; i < 5; ++i)
        loop->run_once(std::chrono::milliseconds(10)).value();

    EXPECT_EQ(folders.list()->size(), 1U);
}

}  // namespace
}  // namespace alcove::broker

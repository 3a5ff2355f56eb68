// SPDX-License-Identifier: Apache-2.0
//
// The real spawner, cgroups and all, with probe_for_tests.cpp in the place of both programs. It needs root
// and a cgroup v2 tree of its own, and is skipped where it has not. In the embedded host it has them: it is
// one of the machine tests, too. What a VMM really has is seen there by tests/stack.
#include "broker/spawner.hpp"

#include <csignal>
#include <filesystem>
#include <map>
#include <sstream>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "broker/fake_cgroups.hpp"

namespace alcove::broker {
namespace {

constexpr uid_t kShimUid = 902;
constexpr std::chrono::seconds kSpawnPatience(20);
const std::string kCgroupRoot = "/sys/fs/cgroup";

using Facts = std::map<std::string, std::string>;

Facts facts_in(std::string_view text) {
    Facts facts;
    std::istringstream stream{std::string(text)};
    for (std::string key, value; stream >> key && std::getline(stream >> std::ws, value);)
        facts[key] = value;
    return facts;
}

struct SpawnerTest : testing::Test {
    std::filesystem::path run = "/run/alcove-spawner-test";
    SpawnSettings settings;
    api::broker::Launch launch = good_launch("vm-1", 7);
    std::optional<Cgroups> cgroups;
    std::optional<VmFolders> folders;
    SpawnedShim shim;

    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "only root can start VMMs as other users";
        if (!std::filesystem::exists(kCgroupRoot + "/cgroup.controllers"))
            GTEST_SKIP() << "no cgroup v2 at " << kCgroupRoot;
        const auto probe =
            std::filesystem::read_symlink("/proc/self/exe").parent_path() / "alcove_broker_probe";
        if (!std::filesystem::exists(probe)) GTEST_SKIP() << probe << " is missing";
        settings.shim_program = settings.vmm_program = probe;
        settings.jail_mount_point = run / "jail";
        settings.attestor_shim_socket = "/run/alcove-attestor/shims/attestor.sock";
        settings.shim_uid = settings.shim_gid = kShimUid;
#ifdef __SANITIZE_ADDRESS__
        settings.visible.push_back("/proc");  // the sanitizer reads /proc/self/maps
#endif
        std::filesystem::create_directories(settings.jail_mount_point);
        auto opened = Cgroups::open(kCgroupRoot);
        ASSERT_TRUE(opened) << opened.error().to_string();
        cgroups.emplace(std::move(*opened));
        folders.emplace(VmFolders::open(*cgroups, run, {.shim_uid = kShimUid, .group = 900}).value());
    }
    void TearDown() override {
        if (!folders) return;
        EXPECT_TRUE(remove());
        EXPECT_TRUE(cgroups->children(".")->empty());
        std::filesystem::remove_all(run);
    }

    bool remove() {
        const auto vm = api::VmId::parse("vm-1").value();
        EXPECT_TRUE(folders->kill_all(vm));
        for (int i = 0; i < 1000; ++i) {
            if (shim.pid != 0) ::waitpid(shim.pid, nullptr, WNOHANG);
            const auto removed = folders->remove(vm);
            if (removed || removed.error().code() == ErrorCode::NotFound) return true;
            if (removed.error().code() != ErrorCode::Busy) {
                ADD_FAILURE() << removed.error().to_string();
                return false;
            }
            ::usleep(10'000);
        }
        return false;
    }
    Result<void> spawn() {
        const auto plan = TRY(plan_launch(launch, [](uint32_t) { return api::CpuMask{}; }));
        auto places = TRY(folders->create(plan));
        core_note = places.core_note;
        VmDescriptors descriptors;
        descriptors.image = TRY(sys::open("/dev/null", O_RDONLY));
        descriptors.kvm = TRY(sys::open("/dev/null", O_RDWR));
        descriptors.attestor = TRY(sys::open("/dev/null", O_RDWR));
        shim = TRY(ProcessSpawner(settings).spawn(plan, std::move(places), std::move(descriptors)));
        TRY(sys::set_non_blocking(shim.report, false));
        return read_report(shim.report);
    }
    std::string spawn_error() {
        const auto spawned = spawn();
        return spawned ? "" : spawned.error().to_string();
    }
    Channel connect() {
        return Channel(sys::unix_connect(run / "vm" / "vm-1" / "shim.sock", SOCK_SEQPACKET).value());
    }
    // The VMM has entered its vCPUs' group when it speaks. Both end with the channel.
    Channel hear_both() {
        auto test = connect();
        (void)test.receive_within(kSpawnPatience);
        (void)test.receive_within(kSpawnPatience);
        return test;
    }
    // Where the VMM may run, by the kernel's word.
    std::string cpus_of_vmm() const {
        const auto pid = std::stoi(cgroups->read("vm-1/vmm/cgroup.procs").value());
        const auto status = sys::read_file("/proc/" + std::to_string(pid) + "/status", 64_KiB).value();
        const std::string key = "Cpus_allowed_list:\t";
        const auto text = as_text(status);
        const auto begin = text.find(key) + key.size();
        return api::CpuMask::parse_list(text.substr(begin, text.find('\n', begin) - begin)).value().to_list();
    }
    std::string core_note;
};

TEST_F(SpawnerTest, BothProgramsHaveWhatTheyNeedAndNoMore) {
    ASSERT_EQ(spawn_error(), "");
    const auto test = connect();
    const auto shim_message = test.receive_within(kSpawnPatience).value();
    const auto vmm_message = test.receive_within(kSpawnPatience).value();
    const auto shim_facts = facts_in(as_text(shim_message.data).substr(5));
    const auto vmm_facts = facts_in(as_text(vmm_message.data));

    EXPECT_EQ(shim_facts.at("uid"), "902");
    EXPECT_EQ(shim_facts.at("gid"), "902");
    EXPECT_EQ(shim_facts.at("guest_cid"), "16");
    EXPECT_EQ(vmm_facts.at("uid"), "60007");
    EXPECT_EQ(vmm_facts.at("gid"), "60007");
    for (const auto& facts : {shim_facts, vmm_facts}) {
        EXPECT_EQ(facts.at("groups"), "0");
        EXPECT_EQ(facts.at("capabilities"), "0,0");
        EXPECT_EQ(facts.at("no_new_privs"), "1");
        EXPECT_EQ(facts.at("interfaces"), "lo");
        EXPECT_EQ(facts.at("core"), "0");
        EXPECT_EQ(facts.at("environment"), "1");
    }
    EXPECT_EQ(shim_facts.at("descriptors"), "0,1,2,3");
    EXPECT_EQ(vmm_facts.at("descriptors"), "0,1,2,3,4,5");
    EXPECT_EQ(vmm_facts.at("cpus"), "2,3") << "of the thread that entered the vCPUs' group";
    EXPECT_EQ(vmm_facts.at("cpus_outside"), "0,1") << "of one that did not";
    EXPECT_EQ(vmm_facts.at("partition"), "isolated");
    EXPECT_EQ(vmm_facts.at("writing"), std::to_string(EROFS));
#ifndef __SANITIZE_ADDRESS__
    EXPECT_EQ(vmm_facts.at("root"), "lib,lib64,usr");
#endif
    EXPECT_EQ(vmm_facts.at("usr").find("bin"), std::string::npos);
}

TEST_F(SpawnerTest, TheCgroupsSwitchReachesAVmmThatTheShimMayNotSignal) {
    ASSERT_EQ(spawn_error(), "");
    const auto test = hear_both();

    ASSERT_TRUE(test.send(as_byte_view("kill")));
    const auto answer = test.receive_within(kSpawnPatience).value();

    EXPECT_EQ(as_text(answer.data), "vmm_ended_by 9\n");
}

TEST_F(SpawnerTest, DedicatedCoresAreKeptFromEverybodyElse) {
    launch.flags = api::broker::Launch::kDedicated;
    const Cgroups root(sys::open(kCgroupRoot, O_PATH | O_DIRECTORY).value());
    const auto before = root.read("cpuset.cpus.effective").value();

    ASSERT_EQ(spawn_error(), "");
    const auto during = api::CpuMask::parse_list(root.read("cpuset.cpus.effective").value()).value();
    ASSERT_TRUE(remove());
    const auto after = root.read("cpuset.cpus.effective").value();

    EXPECT_EQ(core_note, "");
    EXPECT_FALSE(during.has(2));
    EXPECT_FALSE(during.has(3));
    EXPECT_EQ(after, before);
}

TEST_F(SpawnerTest, CoresMoveWhileTheVmmRunsAndAreExclusiveAllTheTime) {
    using Cpus = std::vector<uint32_t>;
    launch.flags = api::broker::Launch::kDedicated;
    launch.host_cpus = assignment({1, 2, 3}).host_cpus;
    const Cgroups root(sys::open(kCgroupRoot, O_PATH | O_DIRECTORY).value());
    const auto before = root.read("cpuset.cpus.effective").value();
    ASSERT_EQ(spawn_error(), "");
    ASSERT_EQ(core_note, "");
    const auto test = hear_both();
    const auto siblings_of = [](uint32_t) { return api::CpuMask{}; };

    for (const auto& cpus : {Cpus{3}, Cpus{2, 3}, Cpus{1, 2}, Cpus{1, 2, 3}}) {
        const auto plan = plan_cores(assignment(cpus), siblings_of).value();

        EXPECT_EQ(folders->assign_cores(plan).value(), "");

        EXPECT_EQ(cpus_of_vmm(), plan.host_cpus.to_list());
        const auto left = api::CpuMask::parse_list(root.read("cpuset.cpus.effective").value()).value();
        EXPECT_EQ((left | plan.host_cpus).count(), left.count() + cpus.size()) << "nobody else is there";
        EXPECT_EQ((left | plan.host_cpus).to_list(), api::CpuMask::parse_list(before)->to_list());
    }
    ASSERT_EQ(folders->assign_cores(plan_cores(assignment({0}, 0), siblings_of).value()).value(), "");
    EXPECT_EQ(cpus_of_vmm(), "0");
    EXPECT_EQ(root.read("cpuset.cpus.effective").value(), before);
    ASSERT_EQ(folders->assign_cores(plan_cores(assignment({2, 3}), siblings_of).value()).value(), "");
    EXPECT_EQ(cpus_of_vmm(), "2,3");
}

TEST_F(SpawnerTest, ACarvedEnclavesVmmWaitsOnSharedCores) {
    launch = good_carved_launch();
    launch.vm_id = api::VmId::Field::of("vm-1");

    ASSERT_EQ(spawn_error(), "");

    const auto test = hear_both();

    EXPECT_EQ(cpus_of_vmm(), "2,3");
    EXPECT_EQ(cgroups->read("vm-1/vmm/vcpus/cpuset.cpus.partition").value(), "member\n");
}

TEST_F(SpawnerTest, SharingSiblingsWithoutCoreSchedulingIsRefused) {
    launch.flags = 0;

    const auto spawned = spawn();

    const auto smt = sys::read_file("/sys/devices/system/cpu/smt/active", 8);
    if (!smt || as_text(*smt) != "1\n") GTEST_SKIP() << "this host has no siblings";
    if (spawned) GTEST_SKIP() << "this kernel has core scheduling";
    EXPECT_EQ(spawned.error().code(), ErrorCode::Unsupported);
}

// Its kernel is not the one that runs the rest of these for certain.
using SpawnerCookieTest = SpawnerTest;

TEST_F(SpawnerCookieTest, AVmmOnSharedSiblingsHasACookieOfItsOwn) {
    launch.flags = 0;
    const auto smt = sys::read_file("/sys/devices/system/cpu/smt/active", 8);
    if (!smt || as_text(*smt) != "1\n") GTEST_SKIP() << "this host has no siblings";
    const auto cookie_of = [](pid_t pid) {
        unsigned long cookie = 0;
        const int got = ::prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, pid, PR_SCHED_CORE_SCOPE_THREAD, &cookie);
        return got == 0 ? std::optional(cookie) : std::nullopt;
    };
    if (!cookie_of(0)) GTEST_SKIP() << "this kernel has no core scheduling (CONFIG_SCHED_CORE)";
    ASSERT_EQ(spawn_error(), "");
    const auto test = hear_both();

    const auto pid = std::stoi(cgroups->read("vm-1/vmm/cgroup.procs").value());
    const auto cookie = cookie_of(pid).value();
    EXPECT_NE(cookie, 0U);
    EXPECT_NE(cookie, cookie_of(0).value());
    size_t threads = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
        EXPECT_EQ(cookie_of(std::stoi(task.path().filename())).value(), cookie) << task.path();
        ++threads;
    }
    EXPECT_GT(threads, 0U);
}

TEST_F(SpawnerTest, AProgramThatIsNoneIsReported) {
    const auto file = run / "not-a-program";
    ASSERT_TRUE(sys::replace_file(file, as_byte_view("text"), 0755));
    settings.vmm_program = file;

    const auto spawned = spawn();

    ASSERT_FALSE(spawned);
    EXPECT_NE(spawned.error().message().find("starting the VMM: executing alcove-vmm"), std::string::npos);
}

TEST_F(SpawnerTest, TheShimsFolderIsForItsGroupAndItsSocketsAreItsOwn) {
    ASSERT_EQ(spawn_error(), "");
    const auto folder = run / "vm" / "vm-1";
    struct stat socket {};
    ASSERT_EQ(::stat((folder / "connect.sock").c_str(), &socket), 0);

    EXPECT_EQ(socket.st_uid, kShimUid);
    EXPECT_EQ(socket.st_gid, 900U);
    EXPECT_EQ(socket.st_mode & 07777, 0660U);
}

TEST_F(SpawnerTest, AVmmWhoseShimDiesEndsToo) {
    ASSERT_EQ(spawn_error(), "");
    const auto test = connect();
    (void)test.receive_within(kSpawnPatience);
    (void)test.receive_within(kSpawnPatience);

    ASSERT_TRUE(test.send(as_byte_view("die")));
    const auto populated = [this] {
        return cgroups->read("vm-1/vmm/cgroup.events")->find("populated 1") != std::string::npos;
    };
    for (int i = 0; i < 500 && populated(); ++i)
        ::usleep(10'000);

    EXPECT_FALSE(populated());
}

}  // namespace
}  // namespace alcove::broker

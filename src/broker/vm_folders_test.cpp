// SPDX-License-Identifier: Apache-2.0
#include "broker/vm_folders.hpp"

#include <sys/socket.h>
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "broker/fake_cgroups.hpp"

namespace alcove::broker {
namespace {

struct VmFoldersTest : testing::Test, FakeHost {
    LaunchPlan plan_of(const std::string& id, uint32_t slot) {
        return plan_launch(good_launch(id, slot), two_cores).value();
    }
    static api::VmId id(const std::string& text) { return api::VmId::parse(text).value(); }
};

TEST_F(VmFoldersTest, AVmGetsItsLimitsItsCpusAndAFolder) {
    const auto plan = plan_of("vm-1", 7);

    const auto places = folders.create(plan);

    ASSERT_TRUE(places) << places.error().to_string();
    EXPECT_EQ(cgroups.content("vm-1/memory.max"), std::to_string(plan.memory_limit()));
    EXPECT_EQ(cgroups.content("vm-1/memory.swap.max"), "0");
    EXPECT_EQ(cgroups.content("vm-1/pids.max"), "66");
    EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus"), "2,3");
    EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus.exclusive"), "2,3");
    EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus.partition"), "isolated");
    EXPECT_EQ(cgroups.content("vm-1/shim/cpuset.cpus"), "");
    EXPECT_EQ(places->core_note, "");
    EXPECT_EQ(std::filesystem::read_symlink(run / "slots" / "7"), "vm-1");
    EXPECT_EQ(sys::stat(places->folder)->st_mode & 07777, 03770U);
    ASSERT_TRUE(sys::write_all(places->vmm_kill, as_byte_view("1")));
    EXPECT_EQ(cgroups.content("vm-1/vmm/cgroup.kill"), "1");
}

TEST_F(VmFoldersTest, TheMemoryOfAVmThatRunsIsLimitedAnewAndNeverBelowWhatItUses) {
    auto launch = good_spilling_launch();
    const std::string vm(launch.vm_id.text().value());
    ASSERT_TRUE(folders.create(plan_launch(launch, two_cores).value()));
    const auto small = plan_launch(launch, two_cores).value();
    launch.sgx.budget_mib = 3;
    const auto large = plan_launch(launch, two_cores).value();
    const auto limit = [&] { return std::stoull(cgroups.content(vm + "/memory.max")); };

    ASSERT_TRUE(folders.limit_memory(large));
    EXPECT_EQ(limit(), large.memory_limit());
    EXPECT_GE(limit(), small.memory_limit() + 2_MiB);

    cgroups.set(vm + "/memory.current", std::to_string(large.memory_limit()) + "\n");
    EXPECT_EQ(folders.limit_memory(small).error().code(), ErrorCode::Busy);
    EXPECT_EQ(limit(), large.memory_limit());
    cgroups.reclaimable = 3_MiB;
    ASSERT_TRUE(folders.limit_memory(small)) << "what is on a disk, too, can go";
    EXPECT_EQ(limit(), small.memory_limit());
}

TEST_F(VmFoldersTest, ASharedVmClaimsNoCores) {
    auto launch = good_launch();
    launch.flags = 0;

    const auto places = folders.create(plan_launch(launch, two_cores).value());

    ASSERT_TRUE(places);
    EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus"), "2,3");
    EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus.partition"), "member");
}

TEST_F(VmFoldersTest, CoresMoveAndThePartitionIsValidThroughout) {
    ASSERT_TRUE(folders.create(plan_of("vm-1", 7)));
    using Cpus = std::vector<uint32_t>;
    for (const auto& cpus : {Cpus{0, 1, 2, 3}, Cpus{0, 1}, Cpus{2, 3}, Cpus{2, 3}, Cpus{0, 1, 2, 3}}) {
        const auto plan = plan_cores(assignment(cpus), two_cores).value();

        const auto note = folders.assign_cores(plan);

        ASSERT_TRUE(note) << note.error().to_string();
        EXPECT_EQ(*note, "");
        EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus"), plan.host_cpus.to_list());
        EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus.exclusive"), plan.host_cpus.to_list());
        EXPECT_EQ(cgroups.content("vm-1/cpuset.cpus.exclusive"), plan.host_cpus.to_list());
        EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus.partition"), "isolated");
    }
    EXPECT_EQ(cgroups.broken_partitions, 0);
}

TEST_F(VmFoldersTest, CoresGoFromAPrimaryToItsEnclaveAndBack) {
    auto primary = good_launch("vm-1", 7);
    primary.host_cpus = assignment({0, 1, 2, 3}).host_cpus;
    ASSERT_TRUE(folders.create(plan_launch(primary, two_cores).value()));
    auto enclave = good_carved_launch();
    enclave.vm_id = api::VmId::Field::of("vm-2");
    enclave.vmm_slot = 8;
    ASSERT_TRUE(folders.create(plan_launch(enclave, two_cores).value()));
    const auto assign = [this](const api::broker::AssignCores& request) {
        return folders.assign_cores(plan_cores(request, two_cores).value()).value();
    };

    EXPECT_EQ(assign(assignment({0, 1})), "");
    EXPECT_EQ(assign(assignment({2, 3}, api::broker::Launch::kDedicated, "vm-2")), "");
    EXPECT_EQ(cgroups.content("vm-2/vmm/vcpus/cpuset.cpus.partition"), "isolated");
    EXPECT_EQ(assign(assignment({0}, 0, "vm-2")), "");
    EXPECT_EQ(cgroups.content("vm-2/vmm/vcpus/cpuset.cpus.partition"), "member");
    EXPECT_EQ(cgroups.content("vm-2/vmm/vcpus/cpuset.cpus"), "0");
    EXPECT_EQ(assign(assignment({0, 1, 2, 3})), "");

    EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus.partition"), "isolated");
    EXPECT_EQ(cgroups.broken_partitions, 0);
}

TEST_F(VmFoldersTest, CoresThatAnotherVmHasAreNotExclusiveAndThatIsSaid) {
    ASSERT_TRUE(folders.create(plan_of("vm-1", 7)));
    auto other = good_launch("vm-2", 8);
    other.host_cpus = assignment({0, 1}).host_cpus;
    ASSERT_TRUE(folders.create(plan_launch(other, two_cores).value()));

    const auto note = folders.assign_cores(plan_cores(assignment({0, 1, 2, 3}), two_cores).value());

    ASSERT_TRUE(note);
    EXPECT_NE(note->find("exclusive"), std::string::npos);
    EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus"), "0,1,2,3") << "it runs there all the same";
    EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus.partition"), "member");
    EXPECT_EQ(cgroups.content("vm-2/vmm/vcpus/cpuset.cpus.partition"), "isolated");
}

TEST_F(VmFoldersTest, CoresOfNoVmAreAnError) {
    EXPECT_FALSE(folders.assign_cores(plan_cores(assignment({2, 3}), two_cores).value()));
}

TEST_F(VmFoldersTest, WhereCoresCanNotBeExclusiveTheReasonIsSaid) {
    cgroups.missing_files = {"cpuset.cpus.exclusive"};

    const auto places = folders.create(plan_of("vm-1", 7));

    ASSERT_TRUE(places);
    EXPECT_NE(places->core_note.find("cpuset.cpus.exclusive"), std::string::npos);
}

TEST_F(VmFoldersTest, AKernelWithoutSwapIsFine) {
    cgroups.missing_files = {"memory.swap.max"};

    EXPECT_TRUE(folders.create(plan_of("vm-1", 7)));
}

TEST_F(VmFoldersTest, SwapThatCanNotBeLimitedIsAFailureThatLeavesNothing) {
    cgroups.missing_files = {"memory.swap.max"};
    cgroups.swaps = true;

    EXPECT_FALSE(folders.create(plan_of("vm-1", 7)));
    EXPECT_TRUE(is_empty());
}

TEST_F(VmFoldersTest, AMissingLimitIsAFailureThatLeavesNothing) {
    cgroups.missing_files = {"memory.max"};

    EXPECT_FALSE(folders.create(plan_of("vm-1", 7)));
    EXPECT_TRUE(is_empty());
}

TEST_F(VmFoldersTest, AFailureHalfWayLeavesNothing) {
    cgroups.refused_group = "vm-1/shim";

    EXPECT_FALSE(folders.create(plan_of("vm-1", 7)));
    EXPECT_TRUE(is_empty());
}

TEST_F(VmFoldersTest, AnIdOrASlotInUseIsRefusedAndTheOwnerKeepsIt) {
    ASSERT_TRUE(folders.create(plan_of("vm-1", 7)));

    EXPECT_EQ(folders.create(plan_of("vm-1", 8)).error().code(), ErrorCode::AlreadyExists);
    EXPECT_EQ(folders.create(plan_of("vm-2", 7)).error().code(), ErrorCode::AlreadyExists);

    EXPECT_EQ(folders.list()->size(), 1U);
    EXPECT_EQ(cgroups.content("vm-1/vmm/vcpus/cpuset.cpus"), "2,3");
    EXPECT_EQ(std::filesystem::read_symlink(run / "slots" / "7"), "vm-1");
}

TEST_F(VmFoldersTest, RemovingTakesEverythingAndTheSlotIsFreeAgain) {
    ASSERT_TRUE(folders.create(plan_of("vm-1", 7)));
    const auto listener = sys::unix_listen(run / "vm" / "vm-1" / "port-9000.sock", SOCK_STREAM, 0600).value();
    std::filesystem::create_directories(run / "vm" / "vm-1" / "a" / "b");
    std::ofstream(run / "vm" / "vm-1" / "a" / "b" / "file") << "x";

    ASSERT_TRUE(folders.remove(id("vm-1")));

    EXPECT_TRUE(is_empty());
    EXPECT_TRUE(folders.create(plan_of("vm-2", 7)));
}

TEST_F(VmFoldersTest, RemovingFollowsNoLink) {
    ASSERT_TRUE(folders.create(plan_of("vm-1", 7)));
    std::filesystem::create_directory(root / "precious");
    std::ofstream(root / "precious" / "file") << "x";
    std::filesystem::create_directory_symlink(root / "precious", run / "vm" / "vm-1" / "link");

    ASSERT_TRUE(folders.remove(id("vm-1")));

    EXPECT_TRUE(std::filesystem::exists(root / "precious" / "file"));
}

TEST_F(VmFoldersTest, AFolderThatWasReplacedByALinkIsNotEntered) {
    ASSERT_TRUE(folders.create(plan_of("vm-1", 7)));
    std::filesystem::create_directory(root / "precious");
    std::ofstream(root / "precious" / "file") << "x";
    std::filesystem::remove(run / "vm" / "vm-1");
    std::filesystem::create_directory_symlink(root / "precious", run / "vm" / "vm-1");

    EXPECT_FALSE(folders.remove(id("vm-1")));
    EXPECT_TRUE(std::filesystem::exists(root / "precious" / "file"));
}

TEST_F(VmFoldersTest, WhileProcessesRunNothingIsTakenFromThem) {
    ASSERT_TRUE(folders.create(plan_of("vm-1", 7)));
    cgroups.populated = {"vm-1/vmm"};

    EXPECT_EQ(folders.remove(id("vm-1")).error().code(), ErrorCode::Busy);
    EXPECT_EQ(folders.create(plan_of("vm-2", 7)).error().code(), ErrorCode::AlreadyExists);

    cgroups.populated = {};
    EXPECT_TRUE(folders.remove(id("vm-1")));
    EXPECT_TRUE(is_empty());
}

TEST_F(VmFoldersTest, RemovingNothingIsNotFound) {
    EXPECT_EQ(folders.remove(id("vm-1")).error().code(), ErrorCode::NotFound);
}

TEST_F(VmFoldersTest, KillingGoesToTheVmmAloneOrToAll) {
    ASSERT_TRUE(folders.create(plan_of("vm-1", 7)));

    ASSERT_TRUE(folders.kill_vmm(id("vm-1")));
    EXPECT_EQ(cgroups.content("vm-1/cgroup.kill"), "");
    EXPECT_EQ(cgroups.content("vm-1/shim/cgroup.kill"), "");
    ASSERT_TRUE(folders.kill_all(id("vm-1")));
    EXPECT_EQ(cgroups.content("vm-1/cgroup.kill"), "1");

    EXPECT_EQ(folders.kill_vmm(id("vm-2")).error().code(), ErrorCode::NotFound);
    EXPECT_TRUE(folders.kill_all(id("vm-2")));
}

TEST_F(VmFoldersTest, TheListSaysWhatRunsAndWhatIsLeftOver) {
    ASSERT_TRUE(folders.create(plan_of("vm-b", 7)));
    ASSERT_TRUE(folders.create(plan_of("vm-a", 8)));
    std::filesystem::create_symlink("vm-c", run / "slots" / "9");  // a launch that a power failure cut short
    cgroups.set("vm-b/shim/cgroup.events", "populated 1\nfrozen 0\n");
    cgroups.set("vm-b/vmm/cgroup.events", "populated 0\nfrozen 0\n");

    const auto list = folders.list().value();

    ASSERT_EQ(list.size(), 3U);
    EXPECT_EQ(list[0].vm_id.text(), "vm-a");
    EXPECT_EQ(list[0].flags, 0U);
    EXPECT_EQ(list[1].vm_id.text(), "vm-b");
    EXPECT_EQ(list[1].flags, api::broker::ListEntry::kShimAlive);
    EXPECT_EQ(list[1].vmm_slot, 7U);
    EXPECT_EQ(list[2].vm_id.text(), "vm-c");
    EXPECT_TRUE(folders.remove(id("vm-c")));
}

TEST_F(VmFoldersTest, AShimIsFoundAgainByItsCgroup) {
    ASSERT_TRUE(folders.create(plan_of("vm-1", 7)));
    EXPECT_EQ(folders.shim_pidfd(id("vm-1")).error().code(), ErrorCode::NotFound);

    cgroups.set("vm-1/shim/cgroup.procs", std::to_string(::getpid()) + "\n");

    EXPECT_TRUE(folders.shim_pidfd(id("vm-1")));
}

}  // namespace
}  // namespace alcove::broker

// SPDX-License-Identifier: Apache-2.0
#include "vmm/vcpu_places.hpp"

#include <thread>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/system.hpp"

namespace alcove::vmm {
namespace {

using testing::ElementsAre;

api::CpuMask cpus(std::string_view list) {
    return api::CpuMask::parse_list(list).value();
}

// A file that reads like the kernel's.
Fd file(std::string_view text) {
    auto fd = sys::memfd("file").value();
    EXPECT_TRUE(sys::write_all_at(fd, as_byte_view(text), 0));
    return fd;
}

VcpuPlaces places(std::string_view partition, std::string_view cores = {}) {
    return VcpuPlaces::create(file(""), file(partition), cores).value();
}

// How many CPUs a thread may run on that has entered as the first of two vCPUs.
int cpus_of_a_vcpu(const VcpuPlaces& places, uint32_t vcpus) {
    int count = 0;
    std::thread([&] {
        EXPECT_TRUE(places.enter(0, vcpus));
        cpu_set_t set;
        ::sched_getaffinity(0, sizeof set, &set);
        count = CPU_COUNT(&set);
    }).join();
    return count;
}

TEST(VcpuPlaces, NeighboursAreSiblingsWhereverTheirNumbersAre) {
    const auto adjacent = places("", "0-1/2-3/4-5");
    const auto apart = places("", "0,4/1,5/2,6/3,7");

    EXPECT_THAT(adjacent.in_order(cpus("2-5")), ElementsAre(2, 3, 4, 5));
    EXPECT_THAT(apart.in_order(cpus("1-2,5-6")), ElementsAre(1, 5, 2, 6));
    EXPECT_THAT(apart.in_order(cpus("1-2")), ElementsAre(1, 2));
    EXPECT_THAT(places("").in_order(cpus("1,3")), ElementsAre(1, 3));
}

TEST(VcpuPlaces, OnlyAValidIsolatedPartitionIsTheVmsAlone) {
    for (const char* other : {"member\n", "isolated invalid (Cpu list in cpuset.cpus not exclusive)\n", ""}) {
        auto shared = places(other);
        ASSERT_TRUE(shared.look());
        EXPECT_FALSE(shared.are_exclusive()) << other;
    }
    auto own = places("isolated\n");
    ASSERT_TRUE(own.look());
    EXPECT_TRUE(own.are_exclusive());
}

TEST(VcpuPlaces, AVcpuOfExclusiveCpusHasOneAndOthersRunAnywhere) {
    auto own = places("isolated\n");
    auto shared = places("member\n");
    ASSERT_TRUE(own.look() && shared.look());
    const auto all = static_cast<int>(std::thread::hardware_concurrency());
    if (all < 2) GTEST_SKIP() << "this host has one CPU";

    EXPECT_EQ(cpus_of_a_vcpu(own, 1), 1);
    EXPECT_EQ(cpus_of_a_vcpu(shared, 1), all);
    EXPECT_EQ(cpus_of_a_vcpu(VcpuPlaces(), 1), all);
    EXPECT_EQ(cpus_of_a_vcpu(own, static_cast<uint32_t>(all) + 1), all) << "some are away";
}

TEST(VcpuPlaces, AGroupThatCanNotBeEnteredIsAnError) {
    auto closed = VcpuPlaces::create(sys::open("/dev/null", O_RDONLY).value(), file("member\n"), "").value();

    EXPECT_FALSE(closed.enter(0, 1));
    EXPECT_FALSE(VcpuPlaces::create(Fd(), Fd(), "0,x"));
}

}  // namespace
}  // namespace alcove::vmm

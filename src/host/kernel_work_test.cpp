// SPDX-License-Identifier: Apache-2.0
#include "host/kernel_work.hpp"

#include <gtest/gtest.h>

#include "host/fake_root_test.hpp"

namespace alcove::host {
namespace {

TEST(KernelWork, IsReadFromWhereTheKernelSaysIt) {
    const FakeRoot root;
    root.put("/sys/fs/cgroup/system.slice/cpuset.cpus", "\n");
    root.put("/sys/fs/cgroup/alcove/cpuset.cpus", "0-7\n");
    root.put("/sys/fs/cgroup/alcove/cpuset.cpus.exclusive", "0-7\n");
    root.put("/sys/devices/system/cpu/nohz_full", "2-5\n");
    root.put("/sys/devices/system/cpu/isolated", "2-6\n");
    root.put("/proc/cmdline", "quiet isolcpus=domain,managed_irq,2-5 nohz_full=2-5\n");
    root.put("/proc/irq/24/effective_affinity_list", "0\n");
    root.put("/proc/irq/25/effective_affinity_list", "1,3-4\n");
    root.put("/proc/irq/26/effective_affinity_list", "\n");

    EXPECT_EQ(read_kernel_work(root.path()), (KernelWork{.exclusive_cpusets = Answer::Yes,
                                                         .tickless = "2-5",
                                                         .isolated = "2-6",
                                                         .managed_irqs = "2-5",
                                                         .interrupts_on = "0-1,3-4"}));
}

TEST(KernelWork, AKernelWithoutAnyOfItSaysNothing) {
    const FakeRoot root;
    EXPECT_EQ(read_kernel_work(root.path()), KernelWork{});

    root.put("/sys/devices/system/cpu/nohz_full", "(null)\n");
    root.put("/sys/devices/system/cpu/isolated", "\n");
    EXPECT_EQ(read_kernel_work(root.path()), KernelWork{});
}

TEST(KernelWork, ACpusetWithoutExclusiveCpusIsOfAnOldKernel) {
    const FakeRoot root;
    root.put("/sys/fs/cgroup/alcove/cpuset.cpus", "0-7\n");

    EXPECT_EQ(read_kernel_work(root.path()).exclusive_cpusets, Answer::No);
}

TEST(KernelWork, IsolatedCpusMayStillGetManagedInterrupts) {
    for (const char* line :
         {"isolcpus=2-5", "isolcpus=domain,2-5", "isolcpus=nohz,domain,2-5", "managed_irq,2-5"}) {
        const FakeRoot root;
        root.put("/proc/cmdline", line);
        EXPECT_EQ(read_kernel_work(root.path()).managed_irqs, "") << line;
    }
    const FakeRoot root;
    root.put("/proc/cmdline", "isolcpus=managed_irq,2,4 ro");
    EXPECT_EQ(read_kernel_work(root.path()).managed_irqs, "2,4");
}

TEST(KernelWork, NonsenseIsPassedOver) {
    const FakeRoot root;
    root.put("/proc/irq/1/effective_affinity_list", "x,3,-,5-,9-7,4294967295-4294967295\n");

    EXPECT_EQ(read_kernel_work(root.path()).interrupts_on, "3,5");
}

}  // namespace
}  // namespace alcove::host

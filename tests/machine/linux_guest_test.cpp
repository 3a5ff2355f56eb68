// SPDX-License-Identifier: Apache-2.0
//
// Unmodified Linux kernels, up to an init of two lines. What an enclave's whole life needs besides is tested
// through the daemon.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/bits.hpp"
#include "tests/machine/test_machine.hpp"

namespace alcove::tests {
namespace {

using testing::HasSubstr;

// `init.cpio` has a shell script that prints what it finds and reboots.
GuestRun boot(const std::string& kernel, const std::string& command_line, uint32_t vcpus) {
    auto result = run_guest({.kernel = kernel,
                             .initrd = "init.cpio",
                             .command_line = command_line,
                             .vcpus = vcpus,
                             .memory_bytes = 512_MiB,
                             .deadline = std::chrono::seconds(180)});
    EXPECT_TRUE(result) << result.error().to_string();
    return result ? std::move(result).value() : GuestRun{};
}

TEST(LinuxGuest, DebiansKernelBootsOnOneProcessor) {
    const auto run = boot("debian-kernel", "reboot=k panic=30 pci=off console=ttyS0 quiet", 1);

    EXPECT_THAT(run.console, HasSubstr("init: up, processors 1, clock kvm-clock"));
    EXPECT_THAT(run.console, HasSubstr("init: acpi LNRO0005:00 PNP0501:00 QEMU0001:00"));
    EXPECT_THAT(run.console, HasSubstr("init: serial interrupt yes"));
    // So nothing had to be calibrated against a timer that this machine does not have.
    EXPECT_THAT(run.console, HasSubstr("init: timer lapic-deadline"));
    EXPECT_THAT(run.console, HasSubstr("init: deadline timer yes"));
    ASSERT_TRUE(run.end);
    EXPECT_EQ(run.end->reason, api::StopReason::I8042Reset);
}

TEST(LinuxGuest, DebiansKernelBootsOnFourProcessors) {
    const auto run = boot("debian-kernel", "reboot=k panic=30 pci=off console=ttyS0 quiet", 4);

    EXPECT_THAT(run.console, HasSubstr("init: up, processors 4, clock kvm-clock"));
    ASSERT_TRUE(run.end);
    EXPECT_EQ(run.end->reason, api::StopReason::I8042Reset);
}

TEST(LinuxGuest, AKernelOfTheNitroKindFindsItsDevicesOnTheCommandLine) {
    if (!find_test_file("enclave-kernel"))
        GTEST_SKIP() << "no enclave-kernel: set ALCOVE_TEST_KERNELS to a folder with bzImage-6.12-enclave";
    for (const uint32_t vcpus : {1U, 2U, 4U}) {
        const auto run =
            boot("enclave-kernel",
                 "reboot=k panic=30 pci=off nomodules console=ttyS0 quiet i8042.noaux i8042.nomux "
                 "i8042.nopnp i8042.dumbkbd random.trust_cpu=on",
                 vcpus);

        EXPECT_THAT(run.console,
                    HasSubstr("init: up, processors " + std::to_string(vcpus) + ", clock kvm-clock"));
        EXPECT_THAT(run.console, HasSubstr("init: virtio virtio0"));
        ASSERT_TRUE(run.end) << vcpus;
        EXPECT_EQ(run.end->reason, api::StopReason::I8042Reset) << vcpus;
    }
}

// The kernel as a primary VM has it: PCI by ECAM, MSI-X, virtio-pci, SMBIOS.
TEST(LinuxGuest, DebiansKernelFindsAPrimaryVmsDevices) {
    const std::string disk = testing::TempDir() + "primary-disk";
    std::ofstream(disk).close();
    std::filesystem::resize_file(disk, 64_MiB);
    const auto result = run_guest({.kernel = "debian-kernel",
                                   .initrd = "init.cpio",
                                   .command_line = "reboot=k panic=30 console=ttyS0 quiet primary",
                                   .vcpus = 2,
                                   .memory_bytes = 5_GiB,  // 3 below the gap; Linux takes the rest first
                                   .disk = disk,
                                   .deadline = std::chrono::seconds(180)});

    ASSERT_TRUE(result) << result.error().to_string();
    EXPECT_THAT(result->console, HasSubstr("init: pci 0000:00:00.0 0000:00:03.0 0000:00:04.0"));
    EXPECT_THAT(result->console, HasSubstr("init: ecam yes"));
    EXPECT_THAT(result->console, HasSubstr("init: above 4 GiB 100000000-17fffffff : System RAM"));
    EXPECT_THAT(result->console, HasSubstr("init: board i-0123456789abcdef0"));
    EXPECT_THAT(result->console, HasSubstr("init: virtio virtio0 virtio1"));
    EXPECT_THAT(result->console, HasSubstr("init: message interrupts yes"));
    EXPECT_THAT(result->console, HasSubstr("init: disk 131072 sectors, written and read back"));
    EXPECT_THAT(result->console, HasSubstr("init: random 64"));
    ASSERT_TRUE(result->end);
    EXPECT_EQ(result->end->reason, api::StopReason::I8042Reset);
    std::ifstream written(disk, std::ios::binary);
    std::string start(6, 0);
    written.read(start.data(), 6);
    EXPECT_EQ(start, "alcove");
    std::filesystem::remove(disk);
}

}  // namespace
}  // namespace alcove::tests

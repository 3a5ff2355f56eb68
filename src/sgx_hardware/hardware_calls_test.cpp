// SPDX-License-Identifier: Apache-2.0
//
// What of the real calls can be made without the devices.
#include "sgx_hardware/hardware_calls.hpp"

#include <cerrno>

#include <gtest/gtest.h>

#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::sgx_hardware {
namespace {

Fd file_of(uint64_t bytes) {
    auto file = sys::memfd("epc").value();
    sys::truncate(file, bytes).value();
    return file;
}

TEST(KernelCalls, ASectionIsMappedAndTouched) {
    KernelCalls kernel;
    const auto file = file_of(2_MiB);

    const auto epc = kernel.map(file, 2_MiB);

    ASSERT_TRUE(epc);
    EXPECT_TRUE(kernel.touch(*epc));
    EXPECT_EQ(sys::stat(file)->st_blocks, 2 * 2048) << "every page of it is there";
    sys::write_all_at(file, as_byte_view("x"), 1_MiB).value();
    EXPECT_EQ(epc->bytes()[1_MiB], 'x') << "it is shared";
}

TEST(KernelCalls, PagesThatThereAreNotAreAnErrorAndNotTheEnd) {
    KernelCalls kernel;
    const auto file = file_of(1_MiB);
    const auto epc = kernel.map(file, 2_MiB).value();

    const auto touched = kernel.touch(epc);

    EXPECT_EQ(touched.error().code(), ErrorCode::NoFreeEpc);
    EXPECT_NE(touched.error().to_string().find("1 of 2 MiB"), std::string::npos);
}

TEST(KernelCalls, WhatIsNoSuchDeviceRefuses) {
    KernelCalls kernel;
    EXPECT_EQ(kernel.remove_all(file_of(4_KiB)).error().errno_value(), ENOTTY);
    EXPECT_EQ(kernel.map(Fd(), 4_KiB).error().errno_value(), EBADF);
    const kvm::Vm vm(file_of(4_KiB), 0);
    EXPECT_EQ(kernel.allow_provisioning(vm, Fd()).error().code(), ErrorCode::KvmRefused);
}

}  // namespace
}  // namespace alcove::sgx_hardware

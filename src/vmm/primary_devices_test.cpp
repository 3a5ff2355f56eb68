// SPDX-License-Identifier: Apache-2.0
#include "vmm/primary_devices.hpp"

#include <fcntl.h>

#include <gtest/gtest.h>

#include "support/system.hpp"
#include "virtio/blk_spec.hpp"

namespace alcove::vmm {
namespace {

api::VmId id(const char* text) {
    return api::VmId::parse(text).value();
}

TEST(PrimaryIdentity, IsTheVmsIdAndAUuidOfItsOwn) {
    const auto one = identity_of(id("i-0123456789abcdef0"));
    const auto same = identity_of(id("i-0123456789abcdef0"));
    const auto other = identity_of(id("i-0123456789abcdef1"));

    EXPECT_EQ(one.asset_tag, "i-0123456789abcdef0");
    EXPECT_EQ(one.uuid, same.uuid);
    EXPECT_NE(one.uuid, other.uuid);
    EXPECT_EQ(one.uuid[6] >> 4, 8);
    EXPECT_EQ(one.uuid[8] >> 6, 2);
}

TEST(PrimaryDisks, CanDoWhatTheyWereOpenedFor) {
    const auto loop = EventLoop::create().value();
    const auto file = sys::memfd("disk").value();
    ASSERT_TRUE(sys::truncate(file, 1_MiB));
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    std::vector<Fd> files;
    files.push_back(sys::open(path, O_RDONLY).value());
    files.push_back(sys::open(path, O_RDWR).value());

    const auto devices = PrimaryDevices::create(*loop, std::move(files)).value();

    ASSERT_EQ(devices->disks().size(), 2U);
    EXPECT_NE(devices->disks()[0]->features() & virtio::blk::feature::RO, 0U);
    EXPECT_EQ(devices->disks()[1]->features() & virtio::blk::feature::RO, 0U);
}

TEST(PrimaryDisks, WhatIsNoDiskIsRefusedByItsPlace) {
    const auto loop = EventLoop::create().value();
    std::vector<Fd> files;
    files.push_back(sys::pipe().value().first);

    const auto devices = PrimaryDevices::create(*loop, std::move(files));

    ASSERT_FALSE(devices);
    EXPECT_NE(devices.error().to_string().find("disk0"), std::string::npos);
}

}  // namespace
}  // namespace alcove::vmm

// SPDX-License-Identifier: Apache-2.0
#include "vmm/primary_devices.hpp"

#include <algorithm>

#include <fcntl.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include "support/bits.hpp"
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

TEST(PrimaryEnclaves, RulesSeeWhatThePrimaryWasLaunchedAs) {
    const auto ram = memory::GuestMemory::create_anonymous({memory::GuestAddress(0), 64_MiB}).value();
    api::vmm::Launch launch{};
    launch.vcpu_count = 4;
    launch.threads_per_core = 2;
    launch.page_size = 2_MiB;

    const auto parent = parent_of(launch, *ram);

    EXPECT_TRUE(parent.check());
    EXPECT_EQ(parent.ram, (std::vector{memory::GuestRange{memory::GuestAddress(0), 64_MiB}}));
    EXPECT_EQ(parent.backing_page, 2_MiB);
    EXPECT_EQ(parent.core_of_vcpu, (std::vector<uint32_t>{0, 0, 1, 1}));
}

TEST(PrimaryEnclaves, WithoutADeviceThereIsNothingToRelease) {
    const auto loop = EventLoop::create().value();
    const auto devices = PrimaryDevices::create(*loop, {}).value();
    bool released = false;

    devices->release([&] { released = true; });

    EXPECT_TRUE(released);
}

TEST(PrimaryDisks, CanDoWhatTheyWereOpenedFor) {
    const auto loop = EventLoop::create().value();
    const auto file = sys::memfd("disk").value();
    ASSERT_TRUE(sys::truncate(file, 1_MiB));
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    std::vector<Fd> files;
    files.push_back(sys::open(path, O_RDONLY).value());
    files.push_back(sys::open(path, O_RDWR).value());

    const auto devices =
        PrimaryDevices::create(*loop, {.disks = std::move(files), .networks = {}, .network_links = {}})
            .value();

    ASSERT_EQ(devices->disks().size(), 2U);
    EXPECT_NE(devices->disks()[0]->features() & virtio::blk::feature::RO, 0U);
    EXPECT_EQ(devices->disks()[1]->features() & virtio::blk::feature::RO, 0U);
}

TEST(PrimaryDisks, WhatIsNoDiskIsRefusedByItsPlace) {
    const auto loop = EventLoop::create().value();
    std::vector<Fd> files;
    files.push_back(sys::pipe().value().first);

    const auto devices =
        PrimaryDevices::create(*loop, {.disks = std::move(files), .networks = {}, .network_links = {}});

    ASSERT_FALSE(devices);
    EXPECT_NE(devices.error().to_string().find("disk0"), std::string::npos);
}

TEST(PrimaryEpc, HasABalloonIfItIsToHaveOne) {
    const auto loop = EventLoop::create().value();
    EXPECT_EQ(PrimaryDevices::create(*loop, {}).value()->epc_balloon(), nullptr);

    const auto devices = PrimaryDevices::create(
                             *loop, {.disks = {}, .networks = {}, .network_links = {}, .epc_balloon = 3_MiB})
                             .value();

    ASSERT_NE(devices->epc_balloon(), nullptr);
    EXPECT_EQ(devices->epc_balloon()->target(), 3_MiB);
}

TEST(PrimaryNetworks, HaveTheAddressTheyWereGivenAndGoOnInAnotherLife) {
    const auto loop = EventLoop::create().value();
    auto stream = sys::socket_pair(SOCK_STREAM).value();
    const api::Networks networks = {api::Network{.mac = {2, 1, 2, 3, 4, 5}, .kind = 2, .reserved = 0}};

    for (int life = 0; life < 2; ++life) {
        std::vector<Fd> links;
        links.push_back(sys::duplicate(stream.first.get()).value());
        const auto devices =
            PrimaryDevices::create(*loop,
                                   {.disks = {}, .networks = networks, .network_links = std::move(links)})
                .value();

        ASSERT_EQ(devices->networks().size(), 1U);
        const auto config = devices->networks()[0]->config();
        EXPECT_TRUE(std::equal(networks[0].mac.begin(), networks[0].mac.end(), config.begin()));
        EXPECT_TRUE(devices->networks()[0]->has_link());
        devices->hand_on_links();
        EXPECT_FALSE(devices->networks()[0]->has_link());
    }
}

}  // namespace
}  // namespace alcove::vmm

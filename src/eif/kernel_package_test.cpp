// SPDX-License-Identifier: Apache-2.0
#include "eif/kernel_package.hpp"

#include <gtest/gtest.h>

#include "eif/raw_module.hpp"
#include "eif/test_support.hpp"

namespace alcove::eif {
namespace {

using Need = ModuleWish::Need;

class KernelPackageTest : public testing::Test {
  protected:
    KernelPackageTest() {
        folder_.write("boot/vmlinuz-6.1", "kernel");
        folder_.write("lib/modules/6.1/modules.builtin",
                      "kernel/drivers/virtio/virtio.ko\nkernel/lib/rng-core.ko\n");
        module("net/vsock.ko", raw_module("vsock", ""));
        module("net/vmw_vsock_virtio_transport_common.ko.xz",
               xz_compressed(raw_module("vmw_vsock_virtio_transport_common", "vsock")));
        module("net/vmw_vsock_virtio_transport.ko",
               raw_module("vmw_vsock_virtio_transport", "vmw_vsock_virtio_transport_common,vsock"));
        module("char/virtio-rng.ko", raw_module("virtio_rng", "rng-core,virtio"));
        module("misc/nsm.ko", raw_module("nsm", ""));
        module("virtio/virtio_mmio.ko", raw_module("virtio_mmio", ""));
    }

    void module(const std::string& path, const Bytes& content) {
        folder_.write("lib/modules/6.1/kernel/" + path, as_text(content));
    }
    std::vector<std::string> resolve(const std::vector<ModuleWish>& wishes) {
        std::vector<std::string> names;
        const auto choices = KernelPackage::open(folder_.path()).value().resolve(wishes);
        for (const ModuleChoice& choice : *choices)
            names.push_back((choice.need == Need::Optional ? "-" : "") + choice.module.name + choice.options);
        return names;
    }

    TestFolder folder_;
};

using Names = std::vector<std::string>;

TEST_F(KernelPackageTest, TheOnlyKernelIsFound) {
    const KernelPackage package = KernelPackage::open(folder_.path()).value();
    EXPECT_EQ(package.version(), "6.1");
    EXPECT_EQ(as_text(package.read_kernel().value()), "kernel");
}

TEST_F(KernelPackageTest, ModulesMayLieBelowUsr) {
    folder_.write("boot/vmlinuz-6.2", "other");
    folder_.write("usr/lib/modules/6.2/modules.builtin", "");
    EXPECT_TRUE(KernelPackage::open(folder_.path(), "6.2"));
}

TEST_F(KernelPackageTest, OneOfSeveralKernelsHasToBeNamed) {
    folder_.write("boot/vmlinuz-6.2", "other");
    const auto package = KernelPackage::open(folder_.path());
    ASSERT_FALSE(package);
    EXPECT_EQ(package.error().code(), ErrorCode::ImageBuildInput);
    EXPECT_NE(package.error().message().find("6.1, 6.2"), std::string::npos);
    EXPECT_TRUE(KernelPackage::open(folder_.path(), "6.1"));
}

TEST_F(KernelPackageTest, MissingPartsAreRefused) {
    folder_.write("boot/vmlinuz-6.2", "other");
    EXPECT_EQ(KernelPackage::open(folder_.path(), "6.2").error().code(),
              ErrorCode::ImageBuildInput);  // no modules
    EXPECT_EQ(KernelPackage::open(folder_.path(), "6.3").error().code(),
              ErrorCode::ImageBuildInput);  // no kernel
    EXPECT_EQ(KernelPackage::open(folder_.path() + "/boot").error().code(), ErrorCode::ImageBuildInput);
}

TEST_F(KernelPackageTest, DependenciesComeFirstAndOnce) {
    EXPECT_EQ(resolve({{"vmw_vsock_virtio_transport", "", Need::Required}, {"vsock", "", Need::Required}}),
              (Names{"vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport"}));
}

TEST_F(KernelPackageTest, BuiltInModulesAreLeftOut) {
    EXPECT_EQ(resolve({{"virtio-rng", "", Need::Required}, {"virtio", "", Need::Required}}),
              (Names{"virtio_rng"}));
}

TEST_F(KernelPackageTest, AMissingModuleIsAnErrorUnlessOptional) {
    EXPECT_EQ(resolve({{"ptp_kvm", "", Need::Optional}}), Names{});
    const auto missing =
        KernelPackage::open(folder_.path()).value().resolve({{"ptp_kvm", "", Need::Required}});
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code(), ErrorCode::ImageBuildInput);
}

TEST_F(KernelPackageTest, WhatIsNeededOnceIsRequired) {
    EXPECT_EQ(resolve({{"vsock", "", Need::Optional},
                       {"vmw_vsock_virtio_transport_common", " debug=1", Need::Required}}),
              (Names{"vsock", "vmw_vsock_virtio_transport_common debug=1"}));
}

TEST_F(KernelPackageTest, ADependencyCycleEnds) {
    module("a.ko", raw_module("a", "b"));
    module("b.ko", raw_module("b", "a"));
    EXPECT_EQ(resolve({{"a", "", Need::Required}}), (Names{"b", "a"}));
}

TEST_F(KernelPackageTest, AnEnclaveGetsItsModules) {
    EXPECT_EQ(resolve(enclave_modules()), (Names{"virtio_mmio", "vsock", "vmw_vsock_virtio_transport_common",
                                                 "vmw_vsock_virtio_transport", "nsm", "-virtio_rng"}));
}

TEST_F(KernelPackageTest, ABrokenModuleIsNamed) {
    module("misc/nsm.ko", {1, 2, 3});
    const auto resolved = KernelPackage::open(folder_.path()).value().resolve({{"nsm", "", Need::Required}});
    ASSERT_FALSE(resolved);
    EXPECT_NE(resolved.error().to_string().find("nsm.ko"), std::string::npos);
}

}  // namespace
}  // namespace alcove::eif

// SPDX-License-Identifier: Apache-2.0
#include "eif/kernel_module.hpp"

#include <gtest/gtest.h>

#include "eif/raw_module.hpp"

namespace alcove::eif {
namespace {

TEST(KernelModuleTest, NameAndDependenciesAreRead) {
    const Bytes file = raw_module("virtio_rng", "rng-core,virtio");
    const KernelModule module = KernelModule::parse(file).value();
    EXPECT_EQ(module.name, "virtio_rng");
    EXPECT_EQ(module.depends, (std::vector<std::string>{"rng_core", "virtio"}));
    EXPECT_EQ(module.content, file);
}

TEST(KernelModuleTest, AModuleWithoutDependenciesHasNone) {
    EXPECT_TRUE(KernelModule::parse(raw_module("nsm", "")).value().depends.empty());
}

TEST(KernelModuleTest, ACompressedModuleIsUnpacked) {
    const Bytes file = raw_module("nsm", "");
    const Bytes packed = xz_compressed(file);
    ASSERT_NE(packed, file);
    EXPECT_EQ(KernelModule::parse(packed).value().content, file);
}

TEST(KernelModuleTest, EveryTruncationIsRefused) {
    const Bytes file = raw_module("nsm", "vsock");
    for (size_t length = 0; length < file.size(); ++length)
        EXPECT_EQ(KernelModule::parse(ByteView(file).first(length)).error().code(),
                  ErrorCode::ImageBuildInput)
            << length;
    const Bytes packed = xz_compressed(file);
    for (size_t length = 0; length < packed.size(); length += 3)
        EXPECT_FALSE(KernelModule::parse(ByteView(packed).first(length))) << length;
}

TEST(KernelModuleTest, NoChangedByteBreaksTheReader) {
    const Bytes good = raw_module("nsm", "vsock");
    for (size_t index = 0; index < good.size(); ++index)
        for (const int change : {0x01, 0x80, 0xFF}) {
            Bytes changed = good;
            changed[index] = static_cast<uint8_t>(changed[index] ^ change);
            const auto module = KernelModule::parse(changed);
            EXPECT_TRUE(!module || !module->name.empty());
        }
}

TEST(KernelModuleTest, AModuleWithoutANameIsRefused) {
    EXPECT_FALSE(KernelModule::parse(raw_module(std::string_view("license=GPL\0", 12))));
    EXPECT_FALSE(KernelModule::parse(raw_module("")));
}

}  // namespace
}  // namespace alcove::eif

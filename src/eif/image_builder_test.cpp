// SPDX-License-Identifier: Apache-2.0
#include "eif/image_builder.hpp"

#include <zlib.h>

#include <gtest/gtest.h>

#include "eif/command_line.hpp"
#include "eif/raw_image.hpp"
#include "eif/raw_module.hpp"
#include "eif/test_support.hpp"
#include "eif/verify.hpp"

namespace alcove::eif {
namespace {

Bytes fake_bzimage(std::string_view version) {
    Bytes kernel(0x1000);
    std::memcpy(kernel.data() + 0x202, "HdrS", 4);
    kernel[0x20E] = 0x00;
    kernel[0x20F] = 0x03;  // 0x300 + 0x200
    std::memcpy(kernel.data() + 0x500, version.data(), version.size());
    return kernel;
}

ImagePlan usual_plan() {
    ImagePlan plan;
    plan.kernel = fake_bzimage("6.12.1 test");
    plan.command_line = kModularCommandLine;
    plan.init = text_bytes("init");
    plan.modules.push_back(
        {KernelModule::parse(raw_module("nsm", "")).value(), "", ModuleWish::Need::Required});
    plan.modules.push_back(
        {KernelModule::parse(raw_module("ptp_kvm", "")).value(), "a=1 b=2", ModuleWish::Need::Optional});
    plan.application.add("bin/app", File::regular(0755, text_bytes("the application"))).value();
    plan.application.add("app", File::symlink("bin/app")).value();
    plan.command = {"/app", "--flag", ""};
    plan.environment = {"PATH=/bin", "EMPTY="};
    plan.metadata.image_name = "test";
    return plan;
}

struct Built {
    BuiltImage image;
    Bytes file;
};

Built build(const ImagePlan& plan, const ImageSigner* signer = nullptr) {
    const Fd output = sys::memfd("image").value();
    const BuiltImage image = build_image(plan, signer, output).value();
    return {image, content_of(output)};
}

ErrorCode code_of(const ImagePlan& plan) {
    const Fd output = sys::memfd("image").value();
    const auto built = build_image(plan, nullptr, output);
    return built ? ErrorCode{} : built.error().code();
}

std::string text_in(const FileTree& tree, std::string_view path) {
    return std::string(as_text(std::get<Bytes>(tree.find(path)->content)));
}

TEST(ImageBuilderTest, TheImageIsWellFormedAndMeasured) {
    const Built built = build(usual_plan());
    const Image image = Image::parse(built.file).value();
    EXPECT_EQ(image.version(), 4);
    EXPECT_EQ(image.ramdisks().size(), 2U);
    EXPECT_EQ(image.command_line(), kModularCommandLine);
    EXPECT_EQ(measure(image), built.image.measurements);
    EXPECT_EQ(built.image.size, built.file.size());
    EXPECT_FALSE(built.image.pcr8);
    EXPECT_TRUE(verify_image(image, built.image.measurements, test_time()));
}

TEST(ImageBuilderTest, TheSamePlanGivesTheSameBytes) {
    for (const Compression compression : {Compression::None, Compression::Gzip}) {
        ImagePlan plan = usual_plan();
        plan.compression = compression;
        EXPECT_EQ(build(plan).file, build(plan).file);
    }
}

TEST(ImageBuilderTest, CompressionChangesNothingButTheForm) {
    ImagePlan plan = usual_plan();
    const Built plain = build(plan);
    plan.compression = Compression::Gzip;
    const Built packed = build(plan);

    const Image plain_image = Image::parse(plain.file).value();
    const Image packed_image = Image::parse(packed.file).value();
    for (size_t index = 0; index < 2; ++index) {
        const ByteView expected = plain_image.ramdisks()[index];
        const ByteView ramdisk = packed_image.ramdisks()[index];
        ASSERT_EQ(ramdisk[0], 0x1f);
        Bytes unpacked(expected.size());
        z_stream stream{};
        ASSERT_EQ(::inflateInit2(&stream, 15 + 16), Z_OK);
        stream.next_in = const_cast<Bytef*>(ramdisk.data());
        stream.avail_in = static_cast<uInt>(ramdisk.size());
        stream.next_out = unpacked.data();
        stream.avail_out = static_cast<uInt>(unpacked.size());
        EXPECT_EQ(::inflate(&stream, Z_FINISH), Z_STREAM_END);
        ::inflateEnd(&stream);
        EXPECT_EQ(unpacked, to_bytes(expected));
    }
}

TEST(ImageBuilderTest, ASignedImageHasPcr8AndVerifies) {
    const TestSigner signer = TestSigner::make();
    const ImageSigner view = signer.view();
    const Built built = build(usual_plan(), &view);
    const Image image = Image::parse(built.file).value();
    EXPECT_EQ(built.image.pcr8, pcr_of_certificate(signer.certificate));
    EXPECT_TRUE(verify_image(image, built.image.measurements, test_time()).value().has_value());
}

TEST(ImageBuilderTest, AnOlderVersionHasNoMetadata) {
    ImagePlan plan = usual_plan();
    plan.options.version = 3;
    const Built built = build(plan);
    EXPECT_FALSE(Image::parse(built.file).value().metadata());
}

TEST(ImageBuilderTest, TheBootRamdiskHasInitModulesAndTheirList) {
    const ImagePlan plan = usual_plan();
    const FileTree tree = boot_ramdisk(plan.init, plan.modules).value();
    EXPECT_EQ(tree.find("init")->permissions, 0755);
    EXPECT_EQ(text_in(tree, "modules"), "/lib/modules/nsm.ko\n-/lib/modules/ptp_kvm.ko a=1 b=2\n");
    EXPECT_EQ(text_in(tree, "lib/modules/nsm.ko"), as_text(plan.modules[0].module.content));
    EXPECT_EQ(tree.find("dev")->type, FileType::Directory);
}

TEST(ImageBuilderTest, TheApplicationsRamdiskHasRootfsCommandAndEnvironment) {
    const ImagePlan plan = usual_plan();
    const FileTree tree = application_ramdisk(plan.application, plan.command, plan.environment).value();
    EXPECT_EQ(text_in(tree, "cmd"), "/app\n--flag\n\n");
    EXPECT_EQ(text_in(tree, "env"), "PATH=/bin\nEMPTY=\n");
    EXPECT_EQ(text_in(tree, "rootfs/bin/app"), "the application");
}

TEST(ImageBuilderTest, TheApplicationDoesNotChangePcr1) {
    ImagePlan plan = usual_plan();
    const Measurements before = build(plan).image.measurements;
    plan.command.push_back("more");
    const Measurements after = build(plan).image.measurements;
    EXPECT_EQ(before.pcr1, after.pcr1);
    EXPECT_NE(before.pcr0, after.pcr0);
    EXPECT_NE(before.pcr2, after.pcr2);
}

TEST(ImageBuilderTest, CommandsThatCanNotRunAreRefused) {
    const auto with_command = [](std::vector<std::string> command) {
        ImagePlan plan = usual_plan();
        plan.application.add("data", File::regular(0644, text_bytes("x"))).value();
        plan.command = std::move(command);
        return code_of(plan);
    };
    EXPECT_EQ(with_command({}), ErrorCode::ImageBuildInput);
    EXPECT_EQ(with_command({""}), ErrorCode::ImageBuildInput);
    EXPECT_EQ(with_command({"/missing"}), ErrorCode::ImageBuildInput);
    EXPECT_EQ(with_command({"/data"}), ErrorCode::ImageBuildInput);  // not executable
    EXPECT_EQ(with_command({"/bin"}), ErrorCode::ImageBuildInput);   // a directory
    EXPECT_EQ(with_command({"/app", "two\nlines"}), ErrorCode::ImageBuildInput);
    EXPECT_EQ(with_command({"/app", std::string("a\0b", 3)}), ErrorCode::ImageBuildInput);
    EXPECT_EQ(with_command({"/app", std::string(1 << 20, 'x')}), ErrorCode::ImageBuildInput);
    EXPECT_EQ(with_command({"bare-name"}), ErrorCode{});
}

TEST(ImageBuilderTest, EnvironmentsWithoutNamesAreRefused) {
    for (const std::string variable : {"", "NAME", "=value", "A=\n"}) {
        ImagePlan plan = usual_plan();
        plan.environment = {variable};
        EXPECT_EQ(code_of(plan), ErrorCode::ImageBuildInput) << variable;
    }
}

TEST(ImageBuilderTest, WhatIsNoKernelIsRefused) {
    for (const Bytes& kernel : {Bytes{}, Bytes(0x1000), text_bytes("MZ"),
                                text_bytes("\x7f"
                                           "ELF")}) {
        ImagePlan plan = usual_plan();
        plan.kernel = kernel;
        EXPECT_EQ(code_of(plan), ErrorCode::KernelInvalid);
    }
}

TEST(ImageBuilderTest, OddCommandLinesAreRefused) {
    ImagePlan plan = usual_plan();
    plan.command_line = "quiet\n";
    EXPECT_EQ(code_of(plan), ErrorCode::CommandLineInvalid);
}

TEST(ImageBuilderTest, ModulesNeedACommandLineThatAllowsThem) {
    ImagePlan plan = usual_plan();
    plan.command_line = kReferenceCommandLine;
    EXPECT_EQ(code_of(plan), ErrorCode::CommandLineInvalid);
    plan.modules.clear();
    EXPECT_EQ(code_of(plan), ErrorCode{});
}

TEST(ImageBuilderTest, AnImageWithoutInitIsRefused) {
    ImagePlan plan = usual_plan();
    plan.init.clear();
    EXPECT_EQ(code_of(plan), ErrorCode::ImageBuildInput);
}

TEST(ImageBuilderTest, TheMetadataNamesTheKernelAndNothingOfThisMachine) {
    const Built built = build(usual_plan());
    const Metadata metadata = Metadata::parse(Image::parse(built.file).value().metadata().value()).value();
    EXPECT_EQ(metadata.image_name, "test");
    EXPECT_EQ(metadata.build.kernel_version, "6.12.1");
    EXPECT_EQ(metadata.build.build_tool, "alcove");
    EXPECT_EQ(metadata.build.build_time, "1970-01-01T00:00:00Z");
}

TEST(KernelVersionTest, IsReadFromABzImage) {
    EXPECT_EQ(kernel_version(fake_bzimage("6.12.1 test")).value(), "6.12.1 test");
    Bytes pointing_out = fake_bzimage("x");
    pointing_out[0x20F] = 0xFF;
    EXPECT_EQ(kernel_version(pointing_out).value(), "");
}

}  // namespace
}  // namespace alcove::eif

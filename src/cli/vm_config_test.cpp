// SPDX-License-Identifier: Apache-2.0
#include "cli/vm_config.hpp"

#include <gtest/gtest.h>

namespace alcove::cli {
namespace {

TEST(VmConfig, EveryKeyIsRead) {
    const auto vm = apply_configuration({}, R"(
        name = "dev"
        kernel = "bzImage"
        kernel_root = "/kernels"
        ramdisk = "initrd.img"
        disk = ["root.img", "/data.img,readonly"]
        net = ["user", "tap=tap0"]
        cpus = 4
        memory = "2G"
        pages = "2m"
        policy = "dedicated"
        enclave_policy = "shared"
        cmdline = "root=/dev/vda1"
    )",
                                        "/vms")
                        .value();

    EXPECT_EQ(vm.name, "dev");
    EXPECT_EQ(vm.kernel, "/vms/bzImage");
    EXPECT_EQ(vm.kernel_root, "/kernels");
    EXPECT_EQ(vm.ramdisks, std::vector<std::string>{"/vms/initrd.img"});
    EXPECT_EQ(vm.disks, (std::vector<std::string>{"/vms/root.img", "/data.img,readonly"}));
    EXPECT_EQ(vm.networks, (std::vector<std::string>{"user", "tap=tap0"}));
    EXPECT_EQ(vm.vcpus, 4U);
    EXPECT_EQ(vm.memory_mib, 2048U);
    EXPECT_EQ(vm.pages, "2m");
    EXPECT_EQ(vm.policy, "dedicated");
    EXPECT_EQ(vm.enclave_policy, "shared");
    EXPECT_EQ(vm.command_line, "root=/dev/vda1");
}

TEST(VmConfig, EnclavesStartWithTheVm) {
    const auto vm = apply_configuration({}, R"(
        cpus = 4
        [[enclave]]
        image = "web.eif"
        name = "web"
        memory = "256M"
        cid = 20
        [[enclave]]
        image = "/key.eif"
        cpus = 1
        policy = "shared"
        debug = true
    )",
                                        "/vms")
                        .value();

    ASSERT_EQ(vm.provisioned.size(), 2U);
    EXPECT_EQ(vm.provisioned[0].image, "/vms/web.eif");
    EXPECT_EQ(vm.provisioned[0].vcpus, 2U);
    EXPECT_EQ(vm.provisioned[0].memory_mib, 256U);
    EXPECT_EQ(vm.provisioned[0].cid, 20U);
    EXPECT_FALSE(vm.provisioned[0].debug);
    EXPECT_EQ(vm.provisioned[1].image, "/key.eif");
    EXPECT_EQ(vm.provisioned[1].vcpus, 1U);
    EXPECT_EQ(vm.provisioned[1].policy, "shared");
    EXPECT_TRUE(vm.provisioned[1].debug);
    for (const char* wrong : {"enclave = \"web.eif\"", "[enclave]\nimage = \"a\"",
                              "[[enclave]]\nname = \"a\"", "[[enclave]]\nimage = \"a\"\nkernel = \"b\""})
        EXPECT_EQ(apply_configuration({}, wrong, "").error().code(), ErrorCode::InvalidArgument) << wrong;
}

Result<VmStart> parse(std::string_view text) {
    return apply_configuration({}, text, "");
}

TEST(VmConfig, SgxIsRead) {
    const auto vm = parse(R"(
        cpus = 1
        [sgx]
        launch_control = { hash = "0100000000000000020000000000000003000000000000000400000000000000", writable = false }
        provision_key = true
        sgx2 = false
        backend = "software"
        population = "oversubscribe"
        budget_mib = 4
        key_root = "host"
        on_migrate = "drop"
        [[sgx.epc]]
        size = 8
        [[sgx.epc]]
        size = "2M"
        base = 0x2_0000_0000
        node = 1
    )")
                        .value();

    ASSERT_TRUE(vm.sgx);
    sgx::Configuration expected;
    expected.epc = {{.size_mib = 8}, {.size_mib = 2, .base = memory::GuestAddress(0x2'0000'0000), .node = 1}};
    expected.launch_hash = {1, 2, 3, 4};
    expected.launch_hash_writable = false;
    expected.provision_key = true;
    expected.sgx2 = false;
    expected.backend = sgx::Backend::Software;
    expected.population = sgx::Population::Oversubscribe;
    expected.budget_mib = 4;
    expected.key_root = sgx::KeyRoot::Host;
    EXPECT_EQ(*vm.sgx, expected);
    EXPECT_EQ(
        parse("[sgx]\npopulation = \"balloon\"\nballoon_mib = 2\n[[sgx.epc]]\nsize = 8")->sgx->balloon_mib,
        2U);
    EXPECT_FALSE(parse("cpus = 1").value().sgx);
}

TEST(VmConfig, WhatIsWrongWithSgxIsSaid) {
    for (const char* text :
         {"sgx = 1", "[sgx]\nepcs = 1", "[sgx]\nepc = 8", "[[sgx.epc]]\nbase = 1", "[[sgx.epc]]\nsize = 0",
          "[[sgx.epc]]\nsize = 1\nnode = -1", "[[sgx.epc]]\nsize = 1\nsection = 2",
          "[sgx]\nkey_root = \"mine\"", "[sgx]\nlaunch_control = { hash = \"12\" }",
          "[sgx]\nlaunch_control = { key = \"12\" }", "[sgx]\nsgx1 = 1"})
        EXPECT_FALSE(parse(text)) << text;
    EXPECT_NE(parse("[[sgx.epc]]\nbase = 1").error().to_string().find("'size' is needed"), std::string::npos);
}

TEST(VmConfig, WhatTheCommandSaysIsKept) {
    VmStart command;
    command.name = "mine";
    command.kernel = "debian";
    command.disks = {"here.img"};
    command.vcpus = 1;
    command.command_line = "";

    const auto vm = apply_configuration(command, R"(
        name = "dev"
        kernel = "bzImage"
        disk = "root.img"
        cpus = 4
        memory = 512
        cmdline = "quiet"
    )",
                                        "")
                        .value();

    EXPECT_EQ(vm.name, "mine");
    EXPECT_EQ(vm.kernel, "debian");
    EXPECT_EQ(vm.disks, std::vector<std::string>{"here.img"});
    EXPECT_EQ(vm.vcpus, 1U);
    EXPECT_EQ(vm.memory_mib, 512U);
    EXPECT_EQ(vm.command_line, "");
}

TEST(VmConfig, TheDebianKernelIsNoFile) {
    EXPECT_EQ(apply_configuration({}, "kernel = \"debian\"", "/vms")->kernel, "debian");
}

TEST(VmConfig, MistakesAreNamed) {
    const std::pair<const char*, const char*> mistakes[] = {
        {"memroy = 5", "memroy"},
        {"cpus = \"two\"", "'cpus'"},
        {"cpus = 0", "'cpus'"},
        {"disk = [1]", "'disk'"},
        {"memory = \"5X\"", "5X"},
        {"name = [\"a\", \"b\"]", "'name'"},
        {"cpus = 1\nname = ", "line 2"},
        {"cpus = 99999999999", "'cpus'"},
        {"[=]", "line 1"},
        {"cpus = 1 \u00e9", "line 1"},
    };
    for (const auto& [text, word] : mistakes) {
        const auto vm = apply_configuration({}, text, "");

        ASSERT_FALSE(vm) << text;
        EXPECT_EQ(vm.error().code(), ErrorCode::InvalidArgument) << text;
        EXPECT_NE(vm.error().to_string().find(word), std::string::npos) << vm.error().to_string();
    }
}

}  // namespace
}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
//
// The commands for primary VMs against the real daemon, behind which a broker and shims play along.
#include <algorithm>
#include <csignal>

#include <pthread.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "cli/commands.hpp"
#include "cli/daemon_commands_test.hpp"
#include "eif/image.hpp"

namespace alcove::cli {
namespace {

class VmCommands : public DaemonCommandsTest {
  protected:
    void SetUp() override {
        DaemonCommandsTest::SetUp();
        for (const char* name : {"kernel", "ramdisk", "disk.img", "data.img"})
            sys::replace_file(path(name), as_byte_view(std::string("the ") + name), 0600).value();
    }
    Captured start(std::vector<std::string> more = {}) {
        std::vector<std::string> arguments = {"vm",     "start", "dev",      "--kernel", path("kernel"),
                                              "--cpus", "1",     "--memory", "2",        "--json"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return alcove(arguments);
    }
};

TEST_F(VmCommands, StartHandsOverKernelRamdiskAndDisks) {
    const auto started = start({"--ramdisk", path("ramdisk"), "--cmdline", "console=ttyS0 quiet", "--disk",
                                path("disk.img"), "--disk", path("data.img") + ",readonly"});

    ASSERT_EQ(started.exit, 0) << started.err;
    const auto vm = started.json();
    EXPECT_EQ(vm["name"], "dev");
    EXPECT_EQ(vm["state"], "running");
    EXPECT_EQ(vm["restarts"], 0);
    EXPECT_EQ(vm["disks"][0]["read_only"], false);
    EXPECT_EQ(vm["disks"][1]["read_only"], true);
    EXPECT_EQ(host_.disk_count(vm["id"]), 2U);
    const std::string content = host_.image_content(vm["id"]);
    const auto image = eif::Image::parse(as_byte_view(content));
    ASSERT_TRUE(image) << image.error().to_string();
    EXPECT_EQ(as_text(image->kernel()), "the kernel");
    EXPECT_EQ(image->command_line(), "console=ttyS0 quiet");
    ASSERT_EQ(image->ramdisks().size(), 1U);
    EXPECT_EQ(as_text(image->ramdisks()[0]), "the ramdisk");
}

TEST_F(VmCommands, EnclavesOfTheConfigurationStartWithTheVm) {
    sys::replace_file(path("web.eif"), as_byte_view("an image"), 0600).value();
    sys::replace_file(
        path("vm.toml"),
        as_byte_view("kernel = \"kernel\"\ncpus = 1\nmemory = 6\n[[enclave]]\nimage = \"web.eif\"\n"
                     "name = \"web\"\nmemory = 4\npolicy = \"shared\"\n"),
        0600)
        .value();

    const auto started = alcove({"vm", "start", "dev", "--config", path("vm.toml"), "--json"});

    ASSERT_EQ(started.exit, 0) << started.err;
    EXPECT_EQ(started.json()["memory_mib"], 2);
    EXPECT_EQ(started.json()["provisioned"][0]["name"], "web");
    const auto enclave = alcove({"enclave", "list", "--json"}).json()["enclaves"][0];
    EXPECT_EQ(enclave["name"], "web");
    EXPECT_EQ(enclave["parent"], started.json()["id"]);
    EXPECT_EQ(enclave["ready"], true);
    EXPECT_EQ(host_.image_content(enclave["id"]), "an image");
    EXPECT_EQ(alcove({"vm", "inspect", "dev", "enclaves.0.name"}).out, "web\n");
}

TEST_F(VmCommands, AnEnclaveOfTheConfigurationThatFailsIsTold) {
    sys::replace_file(path("web.eif"), as_byte_view("an image"), 0600).value();
    sys::replace_file(path("vm.toml"),
                      as_byte_view("kernel = \"kernel\"\ncpus = 1\nmemory = 6\n[[enclave]]\n"
                                   "image = \"web.eif\"\nmemory = 4\npolicy = \"shared\"\n"),
                      0600)
        .value();
    host_.set_script(daemon::FakeHost::Script::FailEnclaves);

    const auto started = alcove({"vm", "start", "dev", "--config", path("vm.toml"), "--json"});

    EXPECT_EQ(started.exit, 4);
    EXPECT_EQ(started.json()["state"], "running");
    EXPECT_EQ(started.json()["provisioned"][0]["error"]["code"], "E32");
    EXPECT_NE(started.err.find("-enc"), std::string::npos) << started.err;
}

TEST_F(VmCommands, ThePolicyOfEnclavesIsShownAndSet) {
    ASSERT_EQ(start({"--enclave-policy", "shared"}).exit, 0);

    EXPECT_EQ(alcove({"vm", "policy", "dev"}).out, "shared\n");
    EXPECT_EQ(alcove({"vm", "policy", "dev", "dedicated", "--json"}).json()["enclave_policy"], "dedicated");
    EXPECT_EQ(alcove({"vm", "policy", "dev"}).out, "dedicated\n");
    EXPECT_NE(alcove({"vm", "policy", "nobody"}).exit, 0);
}

TEST(PolicyAnswer, IsAPolicyOrAnError) {
    EXPECT_EQ(read_policy_answer("ok shared").value(), "shared");
    const auto refused = read_policy_answer("error unsupported no core scheduling");
    EXPECT_EQ(refused.error().code(), ErrorCode::Unsupported);
    EXPECT_EQ(refused.error().message(), "no core scheduling");
    EXPECT_FALSE(read_policy_answer("what?"));
    EXPECT_FALSE(read_policy_answer("error"));
}

TEST_F(VmCommands, AConfigurationSaysWhatTheCommandDoesNot) {
    sys::replace_file(path("vm.toml"), as_byte_view("kernel = \"kernel\"\ncpus = 1\nmemory = 2\n"), 0600)
        .value();

    const auto started = alcove({"vm", "start", "--config", path("vm.toml"), "--json"});

    ASSERT_EQ(started.exit, 0) << started.err;
    EXPECT_EQ(started.json()["memory_mib"], 2);
    EXPECT_EQ(started.json()["name"], nullptr);
}

TEST_F(VmCommands, EpcIsGivenShownAndLost) {
    const auto started = start({"--epc", "4M", "--epc", "2"});

    ASSERT_EQ(started.exit, 0) << started.err;
    const std::string id = started.json()["id"];
    EXPECT_EQ(started.json()["sgx"]["epc"].size(), 2U);
    const auto list = alcove({"sgx", "list", "--json"}).json()["vms"];
    ASSERT_EQ(list.size(), 1U);
    EXPECT_EQ(list[0]["id"], id);
    EXPECT_EQ(list[0]["state"]["valid_pages"], 7);
    EXPECT_NE(alcove({"sgx", "list", "dev"}).out.find("4 MiB at 0x100000000"), std::string::npos);
    EXPECT_NE(alcove({"vm", "list"}).out.find("6 MiB  static      4 MiB     0 bytes  0         0"),
              std::string::npos)
        << alcove({"vm", "list"}).out;
    EXPECT_EQ(alcove({"vm", "list", "--json"}).json()["vms"][0]["sgx_state"], list[0]["state"]);
    EXPECT_EQ(alcove({"vm", "inspect", "dev", "sgx.state.valid_pages"}).out, "7\n");
    EXPECT_NE(alcove({"sgx", "info"}).out.find("6 MiB"), std::string::npos);
    EXPECT_EQ(alcove({"host", "inspect", "sgx.software.lent_bytes"}).out, "6291456\n");

    EXPECT_EQ(alcove({"sgx", "drop", "dev", "--json"}).json()["state"]["valid_pages"], 0);
}

TEST_F(VmCommands, TheBudgetOfEpcIsSetAndShown) {
    sys::replace_file(
        path("sgx.toml"),
        as_byte_view("[sgx]\npopulation = \"oversubscribe\"\nbudget_mib = 2\n[[sgx.epc]]\nsize = 8\n"), 0600)
        .value();
    const auto started = start({"--config", path("sgx.toml")});
    ASSERT_EQ(started.exit, 0) << started.err;
    EXPECT_NE(alcove({"sgx", "list"}).out.find("budget      2 MiB"), std::string::npos);

    EXPECT_EQ(alcove({"sgx", "set", "dev", "--budget", "4M"}).out, "dev  4 MiB of 8 MiB of EPC in memory\n");
    EXPECT_EQ(alcove({"sgx", "set", "dev", "--budget", "3", "--json"}).json()["configuration"]["budget_mib"],
              3);

    EXPECT_EQ(alcove({"sgx", "list", "--json"}).json()["vms"][0]["configuration"]["budget_mib"], 3);
    EXPECT_EQ(alcove({"sgx", "set", "dev"}).exit, 2);
    const auto refused = alcove({"sgx", "set", "dev", "--budget", "9"});
    EXPECT_NE(refused.exit, 0);
    EXPECT_NE(refused.err.find("which is 8 MiB"), std::string::npos) << refused.err;
}

TEST_F(VmCommands, TheBalloonOfEpcIsSetAndShown) {
    const auto started = start({"--epc", "8M", "--epc-balloon"});
    ASSERT_EQ(started.exit, 0) << started.err;
    EXPECT_NE(alcove({"sgx", "list"}).out.find("population  balloon"), std::string::npos);

    EXPECT_EQ(alcove({"sgx", "set", "dev", "--balloon", "4M"}).out,
              "dev  4 MiB of 8 MiB of EPC asked for, 0 bytes held by now\n");
    EXPECT_EQ(
        alcove({"sgx", "set", "dev", "--balloon", "0", "--json"}).json()["configuration"]["balloon_mib"], 0);

    EXPECT_EQ(alcove({"sgx", "set", "dev", "--balloon", "2", "--budget", "2"}).exit, 2);
    const auto refused = alcove({"sgx", "set", "dev", "--balloon", "8"});
    EXPECT_NE(refused.exit, 0);
    EXPECT_NE(refused.err.find("that is 8 MiB"), std::string::npos) << refused.err;
}

TEST_F(VmCommands, AVmWithoutSgxHasNoneToShowOrLose) {
    ASSERT_EQ(start().exit, 0);

    EXPECT_EQ(alcove({"sgx", "list"}).out, "no VM with SGX runs\n");
    EXPECT_EQ(alcove({"sgx", "list", "dev"}).exit, 2);
    EXPECT_EQ(alcove({"sgx", "drop", "dev"}).exit, 2);
    EXPECT_EQ(alcove({"sgx", "drop", "nobody"}).exit, 1);
}

TEST_F(VmCommands, AnSgxThatCanNotBeHadIsRefusedBeforeAnythingIsDone) {
    const auto configure = [&](const std::string& text) {
        sys::replace_file(path("sgx.toml"), as_byte_view(text), 0600).value();
        return start({"--config", path("sgx.toml")});
    };

    const auto hardware =
        configure("[sgx]\nbackend = \"hardware\"\nkey_root = \"host\"\n[[sgx.epc]]\nsize = 4\n");
    EXPECT_NE(hardware.exit, 0);
    EXPECT_NE(hardware.out.find("sgx.backend is"), std::string::npos) << hardware.out;
    EXPECT_NE(configure("[sgx]\nkey_root = \"vm\"\n").out.find("[[sgx.epc]]"), std::string::npos);
    const auto locked = configure("[sgx]\nlaunch_control = { writable = false }\n[[sgx.epc]]\nsize = 4\n");
    EXPECT_EQ(locked.exit, 0) << locked.err;
    EXPECT_NE(locked.err.find("driver"), std::string::npos) << "it is said that Linux's will not load";
}

TEST_F(VmCommands, VmsAndEnclavesAreListedApart) {
    ASSERT_EQ(start().exit, 0);

    EXPECT_EQ(alcove({"vm", "list", "--json"}).json()["vms"][0]["name"], "dev");
    EXPECT_EQ(alcove({"enclave", "list", "--json"}).json()["enclaves"].size(), 0U);
    EXPECT_NE(alcove({"vm", "list"}).out.find("RESTARTS"), std::string::npos);
    EXPECT_EQ(alcove({"vm", "inspect", "dev", "vm.cid"}).out, "3\n");
    EXPECT_EQ(alcove({"enclave", "inspect", "dev"}).exit, 1);
}

TEST_F(VmCommands, TheMapIsDrawnAnewWhenItChangesUntilInterrupted) {
    std::vector<Json> maps;
    const Streams streams{.out =
                              [&](std::string_view text) {
                                  maps.push_back(codec::json::parse(text).value());
                                  if (maps.size() == 1)
                                      EXPECT_EQ(start().exit, 0);
                                  else
                                      ::pthread_kill(::pthread_self(), SIGINT);
                              },
                          .err = [](std::string_view) {}};
    ::setenv("ALCOVE_SOCKET", (run_ + "/alcoved.sock").c_str(), 1);

    const int exit = run_program({"host", "map", "--watch", "--json"}, streams);

    EXPECT_EQ(exit, 0);
    ASSERT_EQ(maps.size(), 2U);
    const auto of_the_vm = [](const Json& map) {
        return std::ranges::count(map["cores"], "dev", [](const Json& core) { return core["name"]; });
    };
    EXPECT_EQ(of_the_vm(maps[0]), 0);
    EXPECT_EQ(of_the_vm(maps[1]), 1);
}

TEST_F(VmCommands, TheConsoleIsReadAfterTheEnd) {
    const std::string id = start().json()["id"];
    host_.write_console(id, "login: ");
    host_.end(id, api::StopReason::PowerOff);

    const auto console = alcove({"vm", "console", "dev"});

    EXPECT_EQ(console.exit, 0) << console.err;
    EXPECT_EQ(console.out, "login: ");
}

TEST_F(VmCommands, StopAndRemoveWaitForTheEnd) {
    ASSERT_EQ(start({"--disk", path("disk.img")}).exit, 0);

    const auto stopped = alcove({"vm", "stop", "dev", "--json"});

    ASSERT_EQ(stopped.exit, 0) << stopped.err;
    EXPECT_EQ(stopped.json()["vms"][0]["reason"], "host_request");
    EXPECT_EQ(alcove({"vm", "remove", "dev"}).exit, 0);
    EXPECT_EQ(alcove({"vm", "list"}).out, "no VMs\n");
}

// A passt that tells what it was started with, and keeps the stream.
TEST_F(VmCommands, AUserModeNetworkIsPasstOnTheOtherEndOfAStream) {
    const std::string script =
        "#!/bin/sh\necho \"$@\" > " + path("passt.arguments") + "\nprintf 'a frame' >&3\n";
    sys::replace_file(path("passt"), as_byte_view(script), 0700).value();
    const std::string old_path = ::getenv("PATH");
    ::setenv("PATH", (path("") + ":" + old_path).c_str(), 1);

    const auto started = start({"--net", "user,mac=02:00:00:00:00:01"});
    ::setenv("PATH", old_path.c_str(), 1);

    ASSERT_EQ(started.exit, 0) << started.err;
    const auto vm = started.json();
    EXPECT_EQ(vm["networks"][0]["kind"], "stream");
    EXPECT_EQ(vm["networks"][0]["mac"], "02:00:00:00:00:01");
    EXPECT_EQ(host_.disk_count(vm["id"]), 1U) << "one descriptor beside the image";
    const auto arguments = sys::read_file(path("passt.arguments"), 4096).value();
    EXPECT_NE(as_text(arguments).find("--fd 3 "), std::string::npos);
    EXPECT_NE(as_text(arguments).find("--no-map-gw"), std::string::npos);
}

TEST_F(VmCommands, AUserModeNetworkThatDoesNotComeUpStartsNothing) {
    const std::string script = "#!/bin/sh\necho 'External interface not usable' >&2\nexit 1\n";
    sys::replace_file(path("passt"), as_byte_view(script), 0700).value();
    const std::string old_path = ::getenv("PATH");
    ::setenv("PATH", (path("") + ":" + old_path).c_str(), 1);

    const auto started = start({"--net", "user"});
    ::setenv("PATH", old_path.c_str(), 1);

    EXPECT_EQ(started.exit, 1);
    EXPECT_NE(started.out.find("External interface not usable"), std::string::npos) << started.out;
    EXPECT_TRUE(host_.launches().empty());
}

TEST_F(VmCommands, ATapThatIsNotThereStartsNothing) {
    EXPECT_NE(start({"--net", "tap=alcove-none"}).exit, 0);
    EXPECT_NE(start({"--net", "bridge=br0"}).exit, 0);
    EXPECT_TRUE(host_.launches().empty());
}

TEST_F(VmCommands, ADiskThatIsNotThereStartsNothing) {
    const auto started = start({"--disk", path("nothing.img")});

    EXPECT_NE(started.exit, 0);
    EXPECT_TRUE(host_.launches().empty());
}

}  // namespace
}  // namespace alcove::cli

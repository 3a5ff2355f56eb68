// SPDX-License-Identifier: Apache-2.0
//
// What the embedded host says and does where QEMU can not help it: missing pieces, a folder that is not
// safe, processes that are gone or are somebody else. Booting it is for the machine tests.
#include "embedded/embedded_host.hpp"

#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "embedded/qemu_command.hpp"
#include "support/system.hpp"

namespace alcove::embedded {
namespace {

using testing::Contains;
using testing::HasSubstr;

class Host : public testing::Test {
  protected:
    void SetUp() override {
        char name[] = "/tmp/alcove-host-test-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        base_ = name;
        config_.folder = base_ + "/state";
        config_.kernel = write("kernel", "k");
        config_.initrd = write("initrd", "i");
        config_.qemu =
            script("qemu", "echo 'qemu: warning: never mind' >&2; echo 'qemu: bad disk' >&2; exit 1");
        config_.bridge_program = script("bridge", "exit 0");
    }
    void TearDown() override { std::system(("rm -rf " + base_).c_str()); }

    std::string write(const std::string& name, const std::string& content, mode_t mode = 0600) {
        const std::string path = base_ + "/" + name;
        EXPECT_TRUE(sys::replace_file(path, as_byte_view(content), mode).has_value());
        return path;
    }
    std::string script(const std::string& name, const std::string& body) {
        return write(name, "#!/bin/sh\n" + body + "\n", 0700);
    }
    EmbeddedHost host() {
        auto opened = EmbeddedHost::open(config_);
        EXPECT_TRUE(opened.has_value()) << opened.error().to_string();
        return std::move(opened).value();
    }
    // As if a host had been started whose QEMU is this process.
    void record_running(const ProcessId& process) {
        write("state/running.json", "{\"qemu\": {\"pid\": " + std::to_string(process.pid) +
                                        ", \"start_time\": " + std::to_string(process.start_time) +
                                        ", \"boot_id\": \"" + process.boot_id + "\"}, \"memory_mib\": 2048}");
    }

    std::string base_;
    HostConfig config_;
};

TEST_F(Host, TheFolderIsMadeForItsOwnerOnly) {
    const auto made = host();
    struct stat info {};
    ASSERT_EQ(::stat(made.folder().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(Host, AFolderThatOthersMayEnterIsRefusedWithTheRemedy) {
    ASSERT_EQ(::mkdir(config_.folder.c_str(), 0755), 0);
    ASSERT_EQ(::chmod(config_.folder.c_str(), 0755), 0);
    const auto opened = EmbeddedHost::open(config_);
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code(), ErrorCode::PermissionDenied);
    EXPECT_THAT(opened.error().message(), HasSubstr("chmod 700"));
}

TEST_F(Host, AFolderWithTooLongAPathForSocketsIsRefusedWithTheLimit) {
    config_.folder = base_ + "/" + std::string(90, 'x');
    const auto opened = EmbeddedHost::open(config_);
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code(), ErrorCode::PathTooLong);
    EXPECT_THAT(opened.error().message(), HasSubstr("107"));
    EXPECT_THAT(opened.error().message(), HasSubstr("XDG_STATE_HOME"));
}

TEST_F(Host, TheDefaultFolderFollowsTheEnvironment) {
    ::setenv("XDG_STATE_HOME", "/somewhere/state", 1);
    EXPECT_EQ(*StateFolder::default_path(), "/somewhere/state/alcove/host");
    ::unsetenv("XDG_STATE_HOME");
    ::setenv("HOME", "/home/someone", 1);
    EXPECT_EQ(*StateFolder::default_path(), "/home/someone/.local/state/alcove/host");
}

TEST_F(Host, MissingPiecesAreNamedWithTheirRemedies) {
    const auto error_of = [&](HostConfig config) {
        config_ = std::move(config);
        const auto started = host().start();
        EXPECT_FALSE(started.has_value());
        return started.error();
    };
    const HostConfig good = config_;
    HostConfig config = good;
    config.qemu = "no-such-qemu";
    EXPECT_THAT(error_of(config).message(), HasSubstr("qemu-system-x86"));
    config = good;
    config.kernel = base_ + "/nothing";
    EXPECT_EQ(error_of(config).code(), ErrorCode::MissingDependency);
    config = good;
    config.bridge_program = base_ + "/nothing";
    EXPECT_THAT(error_of(config).message(), HasSubstr("alcove-bridge"));
    config = good;
    config.memory_mib = 100;
    EXPECT_EQ(error_of(config).code(), ErrorCode::InvalidArgument);
    config = good;
    config.memory_mib = uint64_t{1} << 40;
    EXPECT_EQ(error_of(config).code(), ErrorCode::NoFreeMemory);
}

TEST_F(Host, QemusOwnWordsAreToldWithoutItsWarnings) {
    const auto started = host().start();
    ASSERT_FALSE(started.has_value());
    EXPECT_EQ(started.error().code(), ErrorCode::EmbeddedHostFailed);
    EXPECT_THAT(started.error().message(), HasSubstr("bad disk"));
    EXPECT_THAT(started.error().message(), testing::Not(HasSubstr("never mind")));
    EXPECT_FALSE(host().status()->crashed) << "a start that failed leaves no trace";
}

TEST_F(Host, TheStateDiskIsSparseAndPrivate) {
    config_.state_disk_mib = 4096;
    static_cast<void>(host().start().has_value());
    struct stat info {};
    ASSERT_EQ(::stat((config_.folder + "/state.img").c_str(), &info), 0);
    EXPECT_EQ(info.st_size, off_t{4096} * 1024 * 1024);
    EXPECT_LT(info.st_blocks, 100);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(Host, NothingRunsInAFreshFolder) {
    auto fresh = host();
    EXPECT_FALSE(fresh.status()->running);
    EXPECT_FALSE(fresh.status()->crashed);
    EXPECT_TRUE(fresh.stop().has_value());
    EXPECT_EQ(fresh.open_stream("status").error().code(), ErrorCode::EmbeddedHostNotRunning);
    EXPECT_EQ(fresh.detach_image("x").error().code(), ErrorCode::EmbeddedHostNotRunning);
}

TEST_F(Host, AProcessThatIsGoneShowsAsACrashAndStopClearsIt) {
    auto crashed = host();
    record_running({.pid = ::getpid(), .start_time = 1, .boot_id = "00000000-0000-0000-0000-000000000000"});
    EXPECT_TRUE(crashed.status()->crashed);
    EXPECT_FALSE(crashed.status()->running);
    EXPECT_TRUE(crashed.stop().has_value());
    EXPECT_FALSE(crashed.status()->crashed);
}

TEST_F(Host, AHostThatDoesNotAnswerIsEndedByForce) {
    SpawnOptions options;
    options.arguments = {"sleep", "1000"};
    const auto pid = spawn(options);
    ASSERT_TRUE(pid.has_value());
    auto stuck = host();
    record_running(*identify(*pid));
    EXPECT_TRUE(stuck.status()->running);
    EXPECT_FALSE(stuck.status()->answering);

    EXPECT_TRUE(stuck.stop(std::chrono::seconds(1)).has_value());

    EXPECT_EQ(::kill(*pid, 0), -1);
    EXPECT_FALSE(stuck.status()->running);
}

TEST_F(Host, OnlyAHostOfAnotherBuildIsStoppedAsOutdated) {
    SpawnOptions options;
    options.arguments = {"sleep", "1000"};
    const auto pid = spawn(options);
    ASSERT_TRUE(pid.has_value());
    auto running = host();
    EXPECT_FALSE(running.is_outdated().value()) << "nothing runs";
    record_running(*identify(*pid));  // of no build that is known
    EXPECT_TRUE(running.status()->outdated);

    // A call that finds no build at all has nothing to replace it by.
    config_.initrd = base_ + "/none";
    EXPECT_FALSE(host().stop_if_outdated().value());
    EXPECT_EQ(::kill(*pid, 0), 0);

    EXPECT_TRUE(running.stop_if_outdated().value());
    EXPECT_EQ(::kill(*pid, 0), -1);
    EXPECT_FALSE(running.stop_if_outdated().value());
}

TEST_F(Host, ARecordThatMakesNoSenseCountsAsNone) {
    auto opened = host();
    for (const char* text : {"", "[]", "{}", "{\"qemu\": 1}", "{\"qemu\": {\"pid\": \"x\"}}", "\xff"}) {
        write("state/running.json", text);
        const auto status = opened.status();
        ASSERT_TRUE(status.has_value()) << text;
        EXPECT_FALSE(status->running || status->crashed) << text;
    }
}

TEST_F(Host, ImageNamesThatAreNotSerialsAreRefused) {
    auto opened = host();
    const auto image = sys::memfd("x");
    for (const char* name : {"", "UPPER", "a/b", "a,b", "123456789012345678901", "alcove-state"})
        EXPECT_EQ(opened.attach_image(name, *image).error().code(), ErrorCode::InvalidArgument) << name;
}

std::vector<std::string> arguments_of(const std::string& folder, const std::string& command_line = "",
                                      std::vector<std::string> extra = {}) {
    return qemu_arguments({.program = "qemu",
                           .kernel = "k",
                           .initrd = "i",
                           .state_disk = folder + "/state.img",
                           .folder = folder,
                           .memory_mib = 2048,
                           .extra_command_line = command_line,
                           .extra_arguments = std::move(extra)});
}

TEST(QemuCommand, NothingListensButUnixSocketsInTheFolder) {
    const auto arguments = arguments_of("/s", "word", {"-extra"});
    EXPECT_THAT(arguments, Contains("-nodefaults"));
    EXPECT_THAT(arguments, Contains("2048"));
    EXPECT_EQ(arguments.back(), "-extra");
    for (const auto& word : arguments) {
        EXPECT_THAT(word, testing::Not(HasSubstr("host=")));
        EXPECT_THAT(word, testing::Not(HasSubstr("tcp:")));
        if (word.find("socket,") == 0) {
            EXPECT_THAT(word, HasSubstr("path=/s/"));
        }
    }
}

// testhost/README.md says what each is for.
TEST(QemuCommand, TheMachineIsTheOneThatKvmAndLinuxGetOnWith) {
    const auto arguments = arguments_of("/s");
    const auto values_of = [&](const std::string& option) {
        std::vector<std::string> values;
        for (size_t i = 0; i + 1 < arguments.size(); ++i)
            if (arguments[i] == option) values.push_back(arguments[i + 1]);
        return values;
    };
    using Values = std::vector<std::string>;

    EXPECT_EQ(values_of("-machine"), Values{"q35,usb=off,vmport=off,sata=off,smbus=off"});
    EXPECT_EQ(values_of("-accel"), Values{"tcg,thread=multi"});
    EXPECT_EQ(values_of("-cpu"), Values{"max,-erms,-fsrm"});
    EXPECT_EQ(values_of("-smp"), Values{"8,sockets=1,cores=4,threads=2"});
    EXPECT_THAT(values_of("-device"), Contains("intel-iommu,intremap=on,eim=on"));
}

TEST(QemuCommand, ACommaInAPathDoesNotEndTheOption) {
    const auto arguments = arguments_of("/a,b");
    EXPECT_THAT(arguments, Contains(HasSubstr("path=/a,,b/qmp.sock")));
    EXPECT_THAT(arguments, Contains(HasSubstr("filename=/a,,b/state.img")));
}

}  // namespace
}  // namespace alcove::embedded

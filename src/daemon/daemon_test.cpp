// SPDX-License-Identifier: Apache-2.0
//
// The whole daemon over its sockets, with a broker and shims that play along.
#include "daemon/daemon.hpp"

#include <filesystem>
#include <future>

#include <fcntl.h>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "api/attestor_messages.hpp"
#include "api/descriptor_messages.hpp"
#include "daemon/fake_host_test.hpp"
#include "daemon/http_client_test.hpp"

namespace alcove::daemon {
namespace {

using codec::json::Json;
namespace descriptors = api::descriptors;

class DaemonTest : public testing::Test {
  protected:
    DaemonTest() : host_(run_) {
        config_.run_directory = run_;
        config_.view_directory = directory_.path() + "/view";
        config_.state_directory = directory_.path() + "/state";
        config_.attestor_socket = directory_.path() + "/attestor.sock";
        config_.supervisor.retry_after = std::chrono::milliseconds(20);
        config_.make_spill_file = [](uint64_t) { return sys::memfd("spill"); };
        start();
    }
    void start() {
        daemon_ = Daemon::start(config_).value();
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
        while (!json_of(get(control_, "/v1/host"))["broker"]["connected"].get<bool>())
            ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    }
    static Json json_of(const HttpAnswer& answer) { return codec::json::parse(answer.body).value(); }

    // Hands over a file as a client does; gives the token.
    Result<std::string> offer(const std::string& content) {
        const auto image = TRY(sys::memfd("image"));
        TRY(sys::write_all(image, as_byte_view(content)));
        auto socket = TRY(sys::unix_connect(run_ + "/" + descriptors::kSocketName, SOCK_SEQPACKET));
        const Channel channel(std::move(socket));
        TRY(api::exchange_hello(channel, descriptors::kProtocol, descriptors::kVersions));
        TRY(channel.send(api::encode(descriptors::Offer{.request = 1, .reserved = {}}), {image.get()}));
        const auto answer = TRY(channel.receive_within(std::chrono::seconds(5)));
        const auto envelope = TRY(api::open_envelope(answer.data));
        const auto token = TRY(api::decode<descriptors::Token>(envelope));
        return std::string(token.token.text().value());
    }
    HttpAnswer run(const std::string& more = "") {
        const auto token = offer("the image").value();
        // The smallest machine there is: what this test's host can lend is not known.
        return post(control_, "/v1/enclaves",
                    R"({"image":{"token":")" + token + R"("},"vcpus":1,"memory_mib":2)" + more + "}");
    }

    TestDirectory directory_;
    std::string run_ = directory_.path() + "/run";
    std::string control_ = run_ + "/alcoved.sock";
    std::string view_ = directory_.path() + "/view/alcoved-view.sock";
    FakeHost host_;
    DaemonConfig config_;
    std::unique_ptr<Daemon> daemon_;
};

// The tests that run an enclave need a core to lend besides core 0.
class DaemonRunTest : public DaemonTest {
  protected:
    void SetUp() override {
        const auto topology = host::read_topology().value();
        if (topology.cores.size() < 2) GTEST_SKIP() << "this host has a single core, and that is never lent";
    }
};

TEST_F(DaemonRunTest, AVmsSgxIsToldAndItsEpcDropped) {
    const auto token = offer("the image").value();
    const auto created = post(
        control_, "/v1/vms",
        R"({"image":{"token":")" + token +
            R"("},"name":"dev","vcpus":1,"memory_mib":2,"sgx":{"epc":[{"size_mib":4}],"key_root":"ephemeral"}})");
    ASSERT_EQ(created.status, 201) << created.body;
    ASSERT_EQ(json_of(created)["sgx_remarks"].size(), 1U) << created.body;
    EXPECT_THAT(json_of(created)["sgx_remarks"][0].get<std::string>(),
                testing::HasSubstr("keys end with the VM"));
    EXPECT_EQ(json_of(created)["sgx"]["epc"][0]["size_mib"], 4);
    ASSERT_EQ(json_of(get(control_, "/v1/vms/dev?wait=running&timeout=10"))["state"], "running");

    EXPECT_EQ(json_of(get(view_, "/v1/vms/dev/sgx"))["state"]["valid_pages"], 7);
    EXPECT_EQ(json_of(get(view_, "/v1/vms/dev/inspect"))["sgx"]["state"]["valid_pages"], 7);
    EXPECT_EQ(json_of(get(view_, "/v1/host"))["sgx"]["software"]["lent_bytes"], 4 << 20);
    EXPECT_EQ(post(view_, "/v1/vms/dev/drop-epc", "").status, 403);
    EXPECT_EQ(json_of(post(control_, "/v1/vms/dev/drop-epc", ""))["state"]["valid_pages"], 0);

    EXPECT_EQ(post(control_, "/v1/vms/dev/stop", R"({"force_after_ms":100})").status, 202);
    ASSERT_EQ(json_of(get(control_, "/v1/vms/dev?wait=stopped&timeout=10"))["state"], "stopped");
    EXPECT_TRUE(json_of(get(control_, "/v1/vms/dev/sgx"))["state"].is_null());
    EXPECT_EQ(json_of(get(view_, "/v1/host"))["sgx"]["software"]["lent_bytes"], 0);
}

TEST_F(DaemonRunTest, TheBudgetOfAVmsEpcIsSet) {
    const auto token = offer("the image").value();
    const std::string sgx = R"({"epc":[{"size_mib":8}],"population":"oversubscribe","budget_mib":2})";
    const auto created = post(
        control_, "/v1/vms",
        R"({"image":{"token":")" + token + R"("},"name":"dev","vcpus":1,"memory_mib":2,"sgx":)" + sgx + "}");
    ASSERT_EQ(created.status, 201) << created.body;
    ASSERT_EQ(json_of(get(control_, "/v1/vms/dev?wait=running&timeout=10"))["state"], "running");
    EXPECT_EQ(json_of(get(view_, "/v1/host"))["sgx"]["software"]["lent_bytes"], 2 << 20);

    EXPECT_EQ(post(view_, "/v1/vms/dev/sgx", R"({"budget_mib":4})").status, 403);
    EXPECT_EQ(post(control_, "/v1/vms/dev/sgx", R"({"budget":4})").status, 400);
    EXPECT_EQ(post(control_, "/v1/vms/dev/sgx", R"({"budget_mib":9})").status, 400);
    const auto set = json_of(post(control_, "/v1/vms/dev/sgx", R"({"budget_mib":4})"));

    EXPECT_EQ(set["configuration"]["budget_mib"], 4);
    EXPECT_EQ(set["state"]["spill"]["budget_pages"], 1024);
    EXPECT_EQ(json_of(get(view_, "/v1/vms/dev/sgx"))["configuration"]["budget_mib"], 4);
    EXPECT_EQ(json_of(get(view_, "/v1/host"))["sgx"]["software"]["lent_bytes"], 4 << 20);
}

TEST_F(DaemonRunTest, TheBalloonOfAVmsEpcIsSet) {
    const auto token = offer("the image").value();
    const std::string sgx = R"({"epc":[{"size_mib":8}],"population":"balloon"})";
    const auto created = post(
        control_, "/v1/vms",
        R"({"image":{"token":")" + token + R"("},"name":"dev","vcpus":1,"memory_mib":2,"sgx":)" + sgx + "}");
    ASSERT_EQ(created.status, 201) << created.body;
    ASSERT_EQ(json_of(get(control_, "/v1/vms/dev?wait=running&timeout=10"))["state"], "running");

    EXPECT_EQ(post(control_, "/v1/vms/dev/sgx", R"({"budget_mib":4})").status, 400);
    EXPECT_EQ(post(control_, "/v1/vms/dev/sgx", R"({"balloon_mib":8})").status, 400);
    const auto set = json_of(post(control_, "/v1/vms/dev/sgx", R"({"balloon_mib":4})"));

    EXPECT_EQ(set["configuration"]["balloon_mib"], 4);
    EXPECT_EQ(set["state"]["balloon"]["target_bytes"], 4 << 20);
    EXPECT_EQ(json_of(get(view_, "/v1/vms/dev/sgx"))["configuration"]["balloon_mib"], 4);
}

TEST_F(DaemonRunTest, AnEnclaveIsRunInspectedStoppedAndRemoved) {
    const auto created = run(R"(,"name":"web")");
    ASSERT_EQ(created.status, 201) << created.body;
    const std::string id = json_of(created)["id"];
    EXPECT_EQ(json_of(created)["state"], "reserving");

    const auto ready = json_of(get(control_, "/v1/enclaves/web?wait=ready&timeout=10"));
    EXPECT_EQ(ready["state"], "running");
    EXPECT_EQ(ready["ready"], true);
    EXPECT_EQ(host_.image_content(id), "the image");

    const auto tree = json_of(get(view_, "/v1/enclaves/" + id + "/inspect"));
    EXPECT_EQ(tree["counters"]["kvm_runs"]["total"], 77);
    EXPECT_EQ(tree["heartbeat"]["answered_by"], "alcove");
    EXPECT_EQ(tree["sockets"]["connect"], run_ + "/vm/" + id + "/connect.sock");
    EXPECT_FALSE(tree["lease"]["cpus"].empty());
    const auto sockets = json_of(get(control_, "/v1/enclaves/web/sockets"));
    EXPECT_EQ(sockets["id"], id);
    EXPECT_EQ(sockets["directory"], run_ + "/vm/" + id);
    EXPECT_EQ(sockets["connect"], tree["sockets"]["connect"]);

    EXPECT_EQ(post(control_, "/v1/enclaves/web/stop", R"({"force_after_ms":100})").status, 202);
    const auto stopped = json_of(get(control_, "/v1/enclaves/" + id + "?wait=stopped&timeout=10"));
    EXPECT_EQ(stopped["state"], "stopped");
    EXPECT_EQ(stopped["reason"], "host_request");
    EXPECT_EQ(json_of(get(control_, "/v1/enclaves/" + id + "/sockets"))["error"]["code"], "E95");
    EXPECT_EQ(raw_request(control_, "DELETE /v1/enclaves/" + id + " HTTP/1.1\r\n\r\n").status, 200);
    const auto gone = get(control_, "/v1/enclaves/" + id);
    EXPECT_EQ(gone.status, 404);
    EXPECT_EQ(json_of(gone)["error"]["code"], "E90");
}

TEST_F(DaemonRunTest, EnclavesOutliveTheDaemon) {
    const std::string id = json_of(run())["id"];
    ASSERT_EQ(json_of(get(control_, "/v1/enclaves/" + id + "?wait=ready&timeout=10"))["ready"], true);

    daemon_.reset();
    start();

    EXPECT_EQ(json_of(get(control_, "/v1/enclaves/" + id + "?wait=ready&timeout=10"))["state"], "running");
    EXPECT_TRUE(host_.removed().empty());
}

TEST_F(DaemonRunTest, ADebugConsoleIsReplayedAndFollowedToTheEnd) {
    const std::string id = json_of(run(R"(,"debug":true)"))["id"];
    ASSERT_EQ(json_of(get(control_, "/v1/enclaves/" + id + "?wait=ready&timeout=10"))["ready"], true);
    host_.write_console(id, "first\n");
    auto follower =
        std::async(std::launch::async, [&] { return get(control_, "/v1/enclaves/" + id + "/console"); });
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    host_.write_console(id, "second\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(250));

    host_.end(id, api::StopReason::PowerOff);

    const auto console = follower.get();
    EXPECT_EQ(console.status, 200);
    EXPECT_NE(console.body.find("first\n"), std::string::npos);
    EXPECT_NE(console.body.find("second\n"), std::string::npos);
    EXPECT_EQ(get(view_, "/v1/enclaves/" + id + "/logs").body, "first\nsecond\n");
}

TEST_F(DaemonRunTest, OutsideDebugModeThereIsNoConsole) {
    const std::string id = json_of(run())["id"];

    for (const char* verb : {"/console", "/logs"}) {
        const auto answer = get(control_, "/v1/enclaves/" + id + verb);
        EXPECT_EQ(answer.status, 403);
        EXPECT_EQ(json_of(answer)["error"]["code"], "E91");
    }
}

TEST_F(DaemonRunTest, WaitingReturnsWhatIsTrueWhenTheTimeIsOver) {
    host_.set_script(FakeHost::Script::Hold);
    const std::string id = json_of(run())["id"];

    const auto answer = get(control_, "/v1/enclaves/" + id + "?wait=ready&timeout=1");

    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(json_of(answer)["ready"], false);
    EXPECT_EQ(json_of(answer)["progress"]["total"], 2);
}

TEST_F(DaemonRunTest, AnEnclaveThatRunsNeedNotBeReady) {
    host_.set_script(FakeHost::Script::Measured);
    const std::string id = json_of(run())["id"];

    const auto answer = json_of(get(control_, "/v1/enclaves/" + id + "?wait=running&timeout=600"));

    EXPECT_EQ(answer["state"], "running");
    EXPECT_EQ(answer["ready"], false);
    EXPECT_EQ(get(control_, "/v1/enclaves/" + id + "?wait=nonsense").status, 400);
}

TEST_F(DaemonTest, TheViewSocketOnlyReads) {
    EXPECT_EQ(get(view_, "/v1/enclaves").status, 200);
    EXPECT_EQ(post(view_, "/v1/enclaves", "{}").status, 403);
    EXPECT_EQ(raw_request(view_, "DELETE /v1/enclaves/x HTTP/1.1\r\n\r\n").status, 403);
    EXPECT_EQ(get(view_, "/v1/enclaves/x/sockets").status, 403);
    EXPECT_EQ(get(control_, "/v1/enclaves/x/sockets").status, 404);
}

TEST_F(DaemonTest, SocketsAreForTheirGroupsOnly) {
    const auto mode = [](const std::string& path) {
        struct stat status {};
        EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
        return status.st_mode & 07777;
    };

    EXPECT_EQ(mode(control_), 0660U);
    EXPECT_EQ(mode(view_), 0660U);
    EXPECT_EQ(mode(run_ + "/descriptors.sock"), 0660U);
    EXPECT_EQ(mode(directory_.path() + "/view"), 0750U);
    EXPECT_EQ(mode(directory_.path() + "/state"), 0700U);
    EXPECT_EQ(mode(directory_.path() + "/state/alcoved.db"), 0600U);
}

TEST_F(DaemonTest, ATokenIsNeededForAnImage) {
    const auto unknown =
        post(control_, "/v1/enclaves",
             R"({"image":{"token":"00000000000000000000000000000000"},"vcpus":1,"memory_mib":2})");
    const auto disk =
        post(control_, "/v1/enclaves", R"({"image":{"disk":"img-1","size":5},"vcpus":1,"memory_mib":2})");

    EXPECT_EQ(unknown.status, 404);
    EXPECT_EQ(disk.status, 403);
    EXPECT_TRUE(host_.launches().empty());
}

TEST_F(DaemonTest, AnOfferWithoutADescriptorIsRefused) {
    const Channel channel(sys::unix_connect(run_ + "/descriptors.sock", SOCK_SEQPACKET).value());
    ASSERT_TRUE(api::exchange_hello(channel, descriptors::kProtocol, descriptors::kVersions));

    ASSERT_TRUE(channel.send(api::encode(descriptors::Offer{.request = 9, .reserved = {}})));

    const auto answer = channel.receive_within(std::chrono::seconds(5)).value();
    const auto failed = api::decode_failed(api::open_envelope(answer.data).value()).value();
    EXPECT_EQ(failed.request, 9U);
    EXPECT_EQ(failed.error.code(), ErrorCode::InvalidMessage);
}

TEST_F(DaemonTest, PathsThatDoNotExistAreSaid) {
    for (const char* path :
         {"/", "/v1", "/v2/host", "/v1/nothing", "/v1/enclaves/x/y/z", "/v1/attestation/key"})
        EXPECT_EQ(get(control_, path).status, 404) << path;
    EXPECT_EQ(get(control_, "/v1/events?since=x").status, 400);
    EXPECT_EQ(post(control_, "/v1/enclaves/x/stop", "").status, 404);
}

TEST_F(DaemonTest, TheRootIsWhatTheAttestorSays) {
    EXPECT_EQ(get(control_, "/v1/attestation/root").status, 503);
    const auto listener = sys::unix_listen(config_.attestor_socket, SOCK_SEQPACKET, 0600).value();
    auto attestor = std::async(std::launch::async, [&] {
        const Channel channel(sys::accept(listener).value());
        api::exchange_hello(channel, api::Protocol::Attestor, api::attestor::kVersions).value();
        const auto question = channel.receive_within(std::chrono::seconds(5)).value();
        const auto request =
            api::decode<api::attestor::GetRootCertificate>(api::open_envelope(question.data).value())
                .value()
                .request;
        const api::attestor::RootCertificate answer{.request = request, .flags = 1};
        channel.send(api::encode(answer, as_byte_view("-----BEGIN CERTIFICATE-----\n"))).value();
    });

    const auto root = get(view_, "/v1/attestation/root");

    attestor.get();
    EXPECT_EQ(root.status, 200);
    EXPECT_EQ(root.body, "-----BEGIN CERTIFICATE-----\n");
}

TEST_F(DaemonTest, VersionAndHostAreTold) {
    const auto version = json_of(get(control_, "/v1/version"));
    const auto host = json_of(get(control_, "/v1/host"));

    EXPECT_EQ(version["api"], 1);
    EXPECT_EQ(version["instance_id"], daemon_->instance_id());
    EXPECT_EQ(version["embedded"], false);
    EXPECT_FALSE(host["topology"]["cores"].empty());
    EXPECT_EQ(host["ledger"][0]["owners"][0]["owner"], "host");
    EXPECT_EQ(host["ledger"][0]["owners"].back()["owner"], "free");
}

TEST_F(DaemonTest, ASecondDaemonOfTheSameStateIsRefused) {
    EXPECT_EQ(Daemon::start(config_).error().code(), ErrorCode::Busy);
}

}  // namespace
}  // namespace alcove::daemon

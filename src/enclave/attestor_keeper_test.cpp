// SPDX-License-Identifier: Apache-2.0
//
// The shim's way back to the attestor, with a real attestor that is killed, restarted and kept busy.
#include "enclave/attestor_keeper.hpp"

#include <cerrno>
#include <ctime>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "attestor/server.hpp"
#include "attestor/test_folder.hpp"
#include "support/system.hpp"

namespace alcove::enclave {
namespace {

namespace wire = api::attestor;
using attestor::Server;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr AttestorKeeper::Pace kQuick{
    .shortest = milliseconds(5), .longest = milliseconds(40), .answer_within = milliseconds(500)};

struct AttestorKeeperTest : testing::Test {
    const attestor::TestFolder folder;
    const std::string path = folder / "shims.sock";
    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    std::unique_ptr<Server> server;
    std::unique_ptr<AttestorKeeper> keeper = std::make_unique<AttestorKeeper>(*loop, path, kQuick);
    Channel vm;  // the VM's connection
    wire::ResumeToken token{};
    std::vector<Result<Fd>> resumed;

    void start() {
        Server::Listeners listeners;
        listeners.main = sys::unix_listen(folder / "main.sock", SOCK_SEQPACKET, 0600).value();
        listeners.shims = sys::unix_listen(path, SOCK_SEQPACKET, 0600).value();
        auto authority =
            attestor::Authority::ephemeral(attestor::HostKind::Production, std::chrono::system_clock::now);
        server =
            Server::create(*loop, std::move(listeners), std::move(authority).value(),
                           attestor::SessionStore::open(folder / "run").value(), {.keepers = {::getuid()}})
                .value();
    }
    void turn(int times = 8) {
        for (int i = 0; i < times; ++i)
            ASSERT_TRUE(loop->run_once(milliseconds(1)));
    }
    bool turn_until(const std::function<bool()>& condition) {
        const auto deadline = std::chrono::steady_clock::now() + seconds(20);
        while (!condition()) {
            if (std::chrono::steady_clock::now() > deadline) return false;
            if (!loop->run_once(milliseconds(5))) return false;
        }
        return true;
    }
    // What broker and shim did at the launch.
    void launch() {
        auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
        ASSERT_TRUE(server->adopt(std::move(pair.first), attestor::PeerRole::Broker));
        vm = Channel(std::move(pair.second));
        wire::Open open{};
        open.vm_id = api::VmId::Field::of("vm-1");
        open.module_id = api::TextField<128>::of("i-test-enc0");
        open.host_time_ms = static_cast<uint64_t>(std::time(nullptr)) * 1000;
        ASSERT_TRUE(vm.send(api::encode_hello(api::Protocol::Attestor, wire::kVersions)));
        ASSERT_TRUE(vm.send(api::encode(open)));
        ASSERT_TRUE(vm.send(api::encode(wire::Measured{})));
        turn();
        ASSERT_TRUE(vm.receive() && vm.receive());
        const auto sealed = vm.receive().value();
        token = api::decode<wire::Sealed>(api::open_envelope(sealed.data).value()).value().token;
        keeper->keep(token);
    }
    void resume() {
        keeper->resume([this](Result<Fd> connection) { resumed.push_back(std::move(connection)); });
    }
    size_t stored() const { return attestor::SessionStore::open(folder / "run")->names()->size(); }
    // Whether that connection is the VM's.
    bool is_served(const Fd& connection) {
        const Channel channel(sys::duplicate(connection.get()).value());
        EXPECT_TRUE(channel.send(api::encode(wire::Describe{.request = 9, .reserved = {}})));
        turn();
        const auto answer = channel.receive();
        return answer && api::open_envelope(answer->data)->type == wire::Description::kType;
    }
};

TEST_F(AttestorKeeperTest, AKilledAttestorIsWaitedForAndTakesTheVmUpAgain) {
    start();
    launch();
    server.reset();
    resume();
    turn(40);
    EXPECT_TRUE(resumed.empty()) << "it knocked at a door that nobody opens";

    start();
    ASSERT_TRUE(turn_until([this] { return !resumed.empty(); }));

    ASSERT_TRUE(resumed[0]) << resumed[0].error().to_string();
    EXPECT_TRUE(is_served(*resumed[0]));
    EXPECT_TRUE(keeper->is_idle());
}

TEST_F(AttestorKeeperTest, ALostConnectionIsReplacedWhenItsEndWasSeen) {
    start();
    launch();
    resume();
    turn(20);
    EXPECT_TRUE(resumed.empty()) << "the VM has a connection";

    vm.release();
    ASSERT_TRUE(turn_until([this] { return !resumed.empty(); }));

    ASSERT_TRUE(resumed[0]);
    EXPECT_TRUE(is_served(*resumed[0]));
}

TEST_F(AttestorKeeperTest, AnAttestorThatKnowsTheVmNoMoreIsNotAskedAgain) {
    start();
    launch();
    ASSERT_TRUE(vm.send(api::encode(wire::Measured{})));  // the VMM breaks the protocol
    turn();

    resume();
    ASSERT_TRUE(turn_until([this] { return !resumed.empty(); }));

    EXPECT_EQ(resumed[0].error().code(), ErrorCode::NotFound);
    EXPECT_TRUE(keeper->is_idle());
    const auto violations = server->counters().violations;
    turn(40);
    EXPECT_EQ(server->counters().violations, violations);
}

TEST_F(AttestorKeeperTest, AnAttestorThatIsShortOfSomethingIsAskedAgain) {
    start();
    launch();
    vm.release();
    turn();
    server.reset();
    const auto listener = sys::unix_listen(path, SOCK_SEQPACKET, 0600).value();
    resume();
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(turn_until([&] {
            pollfd knocking{.fd = listener.get(), .events = POLLIN, .revents = 0};
            return ::poll(&knocking, 1, 0) == 1;
        }));
        const Channel short_of_files(sys::accept(listener).value());
        ASSERT_TRUE(short_of_files.send(api::encode_hello(api::Protocol::Attestor, wire::kVersions)));
        ASSERT_TRUE(short_of_files.send(api::encode_failed(1, Error::from_errno(EMFILE, "open"))));
        turn();
    }

    EXPECT_TRUE(resumed.empty());
    EXPECT_FALSE(keeper->is_idle());
}

// A stopped process: its queue takes the connection, and nobody answers.
TEST_F(AttestorKeeperTest, AnAttestorThatHangsIsLeftAndTriedAgain) {
    start();
    launch();
    server.reset();
    auto silent = sys::unix_listen(path, SOCK_SEQPACKET, 0600).value();
    resume();
    turn(2);
    const auto first = sys::accept(silent).value();
    ASSERT_TRUE(turn_until([&] {
        pollfd gone{.fd = first.get(), .events = POLLRDHUP, .revents = 0};
        return ::poll(&gone, 1, 0) == 1 && (gone.revents & POLLRDHUP) != 0;
    }));
    silent.reset();

    start();
    ASSERT_TRUE(turn_until([this] { return !resumed.empty(); }));
    EXPECT_TRUE(resumed[0]);
}

TEST_F(AttestorKeeperTest, AnAttestorOfAnotherReleaseIsTriedAgain) {
    start();
    launch();
    server.reset();
    auto other = sys::unix_listen(path, SOCK_SEQPACKET, 0600).value();
    resume();
    turn(2);
    const Channel stranger(sys::accept(other).value());
    ASSERT_TRUE(stranger.send(api::encode_hello(api::Protocol::Attestor, {.min = 70, .max = 71})));
    turn();
    EXPECT_TRUE(resumed.empty());
    other.reset();

    start();
    ASSERT_TRUE(turn_until([this] { return !resumed.empty(); }));
    EXPECT_TRUE(resumed[0]);
}

// A VMM can close its connection as often as it likes.
TEST_F(AttestorKeeperTest, WhoComesBackOftenComesBackMoreAndMoreSlowly) {
    start();
    launch();
    vm.release();
    std::vector<milliseconds> taken;
    for (int i = 0; i < 6; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        resume();
        ASSERT_TRUE(turn_until([this] { return !resumed.empty(); }));
        ASSERT_TRUE(resumed[0]);
        resumed.clear();  // closes it
        turn();
        taken.push_back(std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin));
    }

    EXPECT_GE(taken[2], milliseconds(10));
    EXPECT_GE(taken[4], kQuick.longest);
    EXPECT_GE(taken[5], kQuick.longest);
}

TEST_F(AttestorKeeperTest, AConnectionThatLastedMakesTheNextOneQuick) {
    auto pace = kQuick;
    pace.steady_after = milliseconds(1);
    pace.shortest = pace.longest = seconds(600);  // the first try is at once, another would be too late
    keeper = std::make_unique<AttestorKeeper>(*loop, path, pace);
    start();
    launch();
    vm.release();
    turn();
    for (int i = 0; i < 3; ++i) {
        resume();
        ASSERT_TRUE(turn_until([this] { return !resumed.empty(); }));
        ASSERT_TRUE(resumed[0]);
        ::usleep(2000);
        resumed.clear();
        turn();
    }
}

TEST_F(AttestorKeeperTest, AVmThatHasEndedIsForgottenAtOnce) {
    start();
    launch();
    vm.release();
    turn();
    ASSERT_EQ(stored(), 1U);

    keeper->forget();
    ASSERT_TRUE(turn_until([this] { return keeper->is_idle(); }));

    EXPECT_EQ(stored(), 0U);
    keeper->forget();
    EXPECT_TRUE(keeper->is_idle()) << "there is nothing left to forget";
}

TEST_F(AttestorKeeperTest, TheEndComesBeforeEverythingElse) {
    start();
    launch();
    server.reset();
    resume();
    turn();

    keeper->forget();
    start();
    ASSERT_TRUE(turn_until([this] { return keeper->is_idle(); }));

    EXPECT_TRUE(resumed.empty());
    EXPECT_EQ(stored(), 0U);
}

TEST_F(AttestorKeeperTest, WithoutAVmThereIsNothingToForget) {
    keeper->forget();

    EXPECT_TRUE(keeper->is_idle());
}

TEST_F(AttestorKeeperTest, NothingIsCalledAfterItIsGone) {
    start();
    launch();
    vm.release();
    resume();
    turn(1);

    keeper.reset();
    turn(20);

    EXPECT_TRUE(resumed.empty());
}

}  // namespace
}  // namespace alcove::enclave

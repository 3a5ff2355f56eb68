// SPDX-License-Identifier: Apache-2.0
//
// What the filter refuses, and that the whole service works behind it: a child that is an attestor, with this
// test as broker, shim and VMM.
#include "attestor/sandbox.hpp"

#include <ctime>
#include <functional>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <gtest/gtest.h>

#include "attestation/verifier.hpp"
#include "attestor/server.hpp"
#include "attestor/test_folder.hpp"
#include "sandbox/child_for_tests.hpp"
#include "sandbox/process.hpp"
#include "support/system.hpp"

namespace alcove::attestor {
namespace {

namespace wire = api::attestor;
using std::chrono::seconds;

int status_after(const std::function<void()>& action) {
    return sandbox::status_of_child([&] {
        if (!sandbox::harden_process() || !enter_sandbox()) ::_exit(99);
        action();
    });
}

bool is_refused(const std::function<void()>& action) {
    return sandbox::was_ended(status_after(action));
}

TEST(AttestorSandbox, OrdinaryWorkGoesOn) {
    const int status = status_after([] {
        const void* memory =
            ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) ::_exit(1);
    });

    EXPECT_TRUE(sandbox::exited_with(status, 0)) << status;
}

TEST(AttestorSandbox, ProgramsAndProcessesAreOver) {
    EXPECT_TRUE(is_refused([] { (void)::execl("/bin/true", "true", nullptr); }));
    EXPECT_TRUE(is_refused([] { (void)::fork(); }));
    EXPECT_TRUE(is_refused([] { (void)::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr); }));
    EXPECT_TRUE(is_refused([] { (void)::kill(::getppid(), 0); }));
    EXPECT_TRUE(is_refused([] { (void)::syscall(SYS_process_vm_readv, ::getppid(), 0, 0, 0, 0, 0); }));
}

TEST(AttestorSandbox, SocketsOfItsOwnAreOver) {
    EXPECT_TRUE(is_refused([] { (void)::socket(AF_INET, SOCK_STREAM, 0); }));
    EXPECT_TRUE(is_refused([] { (void)::socket(AF_UNIX, SOCK_STREAM, 0); }));
    EXPECT_TRUE(is_refused([] { (void)::connect(3, nullptr, 0); }));
    EXPECT_TRUE(is_refused([] { (void)::sendto(3, "", 0, 0, nullptr, 0); }));
}

TEST(AttestorSandbox, NewExecutableMemoryIsRefused) {
    EXPECT_TRUE(is_refused(
        [] { (void)::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }));
}

class SandboxedService : public testing::Test {
  protected:
    SandboxedService() {
        child_ = ::fork();
        if (child_ == 0) serve();
    }
    ~SandboxedService() override {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
    }
    // As alcove-attestor does it: everything is made, then the door closes.
    [[noreturn]] void serve() {
        auto loop = EventLoop::create().value();
        auto authority = Authority::open({.state_folder = folder_ / "state",
                                          .root_certificate = {},
                                          .root_key = {},
                                          .ca_certificate = {},
                                          .ca_key = {}},
                                         HostKind::Production, std::chrono::system_clock::now)
                             .value();
        auto store = SessionStore::open(folder_ / "run").value();
        Server::Listeners listeners;
        listeners.main = sys::unix_listen(folder_ / "main.sock", SOCK_SEQPACKET, 0600).value();
        listeners.shims = sys::unix_listen(folder_ / "shims.sock", SOCK_SEQPACKET, 0600).value();
        const Server::Options options{.brokers = {::getuid()},
                                      .keepers = {::getuid()},
                                      .renew_before = std::chrono::hours(10000)};  // with every document
        const auto server =
            Server::create(*loop, std::move(listeners), std::move(authority), std::move(store), options)
                .value();
        if (!sandbox::harden_process() || !enter_sandbox()) ::_exit(99);
        ::_exit(loop->run() ? 0 : 98);
    }
    Channel connect(const std::string& name) const {
        for (int tries = 0; tries < 500; ++tries) {
            auto socket = sys::unix_connect(folder_ / name, SOCK_SEQPACKET);
            if (socket) {
                Channel channel(std::move(*socket));
                EXPECT_TRUE(api::exchange_hello(channel, api::Protocol::Attestor, wire::kVersions));
                return channel;
            }
            ::usleep(10'000);
        }
        ADD_FAILURE() << "the attestor does not listen";
        return {};
    }
    // The answer's datagram, of that type.
    static Bytes ask(const Channel& channel, const Bytes& request, uint16_t answer_type) {
        EXPECT_TRUE(channel.send(request));
        auto answer = channel.receive_within(seconds(20));
        if (!answer) {
            ADD_FAILURE() << answer.error().to_string();
            return {};
        }
        EXPECT_EQ(api::open_envelope(answer->data)->type, answer_type);
        return std::move(answer->data);
    }
    bool is_running() const { return ::waitpid(child_, nullptr, WNOHANG) == 0; }
    size_t stored() const { return SessionStore::open(folder_ / "run")->names()->size(); }

    const TestFolder folder_;
    pid_t child_ = 0;
};

TEST_F(SandboxedService, DoesAllOfItsWork) {
    wire::Open open{};
    open.vm_id = api::VmId::Field::of("vm-1");
    open.module_id = api::TextField<128>::of("i-test-enc0");  // a clock far off: something to log
    const auto extend = api::encode(wire::ExtendPcr{.request = 1, .index = 16}, Bytes(100, 7));

    auto vm = connect("main.sock");
    ask(vm, api::encode(open), wire::Done::kType);
    const auto sealed = ask(vm, api::encode(wire::Measured{}), wire::Sealed::kType);
    const auto token = api::decode<wire::Sealed>(api::open_envelope(sealed).value())->token;
    for (int i = 0; i < 3; ++i)
        ask(vm, wire::encode_attest(1, {}), wire::Document::kType);
    ask(vm, extend, wire::PcrExtended::kType);
    vm.release();
    vm = connect("shims.sock");
    ask(vm, api::encode(wire::Resume{.request = 1, .reserved = {}, .token = token}), wire::Done::kType);
    ask(vm, api::encode(wire::LockPcrs{.request = 1, .range = 32}), wire::Done::kType);
    ask(vm, extend, wire::Rejected::kType);
    const auto reader = connect("main.sock");
    ask(reader, api::encode(wire::GetStatus{}), wire::Status::kType);
    ask(reader, api::encode(wire::GetRootCertificate{}), wire::RootCertificate::kType);
    ask(reader, api::encode(wire::Measured{}), api::Failed::kType);
    vm.release();
    // Refused for as long as the attestor has not seen that end.
    for (int tries = 0; tries < 500 && stored() > 0; ++tries) {
        const auto shim = connect("shims.sock");
        ASSERT_TRUE(shim.send(api::encode(wire::Forget{.request = 1, .reserved = {}, .token = token})));
        ASSERT_TRUE(shim.receive_within(seconds(20)));
    }

    EXPECT_EQ(stored(), 0U);
    EXPECT_TRUE(is_running());
}

}  // namespace
}  // namespace alcove::attestor

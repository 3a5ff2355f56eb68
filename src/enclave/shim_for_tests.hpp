// SPDX-License-Identifier: Apache-2.0
//
// For this folder's tests: a whole shim, with a real child process that plays the VMM, a thread that plays
// the attestor, real images, and the test as alcoved. Nothing here needs root or KVM.
#pragma once

#include <csignal>
#include <filesystem>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "api/console_ring.hpp"
#include "api/limits.hpp"
#include "api/lives_messages.hpp"
#include "enclave/image_for_tests.hpp"
#include "enclave/shim.hpp"

namespace alcove::enclave {

using api::StopReason;
using api::shim::Phase;
namespace shim = api::shim;
namespace vmm = api::vmm;

constexpr std::chrono::seconds kPatience(10);

// What a fake VMM does once it has its orders; its return value is its exit code.
using VmmPlay = std::function<int(const Channel& channel, vmm::LaunchOrder& order)>;

inline int play_vmm(const Channel& channel, const VmmPlay& play) {
    if (!api::exchange_hello(channel, api::Protocol::Vmm, vmm::kVersions, kPatience)) return 90;
    auto message = channel.receive();
    if (!message) return 91;  // the shim gave up before the launch
    const auto envelope = api::open_envelope(message->data);
    if (!envelope) return 92;
    auto order = vmm::decode_launch(*envelope, std::move(message->descriptors));
    if (!order) return 93;
    return play(channel, *order);
}

// The parent of lives, who lives all of them himself.
inline int play_lives(const Channel& shim, const VmmPlay& play) {
    if (!api::exchange_hello(shim, api::Protocol::Lives, api::lives::kVersions, kPatience)) return 90;
    while (true) {
        auto message = shim.receive();
        if (!message || message->descriptors.size() != 1) return 0;
        shim.send(api::encode(api::lives::LifeBegun{.vmm_pid = 4711})).value();
        const int code = play_vmm(Channel(std::move(message->descriptors.front())), play);
        shim.send(api::encode(api::lives::LifeEnded{.by_signal = 0, .value = static_cast<uint32_t>(code)}))
            .value();
    }
}

inline void say_started(const Channel& channel) {
    channel
        .send(api::encode(
            vmm::Started{.launch_received_ns = 1, .image_loaded_ns = 2, .first_instruction_ns = 3}))
        .value();
}

inline void say_stopped(const Channel& channel, StopReason reason, std::string_view detail) {
    const vmm::Stopped stopped{
        .time_ns = 5, .reason = static_cast<uint16_t>(reason), .vcpu = 0xffff, .reserved = {}};
    channel.send(api::encode(stopped, as_byte_view(detail))).value();
}

// Waits for a message of this type; others are dropped.
template <typename T>
T wait_for(const Channel& channel, Channel::Message& message) {
    while (true) {
        message = channel.receive_within(kPatience).value();
        const auto body = api::decode<T>(api::open_envelope(message.data).value());
        if (body) return *body;
    }
}

inline int serve_until_stop(const Channel& channel, vmm::LaunchOrder&) {
    say_started(channel);
    Channel::Message message;
    wait_for<vmm::Stop>(channel, message);
    say_stopped(channel, StopReason::HostRequest, "as you wish");
    return 0;
}

struct ShimTest : testing::Test {
    std::filesystem::path folder;
    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    TestImage image = make_test_image();
    uint32_t flags = 0;
    api::VmRole role = api::VmRole::Enclave;
    std::vector<Fd> disks;
    std::vector<Fd> streams;  // networks
    api::Sgx sgx{};
    Fd spill;
    std::vector<Fd> epc;
    Fd provision;
    uint64_t memory_bytes = 16_MiB;
    uid_t daemon_uid = ::getuid();
    PreparationWork work = PreparationWork::real();
    pid_t vmm_pid = 0;
    Channel attestor;  // the attestor's end
    Fd kill_reader;
    std::thread attestor_thread;
    api::attestor::Measured measured{};  // what the attestor was told; read after the thread was joined
    std::unique_ptr<Shim> keeper;
    bool released = false;
    Channel daemon;

    ShimTest() {
        std::string name = testing::TempDir() + "/alcove-shim-XXXXXX";
        folder = ::mkdtemp(name.data());
    }
    ~ShimTest() override {
        keeper.reset();
        if (attestor_thread.joinable()) attestor_thread.join();
        std::filesystem::remove_all(folder);
    }

    // Forked before there are threads.
    Fd start_vmm(const VmmPlay& play, Fd& vmm_channel, Fd& log_reader) {
        auto channel = sys::socket_pair(SOCK_SEQPACKET).value();
        auto log = sys::pipe().value();
        vmm_pid = ::fork();
        if (vmm_pid == 0) {
            channel.first.reset();
            ::dup2(log.second.get(), 2);
            log.second.reset();
            if (role == api::VmRole::Primary) ::_exit(play_lives(Channel(std::move(channel.second)), play));
            ::_exit(play_vmm(Channel(std::move(channel.second)), play));
        }
        vmm_channel = std::move(channel.first);
        log_reader = std::move(log.first);
        return Fd(static_cast<int>(::syscall(SYS_pidfd_open, vmm_pid, 0)));
    }

    void start(const VmmPlay& play) {
        api::start::Order order;
        order.start.vm_id = api::VmId::parse("vm-1").value().field();
        order.start.flags = flags;
        order.start.vcpu_count = 1;
        order.start.threads_per_core = 1;
        order.start.page_size = api::kSmallPage;
        order.start.daemon_uid = daemon_uid;
        order.start.memory_bytes = memory_bytes;
        order.start.image_size = image.size;
        order.start.guest_cid = role == api::VmRole::Primary ? api::kParentCid : 16;
        order.start.role = static_cast<uint32_t>(role);
        order.start.disk_count = static_cast<uint32_t>(disks.size());
        for (size_t i = 0; i < streams.size(); ++i)
            order.start.networks.at(i) = {.mac = {2, 0, 0, 0, 0, 1}, .kind = 2, .reserved = 0};
        order.start.attestor_socket = api::TextField<108>::of((folder / "shims.sock").string());
        auto& fds = order.descriptors;
        fds.vmm_pidfd = start_vmm(play, fds.vmm_channel, fds.vmm_log);
        order.start.vmm_pid = static_cast<uint32_t>(vmm_pid);
        fds.daemon_listener = sys::unix_listen(folder / "shim.sock", SOCK_SEQPACKET, 0600).value();
        fds.connect_listener = sys::unix_listen(folder / "connect.sock", SOCK_STREAM, 0600).value();
        fds.folder = sys::open(folder, O_PATH | O_DIRECTORY).value();
        fds.image = sys::duplicate(image.file.get()).value();
        if ((flags & api::start::Start::kCarved) != 0) make_carved(order);
        fds.kvm = sys::open("/dev/null", O_RDWR).value();
        order.start.sgx = sgx;
        fds.spill = std::move(spill);
        fds.epc = std::move(epc);
        fds.provision = std::move(provision);
        fds.disks = std::move(disks);
        fds.networks = std::move(streams);
        auto attestor_pair = sys::socket_pair(SOCK_SEQPACKET).value();
        fds.attestor = std::move(attestor_pair.first);
        attestor = Channel(std::move(attestor_pair.second));
        auto kill_pipe = sys::pipe().value();
        kill_reader = std::move(kill_pipe.first);
        fds.vmm_kill = std::move(kill_pipe.second);
        attestor_thread = std::thread([this] {
            const auto message = attestor.receive();  // or the shim gives up first
            if (!message) return;
            measured =
                api::decode<api::attestor::Measured>(api::open_envelope(message->data).value()).value();
            attestor
                .send(api::encode(
                    api::attestor::Sealed{.request = measured.request, .reserved = {}, .token = {7}}))
                .value();
        });
        keeper = Shim::create(*loop, std::move(order), work, [this] { released = true; }).value();
        if (daemon_uid == ::getuid()) connect();
    }

    virtual void make_carved(api::start::Order&) {}

    // An attestor that was restarted: takes the next shim that comes, and answers its request with a message.
    Channel restart_attestor(const std::function<Bytes(const api::Envelope&)>& answer) {
        const auto listener = sys::unix_listen(folder / "shims.sock", SOCK_SEQPACKET, 0600).value();
        EXPECT_TRUE(sys::set_non_blocking(listener, true));
        Channel shim_end;
        EXPECT_TRUE(turn_until([&] {
            auto socket = sys::accept(listener);
            if (socket) shim_end = Channel(std::move(*socket));
            return socket.has_value();
        }));
        EXPECT_TRUE(api::exchange_hello(shim_end, api::Protocol::Attestor, api::attestor::kVersions));
        const auto request = shim_end.receive_within(kPatience).value();
        EXPECT_TRUE(shim_end.send(answer(api::open_envelope(request.data).value())));
        return shim_end;
    }

    void connect() {
        daemon = Channel(sys::unix_connect(folder / "shim.sock", SOCK_SEQPACKET).value());
        ASSERT_TRUE(sys::set_non_blocking(daemon.fd(), true));
        ASSERT_TRUE(daemon.send(api::encode_hello(api::Protocol::Shim, shim::kVersions)));
        const auto hello = next();
        ASSERT_TRUE(
            api::accept_hello(api::open_envelope(hello.data).value(), api::Protocol::Shim, shim::kVersions));
    }
    void attach() { ask(shim::Attach{.request = 1, .reserved = {}}); }
    template <typename T>
    void ask(const T& request, const std::vector<int>& descriptors = {}) {
        ASSERT_TRUE(daemon.send(api::encode(request), descriptors));
    }

    bool turn_until(const std::function<bool()>& condition) {
        const auto deadline = std::chrono::steady_clock::now() + kPatience;
        while (!condition()) {
            if (std::chrono::steady_clock::now() > deadline) return false;
            loop->run_once(std::chrono::milliseconds(10)).value();
        }
        return true;
    }
    // The next message to the daemon; an empty one when none comes.
    Channel::Message next() {
        Channel::Message message;
        turn_until([&] {
            auto received = daemon.receive();
            if (received) message = std::move(*received);
            return received.has_value() || received.error().code() == ErrorCode::ConnectionLost;
        });
        return message;
    }
    template <typename T>
    Channel::Message next_of() {
        while (true) {
            auto message = next();
            const auto envelope = api::open_envelope(message.data);
            if (!envelope || envelope->type == T::kType) return message;
        }
    }
    shim::State state_at(Phase phase, std::string* detail = nullptr) {
        while (true) {
            const auto message = next_of<shim::State>();
            const auto envelope = api::open_envelope(message.data);
            if (!envelope) return {};  // nothing came
            const auto state = api::decode_with_tail<shim::State>(*envelope).value();
            if (detail != nullptr) *detail = as_text(state.tail);
            if (shim::phase_from(state.body.phase) == phase) return state.body;
        }
    }
    // The request that was done next.
    uint32_t next_done() {
        const auto message = next_of<shim::Done>();
        const auto envelope = api::open_envelope(message.data);
        return envelope ? uint32_t{api::decode<shim::Done>(*envelope)->request} : 0;
    }
    ErrorCode next_failure() {
        const auto message = next_of<api::Failed>();
        const auto envelope = api::open_envelope(message.data);
        return envelope ? api::decode_failed(*envelope)->error.code() : ErrorCode{};
    }
};

inline StopReason reason_of(const shim::State& state) {
    return static_cast<StopReason>(static_cast<uint16_t>(state.reason));
}

}  // namespace alcove::enclave

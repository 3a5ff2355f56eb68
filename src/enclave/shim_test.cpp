// SPDX-License-Identifier: Apache-2.0
//
// A whole shim, with a real child process that plays the VMM, a thread that plays the attestor, real images,
// and this test as alcoved. Nothing here needs root or KVM.
#include "enclave/shim.hpp"

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

namespace alcove::enclave {
namespace {

using api::StopReason;
using api::shim::Phase;
namespace shim = api::shim;
namespace vmm = api::vmm;

constexpr std::chrono::seconds kPatience(10);

// What a fake VMM does once it has its orders; its return value is its exit code.
using VmmPlay = std::function<int(const Channel& channel, vmm::LaunchOrder& order)>;

int play_vmm(const Channel& channel, const VmmPlay& play) {
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
int play_lives(const Channel& shim, const VmmPlay& play) {
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

void say_started(const Channel& channel) {
    channel
        .send(api::encode(
            vmm::Started{.launch_received_ns = 1, .image_loaded_ns = 2, .first_instruction_ns = 3}))
        .value();
}

void say_stopped(const Channel& channel, StopReason reason, std::string_view detail) {
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

int serve_until_stop(const Channel& channel, vmm::LaunchOrder&) {
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
        order.start.page_size = api::kSmallPage;
        order.start.daemon_uid = daemon_uid;
        order.start.memory_bytes = memory_bytes;
        order.start.image_size = image.size;
        order.start.guest_cid = role == api::VmRole::Primary ? api::kParentCid : 16;
        order.start.role = static_cast<uint32_t>(role);
        order.start.disk_count = static_cast<uint32_t>(disks.size());
        order.start.attestor_socket = api::TextField<108>::of((folder / "shims.sock").string());
        auto& fds = order.descriptors;
        fds.vmm_pidfd = start_vmm(play, fds.vmm_channel, fds.vmm_log);
        order.start.vmm_pid = static_cast<uint32_t>(vmm_pid);
        fds.daemon_listener = sys::unix_listen(folder / "shim.sock", SOCK_SEQPACKET, 0600).value();
        fds.connect_listener = sys::unix_listen(folder / "connect.sock", SOCK_STREAM, 0600).value();
        fds.folder = sys::open(folder, O_PATH | O_DIRECTORY).value();
        fds.image = sys::duplicate(image.file.get()).value();
        fds.kvm = sys::open("/dev/null", O_RDWR).value();
        fds.disks = std::move(disks);
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
    void ask(const T& request) {
        ASSERT_TRUE(daemon.send(api::encode(request)));
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
    ErrorCode next_failure() {
        const auto message = next_of<api::Failed>();
        const auto envelope = api::open_envelope(message.data);
        return envelope ? api::decode_failed(*envelope)->error.code() : ErrorCode{};
    }
};

StopReason reason_of(const shim::State& state) {
    return static_cast<StopReason>(static_cast<uint16_t>(state.reason));
}

TEST_F(ShimTest, AnEnclaveIsMeasuredLaunchedAndStoppedInOrder) {
    start(serve_until_stop);
    attach();

    const auto running = state_at(Phase::Running);
    ask(shim::Stop{.request = 2, .force_after_ms = 5000});
    next_of<shim::Done>();
    std::string detail;
    const auto ended = state_at(Phase::Ended, &detail);
    attestor_thread.join();

    EXPECT_EQ(running.pcr0, image.measurements.pcr0);
    EXPECT_EQ(measured.pcr0, image.measurements.pcr0);
    EXPECT_EQ(measured.pcr1, image.measurements.pcr1);
    EXPECT_EQ(measured.pcr2, image.measurements.pcr2);
    EXPECT_EQ(measured.pcr8, eif::kZeroPcr);
    EXPECT_EQ(running.first_instruction_ns, 3U);
    EXPECT_GE(running.measured_ns, running.begun_ns);
    EXPECT_EQ(reason_of(ended), StopReason::HostRequest);
    EXPECT_EQ(detail, "as you wish");
    EXPECT_EQ(ended.exit_status, 0U);
}

TEST_F(ShimTest, TheVmmGetsWhatItNeedsAndNothingItCouldChange) {
    start([this](const Channel& channel, vmm::LaunchOrder& order) {
        say_started(channel);
        const auto& launch = order.launch;
        Bytes begin(4);
        const bool image_is_there =
            sys::read_exact_at(order.descriptors.image, begin, 0).has_value() && as_text(begin) == ".eif";
        const bool image_is_fixed = !sys::write_all_at(order.descriptors.image, as_byte_view("x"), 0);
        const bool ram_is_there = sys::file_size(order.descriptors.ram).value() == launch.memory_bytes &&
                                  sys::write_all_at(order.descriptors.ram, as_byte_view("x"), 0).has_value();
        int listening = 0;
        socklen_t length = sizeof listening;
        ::getsockopt(order.descriptors.connect_socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &length);
        const bool numbers =
            launch.image_size == image.size && launch.guest_cid == 16 && launch.vcpu_count == 1;
        const bool all = image_is_there && image_is_fixed && ram_is_there && listening == 1 && numbers &&
                         !order.descriptors.console_ring.is_open() && order.descriptors.attestor.is_open();
        say_stopped(channel, StopReason::PowerOff, all ? "all there" : "something is missing");
        return 0;
    });
    attach();

    std::string detail;
    state_at(Phase::Ended, &detail);

    EXPECT_EQ(detail, "all there");
}

TEST_F(ShimTest, ReadyAndTheApplicationsExitAreTold) {
    start([](const Channel& channel, vmm::LaunchOrder&) {
        say_started(channel);
        channel.send(api::encode(vmm::Ready{.time_ns = 50, .answered_by = 2, .reserved = {}})).value();
        channel.send(api::encode(vmm::AppExit{.time_ns = 60, .kind = 1, .value = 42})).value();
        ::pause();
        return 0;
    });
    attach();

    auto ready = state_at(Phase::Ready);
    while (ready.app_exit_kind == 0 && ready.ready_ns != 0)
        ready = state_at(Phase::Ready);

    EXPECT_EQ(ready.app_exit_value, 42U);
    EXPECT_EQ(ready.ready_ns, 50U);
    EXPECT_EQ(ready.ready_answered_by, 2U);
}

TEST_F(ShimTest, ACrashIsTellingWithSignalAndLastWords) {
    start([](const Channel& channel, vmm::LaunchOrder&) {
        say_started(channel);
        sys::write_all(Fd(::dup(2)), as_byte_view("first\ncheck failed: ring index\n")).value();
        ::raise(SIGKILL);
        return 0;
    });
    attach();

    std::string detail;
    const auto ended = state_at(Phase::Ended, &detail);

    EXPECT_EQ(reason_of(ended), StopReason::VmmCrashed);
    EXPECT_EQ(ended.exit_status, 128U + SIGKILL);
    EXPECT_NE(detail.find("signal 9"), std::string::npos);
    EXPECT_NE(detail.find("check failed: ring index"), std::string::npos);
}

TEST_F(ShimTest, LastWordsAreNotLostToTheEndOfTheProcess) {
    start([](const Channel& channel, vmm::LaunchOrder&) {
        say_started(channel);
        say_stopped(channel, StopReason::TripleFault, "at once");
        return 0;
    });
    attach();

    EXPECT_EQ(reason_of(state_at(Phase::Ended)), StopReason::TripleFault);
}

TEST_F(ShimTest, ABadImageIsNeverSeenByTheVmm) {
    ASSERT_TRUE(sys::write_all_at(image.file, as_byte_view("!"), image.size - 5));
    start([](const Channel&, vmm::LaunchOrder&) { return 77; });
    attach();

    const auto ended = state_at(Phase::Ended);

    EXPECT_EQ(reason_of(ended), StopReason::LaunchFailed);
    EXPECT_EQ(ended.error_code, static_cast<uint32_t>(ErrorCode::ImageCrc));
    EXPECT_NE(ended.exit_status, 77U);
    EXPECT_EQ(attestor.receive_within(kPatience).error().code(), ErrorCode::ConnectionLost);
}

TEST_F(ShimTest, TooLittleMemoryIsALaunchFailure) {
    memory_bytes = api::kMaxMemoryBytes;
    start(serve_until_stop);
    attach();

    const auto ended = state_at(Phase::Ended);

    EXPECT_EQ(reason_of(ended), StopReason::LaunchFailed);
    EXPECT_EQ(ended.error_code, static_cast<uint32_t>(ErrorCode::NoFreeMemory));
}

TEST_F(ShimTest, AnAttestorThatRefusesIsALaunchFailure) {
    work.seal = [](const Channel&, const ImageFacts&,
                   const std::atomic<bool>&) -> Result<api::attestor::ResumeToken> {
        return fail(ErrorCode::KeyInvalid, "no key");
    };
    start(serve_until_stop);
    attach();

    std::string detail;
    const auto ended = state_at(Phase::Ended, &detail);

    EXPECT_EQ(ended.error_code, static_cast<uint32_t>(ErrorCode::KeyInvalid));
    EXPECT_EQ(detail, "sealing the measurements: no key");
}

TEST_F(ShimTest, AVmmThatRefusesTheMachineIsALaunchFailure) {
    start([](const Channel& channel, vmm::LaunchOrder&) {
        channel.send(api::encode_failed(0, Error(ErrorCode::KernelInvalid, "no kernel"))).value();
        return 1;
    });
    attach();

    EXPECT_EQ(state_at(Phase::Ended).error_code, static_cast<uint32_t>(ErrorCode::KernelInvalid));
}

TEST_F(ShimTest, AVmmThatTalksNonsenseIsKilled) {
    start([](const Channel& channel, vmm::LaunchOrder&) {
        say_started(channel);
        channel.send(Bytes(100, 0xff)).value();
        ::pause();
        return 0;
    });
    attach();

    std::string detail;
    const auto ended = state_at(Phase::Ended, &detail);

    EXPECT_EQ(reason_of(ended), StopReason::VmmCrashed);
    EXPECT_EQ(ended.exit_status, 128U + SIGKILL);
    EXPECT_NE(detail.find("broke the protocol"), std::string::npos);
    Bytes switched(1);
    ASSERT_TRUE(sys::read_exact(kill_reader, switched));
    EXPECT_EQ(as_text(switched), "1");
}

TEST_F(ShimTest, AVmmThatSendsDescriptorsIsKilled) {
    start([](const Channel& channel, vmm::LaunchOrder&) {
        channel.send(api::encode(vmm::Started{}), {0}).value();
        ::pause();
        return 0;
    });
    attach();

    EXPECT_EQ(reason_of(state_at(Phase::Ended)), StopReason::VmmCrashed);
}

TEST_F(ShimTest, AVmmThatDoesNotStopIsKilledInTime) {
    start([](const Channel& channel, vmm::LaunchOrder&) {
        say_started(channel);
        ::pause();
        return 0;
    });
    attach();
    state_at(Phase::Running);

    ask(shim::Stop{.request = 2, .force_after_ms = 50});

    EXPECT_EQ(reason_of(state_at(Phase::Ended)), StopReason::Killed);
}

TEST_F(ShimTest, StoppingDuringPreparationLeavesNothing) {
    work.take_image = [](const Fd&, const ImageIntake&,
                         const std::atomic<bool>& cancelled) -> Result<TakenImage> {
        while (!cancelled)
            ::usleep(1000);
        return fail(ErrorCode::Cancelled, "cancelled");
    };
    start(serve_until_stop);
    attach();
    state_at(Phase::Copying);

    ask(shim::Stop{.request = 2, .force_after_ms = 5000});

    EXPECT_EQ(reason_of(state_at(Phase::Ended)), StopReason::HostRequest);
}

TEST_F(ShimTest, HostPortsAreOpenedForTheEnclave) {
    const auto listener = sys::unix_listen(folder / "port-7000.sock", SOCK_STREAM, 0600).value();
    start([](const Channel& channel, vmm::LaunchOrder&) {
        say_started(channel);
        channel.send(api::encode(vmm::OpenPort{.request = 1, .port = 7000})).value();
        channel.send(api::encode(vmm::OpenPort{.request = 2, .port = 7001})).value();
        Channel::Message message;
        const auto first = wait_for<vmm::OpenPortReply>(channel, message);
        const bool connected =
            first.request == 1 && first.port == 7000 && first.status == 0 &&
            message.descriptors.size() == 1 &&
            sys::write_all(message.descriptors[0], as_byte_view("from inside")).has_value();
        const auto second = wait_for<vmm::OpenPortReply>(channel, message);
        const bool refused = second.request == 2 && second.status == 1 && message.descriptors.empty();
        say_stopped(channel, StopReason::PowerOff, connected && refused ? "good" : "bad");
        return 0;
    });
    attach();

    std::string detail;
    state_at(Phase::Ended, &detail);
    const auto accepted = sys::accept(listener).value();
    Bytes received(11);
    ASSERT_TRUE(sys::read_exact(accepted, received));

    EXPECT_EQ(detail, "good");
    EXPECT_EQ(as_text(received), "from inside");
}

TEST_F(ShimTest, CountersComeFromTheVmm) {
    start([](const Channel& channel, vmm::LaunchOrder&) {
        say_started(channel);
        Channel::Message message;
        const auto request = wait_for<vmm::StatisticsRequest>(channel, message);
        const vmm::StatisticsEntry entries[] = {{.id = 7, .index = 0, .value = 1234}};
        channel.send(vmm::encode_statistics(request.request, entries)).value();
        wait_for<vmm::Stop>(channel, message);
        return 0;
    });
    attach();
    state_at(Phase::Running);

    ask(shim::StatisticsRequest{.request = 91, .reserved = {}});
    const auto message = next_of<shim::Statistics>();
    const auto reply = vmm::decode_statistics(api::open_envelope(message.data).value()).value();

    EXPECT_EQ(reply.request, 91U);
    ASSERT_EQ(reply.entries.size(), 1U);
    EXPECT_EQ(reply.entries[0].value, 1234U);
}

TEST_F(ShimTest, CountersOfAVmmThatDiesAreAFailureNotASilence) {
    start([](const Channel& channel, vmm::LaunchOrder&) {
        say_started(channel);
        Channel::Message message;
        wait_for<vmm::StatisticsRequest>(channel, message);
        return 3;
    });
    attach();
    state_at(Phase::Running);

    ask(shim::StatisticsRequest{.request = 91, .reserved = {}});

    EXPECT_EQ(next_failure(), ErrorCode::EnclaveDied);
}

TEST_F(ShimTest, TheConsoleOutlivesTheEnclaveInDebugMode) {
    flags = api::start::Start::kDebug;
    start([](const Channel& channel, vmm::LaunchOrder& order) {
        say_started(channel);
        api::ConsoleRingWriter::open(order.descriptors.console_ring)
            .value()
            .write(as_byte_view("Linux version\n"));
        say_stopped(channel, StopReason::PowerOff, "");
        return 0;
    });
    attach();
    state_at(Phase::Ended);

    ask(shim::Console{.request = 3, .reserved = {}});
    const auto message = next_of<shim::ConsoleRing>();

    ASSERT_EQ(message.descriptors.size(), 1U);
    EXPECT_EQ(::fcntl(message.descriptors[0].get(), F_GETFL) & O_ACCMODE, O_RDONLY);
    auto reader = api::ConsoleRingReader::open(message.descriptors[0]).value();
    EXPECT_EQ(as_text(reader.read().data), "Linux version\n");
}

TEST_F(ShimTest, WithoutDebugModeThereIsNoConsole) {
    start(serve_until_stop);
    attach();

    ask(shim::Console{.request = 3, .reserved = {}});

    EXPECT_EQ(next_failure(), ErrorCode::EnclaveNotDebug);
}

TEST_F(ShimTest, ADaemonThatComesBackFindsEverything) {
    start(serve_until_stop);
    attach();
    state_at(Phase::Running);
    daemon.release();  // the daemon dies
    turn_until([] { return true; });

    connect();
    attach();
    const auto found = state_at(Phase::Running);
    ask(shim::GetPidfd{.request = 4, .reserved = {}});
    const auto message = next_of<shim::Pidfd>();

    EXPECT_EQ(found.request, 1U);
    EXPECT_EQ(found.pcr0, image.measurements.pcr0);
    EXPECT_EQ(found.vmm_pid, static_cast<uint32_t>(vmm_pid));
    EXPECT_EQ(message.descriptors.size(), 1U);
}

TEST_F(ShimTest, OnlyTheNewestConnectionIsServed) {
    start(serve_until_stop);
    attach();
    state_at(Phase::Running);
    const Channel former = std::move(daemon);

    connect();
    attach();
    state_at(Phase::Running);

    Result<Channel::Message> last = former.receive();
    while (last)
        last = former.receive();
    EXPECT_EQ(last.error().code(), ErrorCode::ConnectionLost);
}

TEST_F(ShimTest, SomebodyElseIsTurnedAway) {
    daemon_uid = ::getuid() + 1;
    work.take_image = [](const Fd&, const ImageIntake&, const std::atomic<bool>&) -> Result<TakenImage> {
        return fail(ErrorCode::Internal, "not in this test");
    };
    start(serve_until_stop);

    const Channel stranger(sys::unix_connect(folder / "shim.sock", SOCK_SEQPACKET).value());
    turn_until([this] { return keeper->lifecycle().has_ended(); });

    EXPECT_EQ(stranger.receive().error().code(), ErrorCode::ConnectionLost);
}

TEST_F(ShimTest, ReleaseHasToWaitForTheEnd) {
    start(serve_until_stop);
    attach();
    state_at(Phase::Running);

    ask(shim::Release{.request = 5, .reserved = {}});
    EXPECT_EQ(next_failure(), ErrorCode::Busy);
    ask(shim::Stop{.request = 6, .force_after_ms = 5000});
    state_at(Phase::Ended);
    EXPECT_FALSE(released);
    ask(shim::Release{.request = 7, .reserved = {}});
    next_of<shim::Done>();

    EXPECT_TRUE(turn_until([this] { return released; }));
}

TEST_F(ShimTest, AnUnknownRequestClosesTheConnectionAndNothingElse) {
    start(serve_until_stop);
    attach();
    state_at(Phase::Running);

    ASSERT_TRUE(daemon.send(api::encode_raw(999, {}, {})));
    while (!next().data.empty())
        continue;
    connect();
    attach();

    EXPECT_EQ(state_at(Phase::Running).vmm_pid, static_cast<uint32_t>(vmm_pid));
}

TEST_F(ShimTest, AWholeLifeLeaksNoDescriptor) {
    const auto open_descriptors = [] {
        return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
    };
    const auto live = [this] {
        start(serve_until_stop);
        attach();
        state_at(Phase::Running);
        ask(shim::Stop{.request = 2, .force_after_ms = 5000});
        state_at(Phase::Ended);
        keeper.reset();
        attestor_thread.join();
        daemon = Channel();
        attestor = Channel();
        kill_reader = Fd();
    };
    live();
    const auto before = open_descriptors();

    for (int i = 0; i < 5; ++i)
        live();

    EXPECT_EQ(open_descriptors(), before);
}

TEST_F(ShimTest, WhatAnEndedEnclaveHadIsGivenBackBeforeItIsReleased) {
    start(serve_until_stop);
    attach();
    state_at(Phase::Running);
    ask(shim::Stop{.request = 2, .force_after_ms = 5000});
    state_at(Phase::Ended);

    EXPECT_EQ(attestor.receive_within(kPatience).error().code(), ErrorCode::ConnectionLost);
    EXPECT_FALSE(sys::unix_connect(folder / "connect.sock", SOCK_STREAM));
}

TEST_F(ShimTest, AVmmGetsAnotherLineWhenTheAttestorIsBack) {
    start([](const Channel& channel, vmm::LaunchOrder& order) {
        say_started(channel);
        order.descriptors.attestor.reset();
        channel.send(api::encode(vmm::AttestorLost{})).value();
        Channel::Message message;
        const auto line = wait_for<vmm::AttestorLine>(channel, message);
        const bool resumed = line.status == 0 && message.descriptors.size() == 1;
        const bool usable =
            resumed && Channel(std::move(message.descriptors[0])).send(as_byte_view("from the VMM"));
        say_stopped(channel, StopReason::PowerOff, usable ? "good" : "bad");
        return 0;
    });
    attach();
    state_at(Phase::Running);

    api::attestor::Resume asked{};
    const auto vm = restart_attestor([&](const api::Envelope& request) {
        asked = api::decode<api::attestor::Resume>(request).value();
        return api::encode(api::attestor::Done{.request = asked.request, .reserved = {}});
    });
    std::string detail;
    state_at(Phase::Ended, &detail);

    EXPECT_EQ(asked.token[0], 7U) << "the token that it got when it sealed";
    EXPECT_EQ(detail, "good");
    EXPECT_EQ(as_text(vm.receive_within(kPatience)->data), "from the VMM");
}

TEST_F(ShimTest, AVmmIsToldWhenTheAttestorKnowsItNoMore) {
    start([](const Channel& channel, vmm::LaunchOrder&) {
        say_started(channel);
        channel.send(api::encode(vmm::AttestorLost{})).value();
        Channel::Message message;
        const auto line = wait_for<vmm::AttestorLine>(channel, message);
        const bool gone = line.status == 1 && message.descriptors.empty();
        say_stopped(channel, StopReason::PowerOff, gone ? "gone" : "bad");
        return 0;
    });
    attach();
    state_at(Phase::Running);

    restart_attestor(
        [](const api::Envelope&) { return api::encode_failed(1, Error(ErrorCode::NotFound, "no such VM")); });
    std::string detail;
    state_at(Phase::Ended, &detail);

    EXPECT_EQ(detail, "gone");
}

TEST_F(ShimTest, AVmmThatFloodsWithLostAttestorsIsKilled) {
    start([](const Channel& channel, vmm::LaunchOrder&) {
        say_started(channel);
        while (channel.send(api::encode(vmm::AttestorLost{})))
            continue;
        ::pause();
        return 0;
    });
    attach();

    std::string detail;
    const auto ended = state_at(Phase::Ended, &detail);

    EXPECT_EQ(reason_of(ended), StopReason::VmmCrashed);
    EXPECT_NE(detail.find("AttestorLost out of turn"), std::string::npos) << detail;
}

TEST_F(ShimTest, TheAttestorIsToldThatTheEnclaveHasEnded) {
    start(serve_until_stop);
    attach();
    state_at(Phase::Running);
    ask(shim::Stop{.request = 2, .force_after_ms = 5000});
    state_at(Phase::Ended);

    api::attestor::Forget asked{};
    restart_attestor([&](const api::Envelope& request) {
        asked = api::decode<api::attestor::Forget>(request).value();
        return api::encode(api::attestor::Done{.request = asked.request, .reserved = {}});
    });

    EXPECT_EQ(asked.token[0], 7U);
}

TEST_F(ShimTest, TheVmmDoesNotOutliveItsShim) {
    start(serve_until_stop);
    attach();
    state_at(Phase::Running);
    const auto pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, vmm_pid, 0)));

    keeper.reset();

    siginfo_t info{};
    ASSERT_EQ(::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd.get()), &info, WEXITED), 0);
    EXPECT_EQ(info.si_status, SIGKILL);
}

// Says on its console what it finds in its memory, and writes there; its first life resets, the second ends.
int live_twice(const Channel& channel, vmm::LaunchOrder& order) {
    say_started(channel);
    auto console = api::ConsoleRingWriter::open(order.descriptors.console_ring).value();
    Bytes memory(1);
    sys::read_exact_at(order.descriptors.ram, memory, 0).value();
    sys::write_all_at(order.descriptors.ram, as_byte_view("x"), 0).value();
    Bytes on_disk(5);
    sys::read_exact_at(order.descriptors.disks.at(0), on_disk, 0).value();
    const bool second = as_text(on_disk) == "lived";
    sys::write_all_at(order.descriptors.disks.at(0), as_byte_view("lived"), 0).value();
    const bool whole = !order.descriptors.attestor.is_open() && order.launch.guest_cid == api::kParentCid;
    const std::string words = std::string(second ? "second" : "first") +
                              (memory[0] == 0 ? " fresh" : " used") + (whole ? "\n" : " wrong\n");
    console.write(as_byte_view(words));
    say_stopped(channel, second ? StopReason::PowerOff : StopReason::I8042Reset, "");
    return second ? 0 : 7;
}

TEST_F(ShimTest, APrimaryVmLivesAgainWithFreshMemoryAndTheSameDisk) {
    role = api::VmRole::Primary;
    auto disk = sys::memfd("disk").value();
    ASSERT_TRUE(sys::truncate(disk, 1_MiB));
    disks.push_back(std::move(disk));
    start(live_twice);
    attach();

    const auto ended = state_at(Phase::Ended);
    ask(shim::Console{.request = 9, .reserved = {}});
    const auto given = next_of<shim::ConsoleRing>();

    EXPECT_EQ(reason_of(ended), StopReason::PowerOff);
    EXPECT_EQ(ended.restarts, 1U);
    EXPECT_EQ(ended.vmm_pid, 4711U);
    EXPECT_EQ(ended.exit_status, 0U);
    EXPECT_EQ(ended.flags & shim::State::kMeasured, 0U);
    ASSERT_EQ(given.descriptors.size(), 1U);
    auto reader = api::ConsoleRingReader::open(given.descriptors[0]).value();
    EXPECT_EQ(as_text(reader.read().data), "first fresh\nsecond fresh\n");
}

TEST_F(ShimTest, APrimaryVmIsStoppedInOrder) {
    role = api::VmRole::Primary;
    start(serve_until_stop);
    attach();

    state_at(Phase::Running);
    ask(shim::Stop{.request = 2, .force_after_ms = 5000});
    std::string detail;
    const auto ended = state_at(Phase::Ended, &detail);

    EXPECT_EQ(reason_of(ended), StopReason::HostRequest);
    EXPECT_EQ(detail, "as you wish");
}

}  // namespace
}  // namespace alcove::enclave

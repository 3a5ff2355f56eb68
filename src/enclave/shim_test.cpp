// SPDX-License-Identifier: Apache-2.0
#include <future>

#include "enclave/shim_for_tests.hpp"

namespace alcove::enclave {
namespace {

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

TEST_F(ShimTest, WhatTheImageSaysOfItselfIsToldToEachAlcoved) {
    start(serve_until_stop);
    attach();
    const auto told = [this] {
        const auto message = next_of<shim::ImageMetadata>();
        const auto envelope = api::open_envelope(message.data);
        return envelope ? std::string(as_text(api::decode_with_tail<shim::ImageMetadata>(*envelope)->tail))
                        : "";
    };
    EXPECT_EQ(told(), "{}");

    connect();
    attach();

    EXPECT_EQ(told(), "{}");
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
    work.seal = [](const Channel&, const ImageFacts&, uint32_t,
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

    attestor_thread.join();
    EXPECT_EQ(measured.flags, api::attestor::Measured::kDebug) << "its documents do not say what runs in it";
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

TEST_F(ShimTest, AReleaseThatFollowsAStopWaitsForTheEnd) {
    start(serve_until_stop);
    attach();
    state_at(Phase::Running);

    ask(shim::Stop{.request = 6, .force_after_ms = 0});
    ask(shim::Release{.request = 7, .reserved = {}});
    next_of<shim::Done>();
    next_of<shim::Done>();

    EXPECT_TRUE(keeper->lifecycle().has_ended());
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

TEST_F(ShimTest, AnEnclaveThatEndsWhileItIsSealedTakesItsLeaveAllTheSame) {
    std::promise<void> sealed;
    work.seal = [&](const Channel&, const ImageFacts&, uint32_t,
                    const std::atomic<bool>&) -> Result<api::attestor::ResumeToken> {
        sealed.get_future().wait();
        return api::attestor::ResumeToken{9};
    };
    start(serve_until_stop);
    attach();
    state_at(Phase::Reserving);
    ask(shim::Stop{.request = 2, .force_after_ms = 0});
    state_at(Phase::Ended);
    ask(shim::Release{.request = 3, .reserved = {}});

    sealed.set_value();
    api::attestor::Forget asked{};
    restart_attestor([&](const api::Envelope& request) {
        EXPECT_FALSE(released);
        asked = api::decode<api::attestor::Forget>(request).value();
        return api::encode(api::attestor::Done{.request = asked.request, .reserved = {}});
    });

    EXPECT_EQ(asked.token[0], 9U);
    EXPECT_TRUE(turn_until([this] { return released; }));
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
    sys::write_all(order.descriptors.networks.at(0), as_byte_view(second ? "2" : "1")).value();
    const bool whole = !order.descriptors.attestor.is_open() && order.launch.guest_cid == api::kParentCid;
    const std::string words = std::string(second ? "second" : "first") +
                              (memory[0] == 0 ? " fresh" : " used") + (whole ? "\n" : " wrong\n");
    console.write(as_byte_view(words));
    say_stopped(channel, second ? StopReason::PowerOff : StopReason::I8042Reset, "");
    return second ? 0 : 7;
}

TEST_F(ShimTest, APrimaryVmLivesAgainWithFreshMemoryAndTheSameDiskAndNetwork) {
    role = api::VmRole::Primary;
    auto disk = sys::memfd("disk").value();
    ASSERT_TRUE(sys::truncate(disk, 1_MiB));
    disks.push_back(std::move(disk));
    auto network = sys::socket_pair(SOCK_STREAM).value();
    streams.push_back(std::move(network.first));
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
    Bytes sent(3);
    EXPECT_EQ(sys::read_some(network.second, sent)->bytes, 2U);
    EXPECT_EQ(as_text(ByteView(sent).first(2)), "12");
    EXPECT_EQ(sys::read_some(network.second, sent)->bytes, 0U) << "nobody keeps it longer than the VM";
}

// Takes the first budget that it is given and refuses the next, then resets; the second life says what it
// has.
int live_with_budgets(const Channel& channel, vmm::LaunchOrder& order) {
    say_started(channel);
    const auto size = sys::file_size(order.descriptors.spill);
    const bool has_file = size && *size == 4_MiB;
    if (order.launch.sgx.budget_mib != 1) {
        say_stopped(channel, StopReason::PowerOff,
                    std::to_string(order.launch.sgx.budget_mib) + (has_file ? " MiB, a file, " : " MiB, ") +
                        std::to_string(order.launch.sgx.balloon_mib) + " MiB wanted");
        return 0;
    }
    Channel::Message message;
    const auto first = wait_for<vmm::SgxRequest>(channel, message);
    const vmm::SgxState state{.budget_pages = static_cast<uint32_t>(256 * first.mib)};
    channel.send(vmm::encode_sgx_report(first.request, state)).value();
    const auto second = wait_for<vmm::SgxRequest>(channel, message);
    channel.send(api::encode_failed(second.request, Error(ErrorCode::SystemCall, "the disk"))).value();
    const auto third = wait_for<vmm::SgxRequest>(channel, message);
    channel.send(vmm::encode_sgx_report(third.request, {})).value();
    say_stopped(channel, StopReason::I8042Reset, "");
    return 0;
}

TEST_F(ShimTest, TheNextLifeHasTheSpillFileAndWhatWasSetOfItsEpc) {
    role = api::VmRole::Primary;
    sgx.sections[0] = {.base = api::EpcSection::kAnywhere, .size_mib = 4, .node = 0};
    sgx.flags = api::Sgx::kBalloon;
    sgx.budget_mib = 1;
    spill = sys::memfd("spill").value();
    ASSERT_TRUE(sys::truncate(spill, 4_MiB));
    start(live_with_budgets);
    attach();
    state_at(Phase::Running);
    const auto set = [this](uint32_t request, uint64_t mib,
                            vmm::SgxAction action = vmm::SgxAction::SetBudget) {
        ask(shim::SgxRequest{.request = request, .action = static_cast<uint32_t>(action), .mib = mib});
    };

    set(2, 5);
    EXPECT_EQ(next_failure(), ErrorCode::InvalidArgument) << "more than there is";
    set(3, 3);
    const auto answer = next_of<shim::SgxReport>();
    EXPECT_EQ(vmm::decode_sgx_report(api::open_envelope(answer.data).value())->state.budget_pages, 3U * 256);
    set(4, 2);
    EXPECT_EQ(next_failure(), ErrorCode::SystemCall);
    set(5, 4, vmm::SgxAction::SetBalloon);
    EXPECT_EQ(next_failure(), ErrorCode::InvalidArgument) << "nothing would be left";
    set(6, 2, vmm::SgxAction::SetBalloon);
    next_of<shim::SgxReport>();

    std::string detail;
    state_at(Phase::Ended, &detail);
    EXPECT_EQ(detail, "3 MiB, a file, 2 MiB wanted");
}

// Resets once; the second life says what it has of the processors' SGX.
int live_with_hardware_sgx(const Channel& channel, vmm::LaunchOrder& order) {
    say_started(channel);
    const auto size = [](const Fd& fd) { return std::to_string(sys::file_size(fd).value() / 1_MiB); };
    const auto& fds = order.descriptors;
    const bool is_first = sys::file_size(fds.provision).value() == 0;
    if (is_first && sys::truncate(fds.provision, 1_MiB)) {
        say_stopped(channel, StopReason::I8042Reset, "");
        return 0;
    }
    say_stopped(channel, StopReason::PowerOff, size(fds.epc.at(0)) + " " + size(fds.epc.at(1)));
    return 0;
}

TEST_F(ShimTest, TheNextLifeHasTheSameEpcOfTheHost) {
    role = api::VmRole::Primary;
    for (const uint32_t mib : {4U, 2U}) {
        sgx.sections.at(epc.size()) = {.base = api::EpcSection::kAnywhere, .size_mib = mib, .node = 0};
        epc.push_back(sys::memfd("epc").value());
        ASSERT_TRUE(sys::truncate(epc.back(), mib * 1_MiB));
    }
    sgx.flags = api::Sgx::kSgx1 | api::Sgx::kHardware | api::Sgx::kProvisionKey;
    provision = sys::memfd("provision").value();
    start(live_with_hardware_sgx);
    attach();

    std::string detail;
    EXPECT_EQ(state_at(Phase::Ended, &detail).restarts, 1U);
    EXPECT_EQ(detail, "4 2");
}

// Says in the end whom it was joined with, and that the descriptors came along.
int list_joined(const Channel& channel, vmm::LaunchOrder&) {
    say_started(channel);
    std::string joined;
    while (!joined.ends_with("4")) {
        auto message = channel.receive_within(kPatience).value();
        const auto envelope = api::open_envelope(message.data).value();
        if (const auto leave = api::decode<vmm::FabricLeave>(envelope))
            joined += " -" + std::to_string(leave->peer_cid);
        const auto peer = vmm::decode_fabric_join(envelope, std::move(message.descriptors));
        if (peer && api::FabricRing::open(peer->end.own_ring, peer->end.peer_ring))
            joined += " " + std::to_string(peer->cid);
    }
    say_stopped(channel, StopReason::PowerOff, joined);
    return 0;
}

TEST_F(ShimTest, JoinsOfTheFabricReachTheVmmBeforeAndAfterItsLaunch) {
    start(list_joined);
    attach();
    const auto join = [&](uint64_t cid) {
        auto message = shim::encode_fabric_join(
            7, {.cid = cid, .end = api::make_fabric_pair().value().first, .console_ring = {}});
        std::vector<int> descriptors;
        for (const auto& fd : message.descriptors)
            descriptors.push_back(fd.get());
        ASSERT_TRUE(daemon.send(message.data, descriptors));
    };

    join(3);
    state_at(Phase::Running);
    ask(shim::FabricLeave{.request = 8, .reserved = {}, .peer_cid = 3});
    join(4);
    std::string detail;
    state_at(Phase::Ended, &detail);
    join(5);

    EXPECT_EQ(detail, " 3 -3 4");
    EXPECT_EQ(next_failure(), ErrorCode::EnclaveDied);
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

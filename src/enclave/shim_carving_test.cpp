// SPDX-License-Identifier: Apache-2.0
//
// Primary VMs that carve, and enclaves that are carved out of one, from their shims' side.
#include "enclave/shim_for_tests.hpp"
#include "memory/memory_file_test.hpp"

namespace alcove::enclave {
namespace {

using memory::bytes_in_use;

// Writes into its memory, asks for a line and says on it what it is; until it is stopped.
int carve(const Channel& channel, vmm::LaunchOrder& order) {
    if ((order.launch.flags & vmm::Launch::kEnclaves) == 0 || order.launch.threads_per_core != 1) return 94;
    sys::write_all_at(order.descriptors.ram, as_byte_view("the primary's"), 4096).value();
    say_started(channel);
    channel.send(api::encode(vmm::NeLineWanted{})).value();
    Channel::Message message;
    wait_for<vmm::NeLine>(channel, message);
    if (message.descriptors.size() != 1) return 95;
    const Channel line(std::move(message.descriptors.front()));
    line.send(as_byte_view("a command")).value();
    (void)line.receive();  // until alcoved has gone
    channel.send(api::encode(vmm::NeLineWanted{})).value();
    wait_for<vmm::NeLine>(channel, message);
    say_stopped(channel, StopReason::PowerOff, "had two lines");
    return 0;
}

struct CarvingShimTest : ShimTest {
    CarvingShimTest() {
        role = api::VmRole::Primary;
        flags = api::start::Start::kEnclaves;
    }
    uint32_t next_wish() {
        const auto message = next_of<shim::NeLineWanted>();
        const auto envelope = api::open_envelope(message.data);
        return envelope ? uint32_t{api::decode<shim::NeLineWanted>(*envelope)->restarts} : 99;
    }
    // Our end of a line that the VMM got.
    Channel give_line(uint32_t restarts) {
        auto pair = sys::socket_pair(SOCK_SEQPACKET).value();
        ask(shim::NeLine{.request = 40, .restarts = restarts}, {pair.second.get()});
        return Channel(std::move(pair.first));
    }
};

TEST_F(CarvingShimTest, ItsVmmGetsALineToEachAlcovedThatComes) {
    start(carve);
    attach();

    EXPECT_EQ(next_wish(), 0U);  // before or behind the news that it runs
    auto line = give_line(0);
    EXPECT_EQ(next_done(), 40U);
    EXPECT_EQ(as_text(line.receive_within(kPatience)->data), "a command");
    line = Channel();
    daemon.release();
    turn_until([] { return true; });
    connect();
    attach();
    EXPECT_EQ(next_wish(), 0U);
    line = give_line(0);

    std::string detail;
    state_at(Phase::Ended, &detail);
    EXPECT_EQ(detail, "had two lines");
}

TEST_F(CarvingShimTest, AWishThatNobodyHeardIsToldToTheNextAlcoved) {
    start(carve);  // nobody is attached
    ASSERT_TRUE(turn_until([this] { return keeper->lifecycle().is_ne_line_wanted(); }));

    attach();

    EXPECT_EQ(next_wish(), 0U);
}

TEST_F(CarvingShimTest, ALineThatNoVmmWaitsForIsRefused) {
    start(carve);
    attach();
    next_wish();

    give_line(1);  // of a life that is not there
    EXPECT_EQ(next_failure(), ErrorCode::NotFound);
    const auto line = give_line(0);
    EXPECT_EQ(next_done(), 40U);
    give_line(0);  // it has one
    EXPECT_EQ(next_failure(), ErrorCode::NotFound);
}

TEST_F(CarvingShimTest, ALineIsOneDescriptor) {
    start(carve);
    attach();
    next_wish();

    ask(shim::NeLine{.request = 40, .restarts = 0});

    EXPECT_TRUE(next_of<shim::Done>().data.empty());
    const auto end = daemon.receive();
    EXPECT_TRUE(!end && end.error().code() == ErrorCode::ConnectionLost);
}

TEST_F(CarvingShimTest, AVmmThatFloodsWithWishesIsKilled) {
    start([](const Channel& channel, vmm::LaunchOrder&) {
        say_started(channel);
        while (channel.send(api::encode(vmm::NeLineWanted{})))
            continue;
        ::pause();
        return 0;
    });
    attach();

    std::string detail;
    const auto ended = state_at(Phase::Ended, &detail);

    EXPECT_EQ(reason_of(ended), StopReason::VmmCrashed);
    EXPECT_NE(detail.find("NeLineWanted out of turn"), std::string::npos) << detail;
}

TEST_F(CarvingShimTest, ItsMemoryIsGivenWhileItRuns) {
    start(carve);
    attach();
    next_wish();

    ask(shim::GetRam{.request = 41, .reserved = {}});
    const auto message = next_of<shim::Ram>();
    const auto ram = api::decode<shim::Ram>(api::open_envelope(message.data).value()).value();

    EXPECT_EQ(ram.request, 41U);
    EXPECT_EQ(ram.bytes, memory_bytes);
    EXPECT_EQ(ram.page_size, api::kSmallPage);
    ASSERT_EQ(message.descriptors.size(), 1U);
    Bytes content(13);
    ASSERT_TRUE(sys::read_exact_at(message.descriptors[0], content, 4096));
    EXPECT_EQ(as_text(content), "the primary's");
    EXPECT_EQ(::fcntl(message.descriptors[0].get(), F_GETFL) & O_ACCMODE, O_RDWR);
}

TEST_F(CarvingShimTest, TheMemoryOfAFormerLifeIsGoneForWhoeverHasItStill) {
    auto disk = sys::memfd("disk").value();
    ASSERT_TRUE(sys::truncate(disk, 1_MiB));
    disks.push_back(std::move(disk));
    start([](const Channel& channel, vmm::LaunchOrder& order) {
        Bytes lives(1);
        sys::read_exact_at(order.descriptors.disks[0], lives, 0).value();
        if (lives[0] != 0) return serve_until_stop(channel, order);
        say_started(channel);
        lives[0] = 1;
        sys::write_all_at(order.descriptors.disks[0], lives, 0).value();
        Channel::Message message;
        channel.send(api::encode(vmm::NeLineWanted{})).value();
        wait_for<vmm::NeLine>(channel, message);
        say_stopped(channel, StopReason::I8042Reset, "");
        return 0;
    });
    attach();
    next_wish();
    ask(shim::GetRam{.request = 41, .reserved = {}});
    const auto former = next_of<shim::Ram>();
    ASSERT_EQ(former.descriptors.size(), 1U);
    EXPECT_GT(sys::stat(former.descriptors[0])->st_blocks, 0);

    give_line(0);
    EXPECT_EQ(state_at(Phase::Running).restarts, 1U);

    EXPECT_EQ(sys::stat(former.descriptors[0])->st_blocks, 0);
    give_line(0);
    EXPECT_EQ(next_failure(), ErrorCode::NotFound) << "that life is over";
    ask(shim::GetRam{.request = 42, .reserved = {}});
    EXPECT_EQ(next_of<shim::Ram>().descriptors.size(), 1U);
}

TEST_F(ShimTest, OnlyAPrimaryVmThatCarvesGivesItsMemory) {
    start(serve_until_stop);
    attach();
    state_at(Phase::Running);

    ask(shim::GetRam{.request = 41, .reserved = {}});
    EXPECT_EQ(next_failure(), ErrorCode::InvalidArgument);
    ask(shim::AddMemory{});
    EXPECT_EQ(next_failure(), ErrorCode::InvalidArgument);
    ask(shim::Begin{});
    EXPECT_EQ(next_failure(), ErrorCode::InvalidArgument);
    ask(shim::GiveBack{});
    EXPECT_EQ(next_failure(), ErrorCode::InvalidArgument);
}

// ---- A carved enclave ----

struct CarvedShimTest : ShimTest {
    static constexpr uint64_t kParentBytes = 64_MiB;
    static constexpr uint64_t kAll = 32_MiB;  // of the enclave, as a rule
    Fd parent = sys::memfd("parent").value();

    CarvedShimTest() {
        flags = api::start::Start::kCarved;
        memory_bytes = 48_MiB;
        image = make_test_image(3'000'000);
        EXPECT_TRUE(sys::truncate(parent, kParentBytes));
        EXPECT_TRUE(sys::allocate(parent, 0, 0, kParentBytes));
        EXPECT_TRUE(sys::write_all_at(parent, Bytes(kParentBytes, 0x77), 0));
        // Memory of 16 MiB at 32 MiB comes first, that at 16 MiB second: the image is in the first.
        EXPECT_TRUE(sys::write_all_at(parent, image_bytes(), 32_MiB + 8_MiB));
    }
    Bytes image_bytes() const {
        Bytes bytes(image.size);
        sys::read_exact_at(image.file, bytes, 0).value();
        return bytes;
    }
    void make_carved(api::start::Order& order) override {
        order.start.vcpu_count = 0;
        order.start.threads_per_core = 0;
        order.start.image_size = 0;
        order.start.guest_cid = 0;
        order.descriptors.image = sys::duplicate(parent.get()).value();
    }
    void add(uint64_t parent_offset, uint64_t size, uint64_t enclave_offset, uint32_t request = 50) {
        ask(shim::AddMemory{.request = request,
                            .reserved = {},
                            .parent_offset = parent_offset,
                            .size = size,
                            .enclave_offset = enclave_offset});
    }
    void add_all() {
        add(32_MiB, 16_MiB, 0, 51);
        EXPECT_EQ(next_done(), 51U);
        add(16_MiB, 16_MiB, 16_MiB, 52);
        EXPECT_EQ(next_done(), 52U);
    }
    static shim::Begin good_begin() {
        return {.request = 60,
                .flags = 0,
                .vcpu_count = 2,
                .threads_per_core = 2,
                .guest_cid = 17,
                .memory_bytes = kAll};
    }
    // Of the enclave's memory, which the shim has open in this process.
    static uint64_t bytes_of_its_own() {
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
            if (std::filesystem::read_symlink(entry.path()).string().starts_with("/memfd:alcove-ram"))
                return bytes_in_use(sys::open(entry.path(), O_RDONLY).value());
        return 0;
    }
    void give_back(uint32_t request = 70) { ask(shim::GiveBack{.request = request, .reserved = {}}); }
    void expect_all_given_back() {
        EXPECT_EQ(bytes_in_use(parent), kParentBytes);
        Bytes content(kAll);
        sys::read_exact_at(parent, content, 16_MiB).value();
        EXPECT_EQ(content, Bytes(kAll, 0));
        Bytes other(16_MiB);
        sys::read_exact_at(parent, other, 0).value();
        EXPECT_EQ(other, Bytes(16_MiB, 0x77)) << "what was not the enclave's is as it was";
    }
};

TEST_F(CarvedShimTest, GathersIsMeasuredRunsAndGivesBack) {
    start([this](const Channel& channel, vmm::LaunchOrder& order) {
        const auto& launch = order.launch;
        const bool numbers = launch.flags == vmm::Launch::kCarved && launch.vcpu_count == 2 &&
                             launch.threads_per_core == 2 && launch.guest_cid == 17 &&
                             launch.memory_bytes == kAll && launch.image_size == image.size;
        Bytes memory(kAll);
        sys::read_exact_at(order.descriptors.ram, memory, 0).value();
        const uint64_t in_use = bytes_in_use(order.descriptors.ram) + bytes_in_use(order.descriptors.image);
        const bool clear = memory == Bytes(kAll, 0) && in_use <= kAll && in_use > kAll - 2_MiB &&
                           sys::file_size(order.descriptors.ram).value() == kAll &&
                           !sys::truncate(order.descriptors.ram, kAll + 4096);
        Bytes loaded(image.size);
        sys::read_exact_at(order.descriptors.image, loaded, 0).value();
        const bool right = numbers && clear && loaded == image_bytes();
        sys::write_all_at(order.descriptors.ram, as_byte_view("a secret"), 20_MiB).value();
        if (right) say_started(channel);
        ::pause();
        return 0;
    });
    attach();
    const auto gathering = state_at(Phase::Gathering);
    add_all();
    EXPECT_EQ(bytes_in_use(parent), kParentBytes - kAll);

    ask(good_begin());
    EXPECT_EQ(next_done(), 60U);
    const auto running = state_at(Phase::Running);
    EXPECT_EQ(bytes_of_its_own(), kAll);
    EXPECT_EQ(running.pcr0, image.measurements.pcr0);
    EXPECT_EQ(running.flags, shim::State::kMeasured);
    EXPECT_EQ(gathering.flags, 0U);
    give_back();
    const auto ended = state_at(Phase::Ended);

    EXPECT_EQ(next_done(), 70U);
    EXPECT_EQ(reason_of(ended), StopReason::Killed);
    expect_all_given_back();
    attestor_thread.join();
    EXPECT_EQ(measured.flags, 0U);
    EXPECT_EQ(measured.pcr0, image.measurements.pcr0);
}

TEST_F(CarvedShimTest, InDebugModeItHasAConsoleAndTheAttestorIsTold) {
    start([](const Channel& channel, vmm::LaunchOrder& order) {
        say_started(channel);
        api::ConsoleRingWriter::open(order.descriptors.console_ring).value().write(as_byte_view("hello\n"));
        say_stopped(channel, StopReason::PowerOff, "");
        return 0;
    });
    attach();
    add_all();
    ask(shim::Console{.request = 3, .reserved = {}});
    EXPECT_EQ(next_failure(), ErrorCode::EnclaveNotDebug) << "not known before it is begun";
    auto begin = good_begin();
    begin.flags = shim::Begin::kDebug;

    ask(begin);
    const auto ended = state_at(Phase::Ended);
    ask(shim::Console{.request = 4, .reserved = {}});
    const auto ring = next_of<shim::ConsoleRing>();

    EXPECT_EQ(ended.flags, shim::State::kMeasured | shim::State::kDebug);
    ASSERT_EQ(ring.descriptors.size(), 1U);
    EXPECT_EQ(as_text(api::ConsoleRingReader::open(ring.descriptors[0]).value().read().data), "hello\n");
    attestor_thread.join();
    EXPECT_EQ(measured.flags, api::attestor::Measured::kDebug);
}

TEST_F(CarvedShimTest, AVmmThatEndsByItselfLeavesTheMemoryUntilItIsWanted) {
    start([](const Channel& channel, vmm::LaunchOrder&) {
        say_started(channel);
        say_stopped(channel, StopReason::PowerOff, "");
        return 0;
    });
    attach();
    add_all();
    ask(good_begin());
    EXPECT_EQ(reason_of(state_at(Phase::Ended)), StopReason::PowerOff);
    EXPECT_EQ(bytes_in_use(parent), kParentBytes - kAll);

    give_back(71);
    EXPECT_EQ(next_done(), 71U);
    expect_all_given_back();
    ASSERT_TRUE(sys::write_all_at(parent, as_byte_view("the primary again"), 32_MiB));
    give_back(72);
    EXPECT_EQ(next_done(), 72U);

    Bytes content(17);
    sys::read_exact_at(parent, content, 32_MiB).value();
    EXPECT_EQ(as_text(content), "the primary again") << "given back once";
}

TEST_F(CarvedShimTest, MemoryWithoutAnImageIsALaunchFailureAndGoesBack) {
    start([](const Channel&, vmm::LaunchOrder&) { return 77; });
    attach();
    add(0, 16_MiB, 0);
    EXPECT_EQ(next_done(), 50U);
    auto begin = good_begin();
    begin.memory_bytes = 16_MiB;

    ask(begin);
    EXPECT_EQ(next_done(), 60U);
    const auto ended = state_at(Phase::Ended);
    give_back();
    EXPECT_EQ(next_done(), 70U);

    EXPECT_EQ(reason_of(ended), StopReason::LaunchFailed);
    EXPECT_EQ(ended.error_code, static_cast<uint32_t>(ErrorCode::ImageMalformed));
    EXPECT_NE(ended.exit_status, 77U);
    EXPECT_EQ(bytes_in_use(parent), kParentBytes);
}

TEST_F(CarvedShimTest, ABadChecksumIsALaunchFailureWithItsCode) {
    ASSERT_TRUE(sys::write_all_at(parent, as_byte_view("!"), 32_MiB + 8_MiB + image.size - 5));
    start([](const Channel&, vmm::LaunchOrder&) { return 77; });
    attach();
    add_all();

    ask(good_begin());

    EXPECT_EQ(state_at(Phase::Ended).error_code, static_cast<uint32_t>(ErrorCode::ImageCrc));
    EXPECT_EQ(attestor.receive_within(kPatience).error().code(), ErrorCode::ConnectionLost);
}

TEST_F(CarvedShimTest, ABeginThatIsNotInOrderChangesNothing) {
    start(serve_until_stop);
    attach();
    add_all();
    const std::function<void(shim::Begin&)> spoilers[] = {
        [](auto& begin) { begin.flags = 2; },
        [](auto& begin) { begin.vcpu_count = 0; },
        [](auto& begin) { begin.vcpu_count = 33; },
        [](auto& begin) { begin.vcpu_count = 1; },  // of cores with two threads
        [](auto& begin) { begin.threads_per_core = 0; },
        [](auto& begin) { begin.guest_cid = 3; },
        [](auto& begin) { begin.memory_bytes = kAll - 4096; },
    };
    for (const auto& spoil : spoilers) {
        auto begin = good_begin();
        spoil(begin);
        ask(begin);

        EXPECT_EQ(next_failure(), ErrorCode::InvalidArgument);
        EXPECT_EQ(keeper->lifecycle().phase(), Phase::Gathering);
    }
    ask(good_begin());
    state_at(Phase::Running);
    ask(good_begin());
    EXPECT_EQ(next_failure(), ErrorCode::InvalidArgument) << "once";
    add(48_MiB, 4096, kAll);
    EXPECT_EQ(next_failure(), ErrorCode::InvalidArgument) << "no memory after that";
}

TEST_F(CarvedShimTest, AnEnclaveWithoutMemoryDoesNotBegin) {
    start(serve_until_stop);
    attach();
    auto begin = good_begin();
    begin.memory_bytes = 0;

    ask(begin);

    EXPECT_EQ(next_failure(), ErrorCode::InvalidArgument);
}

// A move that waits until the test lets it go on.
struct SlowMove {
    std::atomic<bool> begun = false;
    std::atomic<bool> may_go_on = false;
};

struct SlowCarvedShimTest : CarvedShimTest {
    std::shared_ptr<SlowMove> move = std::make_shared<SlowMove>();

    SlowCarvedShimTest() {
        work.move_region = [move = move, real = work.move_region](auto from, auto to, uint64_t length,
                                                                  memory::MoveSizes sizes,
                                                                  memory::MoveCounters& counters) {
            move->begun = true;
            move->may_go_on.wait(false);
            return real(from, to, length, sizes, counters);
        };
    }
    ~SlowCarvedShimTest() override { go_on(); }
    void go_on() {
        move->may_go_on = true;
        move->may_go_on.notify_all();
    }
};

TEST_F(SlowCarvedShimTest, OneRegionAtATime) {
    start(serve_until_stop);
    attach();
    add(32_MiB, 16_MiB, 0, 51);
    add(16_MiB, 16_MiB, 16_MiB, 52);
    EXPECT_EQ(next_failure(), ErrorCode::Busy);
    ask(good_begin());
    EXPECT_EQ(next_failure(), ErrorCode::Busy);

    go_on();

    EXPECT_EQ(next_done(), 51U);
}

TEST_F(SlowCarvedShimTest, AnAlcovedThatComesBackAsksAgainForTheSameRegion) {
    start(serve_until_stop);
    attach();
    add(32_MiB, 16_MiB, 0, 51);
    ASSERT_TRUE(turn_until([this] { return move->begun.load(); }));
    daemon.release();
    turn_until([] { return true; });
    connect();
    attach();

    add(32_MiB, 16_MiB, 0, 61);
    state_at(Phase::Gathering);
    go_on();
    EXPECT_EQ(next_done(), 61U) << "of the move that was under way";
    add(32_MiB, 16_MiB, 0, 62);
    EXPECT_EQ(next_done(), 62U) << "and of one that is done";

    EXPECT_EQ(bytes_in_use(parent), kParentBytes - 16_MiB);
    add(16_MiB, 16_MiB, 16_MiB, 63);
    EXPECT_EQ(next_done(), 63U);
}

TEST_F(SlowCarvedShimTest, MemoryWantedBackDuringAMoveComesAfterIt) {
    start(serve_until_stop);
    attach();
    add(32_MiB, 16_MiB, 0, 51);
    ASSERT_TRUE(turn_until([this] { return move->begun.load(); }));

    give_back(71);
    give_back(72);
    const auto ended = state_at(Phase::Ended);
    ask(shim::Release{.request = 80, .reserved = {}});
    EXPECT_EQ(next_failure(), ErrorCode::Busy) << "not while memory is on its way";
    go_on();

    EXPECT_EQ(next_done(), 51U);
    EXPECT_EQ(next_done(), 71U);
    EXPECT_EQ(next_done(), 72U);
    EXPECT_EQ(reason_of(ended), StopReason::HostRequest);
    EXPECT_EQ(bytes_in_use(parent), kParentBytes);
    ask(shim::Release{.request = 81, .reserved = {}});
    EXPECT_EQ(next_done(), 81U);
}

TEST_F(CarvedShimTest, WithoutMemoryOnTheHostGivingBackIsAskedForAgain) {
    auto refusals = std::make_shared<std::atomic<int>>(2);
    work.return_region = [refusals, real = work.return_region](
                             auto from, auto to, uint64_t length, memory::MoveSizes sizes,
                             memory::MoveCounters& counters) -> Result<void> {
        if ((*refusals)-- > 0) return fail(ErrorCode::OutOfMemory, "none");
        return real(from, to, length, sizes, counters);
    };
    start(serve_until_stop);
    attach();
    add_all();

    give_back(71);
    EXPECT_EQ(next_failure(), ErrorCode::OutOfMemory);
    give_back(72);
    EXPECT_EQ(next_done(), 72U);

    expect_all_given_back();
}

TEST_F(CarvedShimTest, WithoutMemoryOnTheHostForTheRestItDoesNotRun) {
    work.reserve_missing = [](const Fd&, uint64_t, std::span<const memory::FileRange>) -> Result<void> {
        return fail(ErrorCode::OutOfMemory, "none");
    };
    start(serve_until_stop);
    attach();
    add_all();

    ask(good_begin());
    const auto ended = state_at(Phase::Ended);
    EXPECT_EQ(reason_of(ended), StopReason::LaunchFailed);
    EXPECT_EQ(ended.error_code, static_cast<uint32_t>(ErrorCode::OutOfMemory));
    EXPECT_LT(bytes_of_its_own(), kAll);
    give_back();
    EXPECT_EQ(next_done(), 70U);

    expect_all_given_back();
}

TEST_F(CarvedShimTest, AMoveThatFailsIsToldAndCanBeTriedAgain) {
    auto refusals = std::make_shared<std::atomic<int>>(1);
    work.move_region = [refusals, real = work.move_region](auto from, auto to, uint64_t length,
                                                           memory::MoveSizes sizes,
                                                           memory::MoveCounters& counters) -> Result<void> {
        if ((*refusals)-- > 0) return fail(ErrorCode::OutOfMemory, "none");
        return real(from, to, length, sizes, counters);
    };
    start(serve_until_stop);
    attach();

    add(32_MiB, 16_MiB, 0, 51);
    EXPECT_EQ(next_failure(), ErrorCode::OutOfMemory);
    add_all();

    EXPECT_EQ(bytes_in_use(parent), kParentBytes - kAll);
}

TEST_F(CarvedShimTest, AStopWhileItGathersEndsItAndTheMemoryWaits) {
    start(serve_until_stop);
    attach();
    add_all();

    ask(shim::Stop{.request = 2, .force_after_ms = 5000});
    EXPECT_EQ(next_done(), 2U);
    EXPECT_EQ(reason_of(state_at(Phase::Ended)), StopReason::HostRequest);
    EXPECT_EQ(bytes_in_use(parent), kParentBytes - kAll);
    give_back();
    EXPECT_EQ(next_done(), 70U);

    expect_all_given_back();
}

TEST_F(CarvedShimTest, WhatIsNotGivenBackIsFreedWithTheShim) {
    start(serve_until_stop);
    attach();
    add_all();
    ask(shim::Stop{.request = 2, .force_after_ms = 5000});
    state_at(Phase::Ended);

    ask(shim::Release{.request = 80, .reserved = {}});
    EXPECT_EQ(next_done(), 80U);
    EXPECT_TRUE(turn_until([this] { return released; }));
    keeper.reset();

    EXPECT_EQ(bytes_in_use(parent), kParentBytes - kAll) << "the primary's file is as the enclave left it";
}

TEST_F(CarvedShimTest, ManyCyclesLeaveNothingBehind) {
    const auto open_descriptors = [] {
        return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
    };
    const auto live = [this] {
        ASSERT_TRUE(sys::write_all_at(parent, image_bytes(), 32_MiB + 8_MiB));
        start(serve_until_stop);
        attach();
        add_all();
        ask(good_begin());
        state_at(Phase::Running);
        give_back();
        EXPECT_EQ(next_done(), 70U);
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
    EXPECT_EQ(bytes_in_use(parent), kParentBytes);
}

}  // namespace
}  // namespace alcove::enclave

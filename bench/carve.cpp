// SPDX-License-Identifier: Apache-2.0
//
// carve cost PAGE_BYTES MIB COUNT       SLOT_ADD_MEM, SLOT_FREE and reading it all again, against the floor
// carve bystander PAGE_BYTES MIB COUNT  what a carve costs vCPUs that touch other memory only
//
// A primary VM with guests of a few instructions (guests/asm; ALCOVE_TEST_FILES says where they are) and what
// its VMM has behind the NE device. At the other end of the line is a thread that moves memory as an
// enclave's shim does. All pages of the region are written before each carve. PAGE_BYTES is that of both
// files.
//
// `cost` prints a line for each round: `cost ADD FREE READ FLOOR`, nanoseconds. ADD is from the command to
// its reply, FREE likewise, READ from there until the guest has read every page once; FLOOR is fallocate,
// memcpy and punch of as much in the same thread's files. Then `touched COPIED CLEARED COPIED CLEARED`,
// bytes, of ADD and of FREE (memory/page_mover.hpp).
//
// `bystander` prints a line `faults ADD FREE` for each round: second-level faults in two sweeps of two vCPUs
// over all memory but the region, after it was carved and after it was given back, less those of two sweeps
// before.
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/ne_messages.hpp"
#include "ne/message_codec.hpp"
#include "support/log.hpp"
#include "support/system.hpp"
#include "tests/machine/primary.hpp"
#include "vmm/ne_backend.hpp"

namespace {

using namespace alcove;
using memory::GuestAddress;
using memory::GuestRange;
using Clock = EventLoop::Clock;

constexpr uint64_t kWindow = 64_MiB;  // where the region begins
constexpr uint64_t kBehind = 64_MiB;  // RAM behind it
constexpr uint64_t kSlot = 1 << 16;
constexpr std::chrono::seconds kPatience(300);
constexpr GuestAddress kOrder(3_MiB);  // guests/asm/pages.S

Result<Fd> reserved_file(const char* name, uint64_t page, uint64_t size) {
    auto file = TRY(tests::ram_file(name, page, size));
    TRY(sys::allocate(file, 0, 0, size));
    return file;
}

// alcoved and the enclave's shim, in a thread of their own: one region at a time.
class Mover {
  public:
    Mover(const Fd& ram, uint64_t page, uint64_t size) : ram_(ram), sizes_{.page = page}, size_(size) {}
    ~Mover() {  // after the other end of its line is closed
        if (thread_.joinable()) thread_.join();
    }
    Result<Fd> start() {
        enclave_ = TRY(tests::ram_file("enclave-ram", sizes_.page, size_));
        auto ends = TRY(sys::socket_pair(SOCK_SEQPACKET));
        thread_ = std::thread([this, line = Channel(std::move(ends.first))] {
            const auto served = serve(line);
            if (!served && served.error().code() != ErrorCode::ConnectionLost)
                std::fprintf(stderr, "carve: %s\n", served.error().to_string().c_str());
        });
        return std::move(ends.second);
    }
    const memory::MoveCounters& counters() const { return counters_; }  // while no command is in hand

  private:
    Result<void> serve(const Channel& line) {
        TRY(api::exchange_hello(line, api::ne::kProtocol, api::ne::kVersions));
        while (true) {
            const auto message = TRY(line.receive());
            const auto envelope = TRY(api::open_envelope(message.data));
            const auto command = TRY(ne::decode_request(envelope));
            TRY(carry_out(command.request));
            TRY(line.send(ne::encode_reply(command.id, ne::success(ne::to_slot_uid(kSlot)))));
        }
    }
    Result<void> carry_out(const ne::Request& request) {
        const memory::FilePart own{ram_, kWindow};
        const memory::FilePart other{enclave_, 0};
        if (std::holds_alternative<ne::SlotAddMem>(request))
            return memory::move_region(own, other, size_, sizes_, counters_);
        return memory::return_region(other, own, size_, sizes_, counters_);
    }

    const Fd& ram_;
    memory::MoveSizes sizes_;
    uint64_t size_;
    Fd enclave_;
    memory::MoveCounters counters_;
    std::thread thread_;
};

class Bench {
  public:
    Bench(uint64_t page, uint64_t size) : page_(page), size_(size) {}

    Result<void> boot(const char* kernel) {
        const uint64_t ram = kWindow + size_ + kBehind;
        const auto mib = [](uint64_t bytes) { return std::to_string(bytes >> 20); };
        primary_ = TRY(tests::Primary::create(
            {.kernel = kernel,
             .command_line = "from=" + mib(kWindow) + " to=" + mib(kWindow + size_) + " ram=" + mib(ram),
             .vcpus = 2,
             .memory_bytes = ram,
             .page_size = page_}));
        ne::Parent parent{.ram = {{GuestAddress(0), ram}}, .backing_page = page_, .core_of_vcpu = {0, 1}};
        backend_ =
            std::make_unique<vmm::NeBackend>(primary_->loop(), primary_->machine(), std::move(parent),
                                             vmm::NeLine::Callbacks{.wanted = [] {}, .slot_changed = [] {}});
        mover_ = std::make_unique<Mover>(primary_->ram(), page_, size_);
        std::vector<Fd> line;
        line.push_back(TRY(mover_->start()));
        backend_->line().ask();
        TRY(backend_->line().given(std::move(line)));
        return primary_->boot();
    }
    ~Bench() {
        backend_.reset();  // and its end of the line
    }

    Result<void> cost(int count) {
        TRY(boot("pages.elf"));
        TRY(wait_for_console("ready"));
        for (int i = 0; i < count; ++i) {
            TRY(order(kWrite));
            const auto before = mover_->counters();
            const auto add = TRY(command(ne::SlotAddMem{.slot_uid = kSlot, .paddr = kWindow, .size = size_}));
            const auto added = mover_->counters();
            const auto free = TRY(command(ne::SlotFree{.slot_uid = kSlot}));
            const auto freed = mover_->counters();
            const auto read = TRY(order(kRead));
            const auto floor = TRY(measure_floor());
            std::printf("cost %lld %lld %lld %lld\n", ns(add), ns(free), ns(read), ns(floor));
            std::printf("touched %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                        added.bytes_copied - before.bytes_copied, added.bytes_cleared - before.bytes_cleared,
                        freed.bytes_copied - added.bytes_copied, freed.bytes_cleared - added.bytes_cleared);
            std::fflush(stdout);
        }
        return {};
    }

    Result<void> bystander(int count) {
        TRY(boot("sweep.elf"));
        TRY(wait_for_console("filled"));
        TRY(sweep());
        for (int i = 0; i < count; ++i) {
            const uint64_t usual = TRY(faults_of_sweeps());
            TRY(command(ne::SlotAddMem{.slot_uid = kSlot, .paddr = kWindow, .size = size_}));
            const uint64_t added = TRY(faults_of_sweeps());
            TRY(command(ne::SlotFree{.slot_uid = kSlot}));
            const uint64_t freed = TRY(faults_of_sweeps());
            std::printf("faults %lld %lld\n", static_cast<long long>(added - usual),
                        static_cast<long long>(freed - usual));
            std::fflush(stdout);
        }
        return {};
    }

  private:
    static constexpr uint32_t kWrite = 1;
    static constexpr uint32_t kRead = 2;

    static long long ns(Clock::duration duration) {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
    }

    Result<void> wait_until(const std::function<bool()>& condition) {
        if (!primary_->run_until([&] { return condition() || primary_->end(); }, kPatience))
            return fail(ErrorCode::Timeout, "the guest does not answer");
        if (primary_->end()) return fail(ErrorCode::Internal, "the guest ended: " + primary_->end()->detail);
        return {};
    }
    Result<void> wait_for_console(const char* text) {
        return wait_until([&] { return primary_->console().find(text) != std::string::npos; });
    }

    // From the command to its reply.
    Result<Clock::duration> command(const ne::Request& request) {
        std::optional<ne::Reply> reply;
        const auto begin = Clock::now();
        backend_->execute(request, [&](const ne::Reply& answer) { reply = answer; });
        TRY(wait_until([&] { return reply.has_value(); }));
        const auto end = Clock::now();
        if (ne::rc_of(*reply) < 0)
            return fail(ErrorCode::Internal, "refused with " + std::to_string(ne::rc_of(*reply)));
        return end - begin;
    }

    // From the order to the end of what it asks for. The guest's print is an exit and wakes no event loop: it
    // is looked for.
    Result<Clock::duration> order(uint32_t what) {
        const size_t before = primary_->count_on_console('.');
        const Le32 word = ++orders_ << 2 | what;
        const auto begin = Clock::now();
        TRY(primary_->machine().memory()->write(kOrder, word));
        while (primary_->count_on_console('.') == before) {
            if (primary_->end() || Clock::now() - begin > kPatience)
                return fail(ErrorCode::Timeout, "the guest does not carry out its order");
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
        return Clock::now() - begin;
    }

    Result<Clock::duration> measure_floor() const {
        const auto from = TRY(reserved_file("floor-from", page_, size_));
        const auto source = TRY(Mapping::shared(from, size_, 0));
        for (uint64_t at = 0; at < size_; at += 4_KiB)
            std::memset(source.data() + at, 0x5a, 8);
        const auto to = TRY(tests::ram_file("floor-to", page_, size_));
        const auto begin = Clock::now();
        TRY(sys::allocate(to, 0, 0, size_));
        const auto target = TRY(Mapping::shared(to, size_, 0));
        std::memcpy(target.data(), source.data(), size_);
        TRY(memory::release_pages({from, 0}, size_));
        return Clock::now() - begin;
    }

    // Each vCPU has begun and ended two sweeps from now on.
    Result<void> sweep() {
        const size_t first = primary_->count_on_console('.');
        const size_t second = primary_->count_on_console(':');
        return wait_until([&] {
            return primary_->count_on_console('.') >= first + 3 &&
                   primary_->count_on_console(':') >= second + 3;
        });
    }
    Result<uint64_t> faults_of_sweeps() {
        const uint64_t before = TRY(second_level_faults());
        TRY(sweep());
        const uint64_t after = TRY(second_level_faults());
        return after - before;
    }
    // KVM's statistics of the one VM of this process, all of its vCPUs together (debugfs).
    static Result<uint64_t> second_level_faults() {
        const std::string mine = std::to_string(::getpid()) + "-";
        for (const auto& entry : std::filesystem::directory_iterator("/sys/kernel/debug/kvm")) {
            if (!entry.path().filename().string().starts_with(mine)) continue;
            std::ifstream file(entry.path() / "pf_taken");
            uint64_t count = 0;
            if (file >> count) return count;
        }
        return fail(ErrorCode::NotFound, "KVM keeps no statistics of this VM");
    }

    uint64_t page_;
    uint64_t size_;
    uint32_t orders_ = 0;
    std::unique_ptr<tests::Primary> primary_;
    std::unique_ptr<Mover> mover_;
    std::unique_ptr<vmm::NeBackend> backend_;
};

}  // namespace

int main(int argc, char** argv) {
    alcove::log::start("carve");  // on standard error: standard output is for numbers
    const std::string what = argc == 5 ? argv[1] : "";
    if (what != "cost" && what != "bystander") {
        std::fputs("usage: carve cost|bystander PAGE_BYTES MIB COUNT\n", stderr);
        return 2;
    }
    Bench bench(std::strtoull(argv[2], nullptr, 10), std::strtoull(argv[3], nullptr, 10) << 20);
    const int count = std::atoi(argv[4]);
    const auto result = what == "cost" ? bench.cost(count) : bench.bystander(count);
    if (!result) std::fprintf(stderr, "carve: %s\n", result.error().to_string().c_str());
    return result ? 0 : 1;
}

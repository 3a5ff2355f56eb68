// SPDX-License-Identifier: Apache-2.0
//
// A guest's vCPU against the registers of the NE device: accesses of any offset, length and direction, while
// the host answers, releases and raises events whenever the input says so. Rows of one byte of what, then:
//
//     0 write [length 1][offset 2][bytes]   4 the backend answers     8 time passes [seconds 1]
//     1 read  [length 1][offset 2]          5 it ends a release       9 machine reset
//     2 enable as the driver does           6 an enclave ended       10 release, as before a reset
//     3 disable                             7 the loop runs          11 a whole command [id 1][24 bytes]
//
// What must hold: no more than the window is touched; a vector comes only when the device is on and a command
// was begun in this period; no reply without a command; the unused end of RECV_DATA stays zero; while ENABLE
// reads 0 the backend holds nothing.
#include <algorithm>
#include <cstdlib>

#include "ne/backend_fake.hpp"
#include "ne/device.hpp"
#include "ne/driver_fake.hpp"
#include "support/fuzz_input.hpp"

namespace {

using namespace alcove;
using namespace alcove::ne;

void require(bool condition) {
    if (!condition) std::abort();
}

class Bench {
  public:
    Bench() { backend.at_once = false; }

    void run() {
        while (loop->run_once(std::chrono::milliseconds(0)).value() > 0) {
        }
    }
    void write(uint64_t offset, ByteView bytes) {
        device.write(offset, bytes);
        if (driver.is_off()) check_off();
    }
    void read(uint64_t offset, size_t length) {
        Bytes bytes(length + 2, 0xa5);
        device.read(offset, MutableByteView(bytes).subspan(1, length));
        require(bytes.front() == 0xa5 && bytes.back() == 0xa5);
    }
    void answer() {
        const auto before = reply_line.count();
        const bool had_command = backend.deliver();
        require(reply_line.count() <= before + (had_command ? 1 : 0));
        if (reply_line.count() != before) require(!driver.is_off());
    }
    void end_release() {
        const auto before = reply_line.count() + event_line.count();
        const bool ended = backend.deliver_release();
        require(reply_line.count() + event_line.count() == before);
        if (ended) {
            require(backend.table().slots().empty());
            begun_before_ = device.counters().commands;
        }
    }
    void event() {
        const auto before = event_line.count();
        for (const auto* slot : backend.table().slots())
            backend.table().enclave_ended(slot->uid);
        device.slot_changed();
        if (event_line.count() != before)
            require(!driver.is_off() && device.counters().commands > begun_before_);
    }
    void check() {
        for (uint64_t at = reg::RECV_DATA + sizeof(Reply); at < reg::kEnd; ++at)
            require(driver.get<uint8_t>(at) == 0);
        const uint32_t rc = driver.get<uint32_t>(reg::RECV_DATA);
        require(is_valid_rc(static_cast<int32_t>(rc)));
        require(driver.get<uint16_t>(reg::VERSION) <= VERSION_MAX);
        const auto counters = device.counters();
        require(reply_line.count() <= counters.commands);
        require(event_line.count() == counters.events);
    }

    std::unique_ptr<EventLoop> loop = EventLoop::create().value();
    FakeBackend backend;
    CountingLine reply_line;
    CountingLine event_line;
    Device::Clock::time_point now{};
    Device device{{.loop = *loop, .backend = backend, .reply_line = reply_line, .event_line = event_line},
                  [this] { return now; }};
    FakeDriver driver{device};

  private:
    void check_off() {
        require(backend.table().slots().empty());
        require(!backend.has_release());
        require(driver.get<uint32_t>(reg::EVTCNT) == 0);
    }

    uint64_t begun_before_ = 0;  // commands of earlier periods
};

uint64_t any_offset(FuzzInput& input, size_t length) {
    return input.number(2) % (Device::kWindowSize - length + 1);
}

void whole_command(Bench& bench, FuzzInput& input) {
    const uint32_t command = input.byte();
    const auto body = input.take(24);
    bench.write(reg::SEND_DATA, body);
    // Slots are hard to guess: the first byte names one of those there are.
    const auto slots = bench.backend.table().slots();
    if (!slots.empty() && !body.empty() && body[0] % 4 != 3)
        bench.driver.put<uint64_t>(reg::SEND_DATA, number(slots[body[0] % slots.size()]->uid));
    bench.driver.put<uint32_t>(reg::COMMAND, command);
}

void step(Bench& bench, FuzzInput& input) {
    switch (input.byte() % 12) {
        case 0: {
            const size_t length = 1 + input.byte() % 16;
            const uint64_t offset = any_offset(input, length);
            const auto bytes = input.take(length);
            if (!bytes.empty()) bench.write(offset, bytes);
            break;
        }
        case 1: {
            const size_t length = 1 + input.byte() % 16;
            bench.read(any_offset(input, length), length);
            break;
        }
        case 2:
            require(bench.driver.enable() || !bench.driver.is_off() ||
                    bench.driver.get<uint16_t>(reg::VERSION) == 0);
            break;
        case 3:
            bench.driver.disable();
            break;
        case 4:
            bench.answer();
            break;
        case 5:
            bench.end_release();
            break;
        case 6:
            bench.event();
            break;
        case 7:
            bench.run();
            break;
        case 8:
            bench.now += std::chrono::seconds(input.byte());
            break;
        case 9:
            bench.device.reset();
            break;
        case 10:
            bench.device.release([&bench] { require(bench.backend.table().slots().empty()); });
            break;
        default:
            whole_command(bench, input);
            break;
    }
    bench.check();
}

// Whatever happened, an honest driver finds a device that works.
void probe_afterwards(Bench& bench) {
    bench.driver.disable();
    bench.run();
    bench.end_release();
    bench.run();
    require(bench.driver.is_off());
    require(bench.driver.enable());
    bench.driver.command(SlotAlloc{});
    bench.run();
    const auto before = bench.reply_line.count();
    bench.answer();
    require(bench.reply_line.count() == before + 1 && bench.driver.rc() == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Bench bench;
    FuzzInput input({data, size});
    for (int steps = 0; !input.is_empty() && steps < 512; ++steps)
        step(bench, input);
    probe_afterwards(bench);
    return 0;
}

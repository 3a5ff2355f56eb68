// SPDX-License-Identifier: Apache-2.0
//
// A driver that says anything on the four queues of a port, in any order. The port is open when its driver
// said so last; what is handed on is what was in the buffers; a message arrives whole or cut to its buffer.
#include <cstdlib>

#include "support/fuzz_input.hpp"
#include "support/log.hpp"
#include "virtio/driver_fake.hpp"
#include "virtio/port.hpp"

namespace {

using namespace alcove;
namespace port = virtio::port;

void require(bool condition) {
    if (!condition) std::abort();
}

struct Fixture {
    virtio::FakeMachine machine{4 * 1024 * 1024};
    bool is_open = false;
    uint64_t came = 0;
    virtio::PortDevice device{machine.loop(),
                              "fuzz",
                              {.opened =
                                   [this](bool now) {
                                       require(now != is_open);
                                       is_open = now;
                                       if (now) device.tell(Bytes(16, 'm'));
                                   },
                               .came =
                                   [this](ByteView bytes) {
                                       require(is_open && bytes.size() <= virtio::PortDevice::kMaxBytes);
                                       came += bytes.size();
                                       if (!bytes.empty() && bytes[0] == 'a')
                                           device.tell(to_bytes(bytes.first(1)));
                                   }}};
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    log::silence();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static Fixture fixture;
    fixture.machine.release_all();
    fixture.came = 0;
    FuzzInput input({data, size});
    virtio::FakeDriver driver(fixture.machine, fixture.device);
    const uint64_t ports = (input.byte() & 1) != 0 ? port::feature::MULTIPORT : 0;
    driver.start(virtio::FakeDriver::kUsualFeatures | ports);
    uint64_t offered = 0;
    bool repeats = false;  // with a false index, buffers may come once more

    for (int steps = 0; !input.is_empty() && steps < 200; ++steps) {
        const uint8_t step = input.byte();
        const auto queue = static_cast<uint16_t>(step % port::kQueues);
        const uint8_t shape = input.byte();
        if (shape == 0xff) {
            driver.queue(queue).set_available_index(static_cast<uint16_t>(input.byte() * 7U));
            repeats = true;
        } else if (queue == port::kControlTransmitQueue && shape < 0x80) {
            const port::Control control{
                .id = shape / 64U, .event = input.byte(), .value = static_cast<uint16_t>(input.byte() % 3)};
            driver.queue(queue).add(object_bytes(control), {});
        } else if (queue == port::kReceiveQueue || queue == port::kControlReceiveQueue) {
            driver.queue(queue).add({}, {shape % 32U + 1});
        } else {
            const ByteView part = input.take(shape);
            driver.queue(queue).add(part, {});
            offered += part.size();
        }
        driver.notify(queue);
        if ((step & 0x40) != 0) fixture.machine.run();
        if ((step & 0x80) != 0 && !repeats)
            while (driver.queue(queue).take_used())
                continue;
    }
    fixture.machine.run();
    require(ports != 0 || !fixture.is_open);
    require(repeats || fixture.came <= offered);
    driver.reset();
    fixture.machine.run();
    require(!fixture.is_open);
    return 0;
}

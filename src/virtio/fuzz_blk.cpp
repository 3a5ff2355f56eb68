// SPDX-License-Identifier: Apache-2.0
//
// Requests of any shape to a block device: the input is header and data, cut into pieces as it likes. The
// file behind keeps its size, every request with room for a status comes back with one, and its sectors hold
// what the requests could have put there.
#include <cstdlib>

#include "support/fuzz_input.hpp"
#include "support/log.hpp"
#include "support/system.hpp"
#include "virtio/blk.hpp"
#include "virtio/driver_fake.hpp"

namespace {

using namespace alcove;

constexpr uint64_t kDiskSize = 64 * 1024;

struct Fixture {
    virtio::FakeMachine machine{4 * 1024 * 1024};
    Fd file = [] {
        auto made = sys::memfd("disk").value();
        sys::truncate(made, kDiskSize).value();
        return made;
    }();
    std::unique_ptr<virtio::BlockDevice> device =
        virtio::BlockDevice::create(machine.loop(),
                                    virtio::BlockFile::create(sys::duplicate(file.get()).value(),
                                                              virtio::BlockFile::Access::ReadWrite)
                                        .value(),
                                    "fuzz")
            .value();
};

void require(bool condition) {
    if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    log::silence();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static Fixture fixture;
    fixture.machine.release_all();
    FuzzInput input({data, size});
    virtio::FakeDriver driver(fixture.machine, *fixture.device);
    driver.start();
    auto& queue = driver.queue(0);
    uint16_t answered = 0;
    uint16_t added = 0;

    while (!input.is_empty() && added < 40) {
        std::vector<virtio::FakeQueue::Piece> pieces;
        const uint8_t shape = input.byte();
        for (int i = 0; i <= shape % 4; ++i) {
            const ByteView part = input.take(input.byte());
            if (part.empty()) continue;
            const auto at = fixture.machine.allocate(part.size());
            fixture.machine.memory()->write_bytes(at, part).value();
            pieces.push_back({at, static_cast<uint32_t>(part.size()), false});
        }
        for (int i = 0; i < shape / 4 % 4; ++i) {
            const uint32_t length = input.byte() * 16U + shape / 16;
            pieces.push_back({fixture.machine.allocate(length), length, true});
        }
        if (pieces.empty() || !queue.add(pieces)) continue;
        ++added;
        if (shape % 32 < 16) driver.notify(0);
        if (shape >= 0xf0) fixture.machine.run();
    }
    driver.notify(0);
    fixture.machine.run();
    fixture.device->drain();
    fixture.machine.run();
    const bool is_broken = (driver.read(virtio::mmio::Status) & virtio::status::DEVICE_NEEDS_RESET) != 0;
    while (const auto used = queue.take_used()) {
        ++answered;
        const Bytes written = queue.written(*used);
        require(!written.empty() && written.back() <= virtio::blk::S_UNSUPP);
    }
    require(is_broken || answered == added);
    require(sys::file_size(fixture.file).value() == kDiskSize);
    driver.reset();
    fixture.machine.run();
    return 0;
}

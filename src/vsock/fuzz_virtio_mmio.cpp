// SPDX-License-Identifier: Apache-2.0
//
// Register accesses of any kind, width and order on the transports of two real devices (rng and vsock), with
// rings in memory that the input also writes. The transports must stay in their protocol: a reset always
// brings Status back to 0, and a device is only active between DRIVER_OK and reset.
#include <algorithm>
#include <array>
#include <cstdlib>

#include "support/fuzz_input.hpp"
#include "support/log.hpp"
#include "virtio/rng.hpp"
#include "vsock/guest_fake.hpp"

namespace {

using namespace alcove;
using memory::GuestAddress;
namespace mmio = virtio::mmio;

struct Fixture {
    virtio::FakeMachine machine{1024 * 1024};
    vsock::FakeOpener opener;
    vsock::HostBackend backend{
        machine.loop(), opener, {.guest_cid = vsock::FakeGuest::kCid, .max_connections = 8}};
    vsock::VsockDevice vsock{machine.loop(), vsock::FakeGuest::kCid, {&backend}};
    virtio::RngDevice rng{machine.loop()};
    virtio::FakeDriver vsock_driver{machine, vsock};
    virtio::FakeDriver rng_driver{machine, rng};
};

constexpr uint32_t kRegisters[] = {mmio::DeviceFeaturesSel,
                                   mmio::DriverFeatures,
                                   mmio::DriverFeaturesSel,
                                   mmio::QueueSel,
                                   mmio::QueueNum,
                                   mmio::QueueReady,
                                   mmio::QueueNotify,
                                   mmio::InterruptACK,
                                   mmio::Status,
                                   mmio::QueueDescLow,
                                   mmio::QueueDescHigh,
                                   mmio::QueueDriverLow,
                                   mmio::QueueDriverHigh,
                                   mmio::QueueDeviceLow,
                                   mmio::QueueDeviceHigh,
                                   mmio::SHMSel,
                                   mmio::Config,
                                   mmio::ConfigGeneration};

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
    FuzzInput input({data, size});
    auto& memory = *fixture.machine.memory();
    memory.fill_zero(GuestAddress(virtio::FakeMachine::kMemoryBase), 8192).value();

    while (!input.is_empty()) {
        auto& driver = input.byte() % 2 == 0 ? fixture.vsock_driver : fixture.rng_driver;
        switch (input.byte() % 8) {
            case 0:  // a step of what a driver does
                driver.write(mmio::Status, input.byte() % 16);
                break;
            case 1:
                (void)driver.negotiate((uint64_t{input.byte()} << 28) | virtio::feature::VERSION_1);
                break;
            case 2: {  // a queue that may be right
                const uint64_t base = virtio::FakeMachine::kMemoryBase + 64U * input.byte();
                driver.set_up_queue(input.byte() % 4,
                                    {.size = static_cast<uint16_t>(1U << (input.byte() % 10)),
                                     .descriptor_table = GuestAddress(base),
                                     .available_ring = GuestAddress(base + 1024),
                                     .used_ring = GuestAddress(base + 2048 + input.byte() % 8)});
                break;
            }
            case 3: {
                std::array<uint8_t, 8> value;
                const size_t width = size_t{1} << (input.byte() % 4);
                const uint32_t offset = kRegisters[input.byte() % std::size(kRegisters)] + input.byte() % 4;
                std::ranges::generate(value, [&] { return input.byte(); });
                driver.transport().write(offset, ByteView(value).first(width));
                break;
            }
            case 4: {
                std::array<uint8_t, 8> value;
                const size_t width = size_t{1} << (input.byte() % 4);
                const uint64_t offset =
                    (input.byte() * 256U + input.byte()) % (mmio::kWindowSize - width + 1);
                std::ranges::generate(value, [&] { return input.byte(); });
                driver.transport().write(offset, ByteView(value).first(width));
                driver.transport().read(offset, MutableByteView(value).first(width));
                break;
            }
            case 5: {
                const GuestAddress at(virtio::FakeMachine::kMemoryBase + 16U * input.byte());
                const ByteView bytes = input.take(16);
                if (!bytes.empty()) memory.write_bytes(at, bytes).value();
                break;
            }
            case 6:
                driver.write(mmio::QueueNotify, input.byte() % 4);
                break;
            default:
                fixture.machine.run();
                break;
        }
    }
    fixture.machine.run();
    for (auto* driver : {&fixture.vsock_driver, &fixture.rng_driver}) {
        driver->write(mmio::Status, 0);
        require(driver->read(mmio::Status) == 0);
        require(driver->read(mmio::InterruptStatus) == 0);
        const auto counters = driver->transport().counters();
        require(counters.activations <= counters.resets);
    }
    require(fixture.backend.connection_count() == 0);
    fixture.opener.programs.clear();
    fixture.opener.ports.clear();
    fixture.machine.run();
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Register accesses of any kind, width and order on a virtio-pci function, by memory and by the window in
// configuration space, with BARs that move and rings in memory that the input also writes. The transport must
// stay in its protocol: a reset always brings the status back to 0, and the device is only active between
// DRIVER_OK and reset.
#include <algorithm>
#include <cstdlib>

#include "support/fuzz_input.hpp"
#include "support/log.hpp"
#include "virtio/pci_driver_fake.hpp"
#include "virtio/rng.hpp"

namespace {

using namespace alcove;
using memory::GuestAddress;
using virtio::virtio_pci::CommonConfig;

constexpr uint64_t kRings = virtio::FakeMachine::kMemoryBase;

struct Fixture {
    virtio::FakeMachine machine{1024 * 1024};
    virtio::RngDevice device{machine.loop()};
    virtio::FakePciDriver driver{machine, device};
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
    auto& driver = fixture.driver;
    auto& os = driver.os();
    auto& memory = *fixture.machine.memory();
    memory.fill_zero(GuestAddress(kRings), 8192).value();
    FuzzInput input({data, size});

    while (!input.is_empty()) {
        switch (input.byte() % 10) {
            case 0:  // a step of what a driver does
                driver.set_status(input.byte() % 16);
                break;
            case 1:
                (void)driver.negotiate((uint64_t{input.byte()} << 28) | virtio::feature::VERSION_1);
                break;
            case 2: {  // a queue that may be right
                const uint64_t base = kRings + 64U * input.byte();
                driver.set_up_queue(input.byte() % 2,
                                    {.size = static_cast<uint16_t>(1U << (input.byte() % 10)),
                                     .descriptor_table = GuestAddress(base),
                                     .available_ring = GuestAddress(base + 1024),
                                     .used_ring = GuestAddress(base + 2048 + input.byte() % 8)});
                break;
            }
            case 3: {  // anywhere in the common configuration
                const size_t width = size_t{1} << (input.byte() % 4);
                const uint64_t offset = input.byte() % (sizeof(CommonConfig) + 4);
                driver.write(offset, input.number(width), width);
                (void)driver.read(offset, width);
                break;
            }
            case 4: {  // anywhere in a BAR
                const size_t width = size_t{1} << (input.byte() % 4);
                const uint64_t at = os.bar_address(input.byte() % 2) + input.number(2) % 0x4000;
                if (input.byte() % 2 == 0) os.write_memory(at, input.number(width), width);
                (void)os.read_memory(at, width);
                break;
            }
            case 5: {  // through the window
                const uint32_t window = driver.capability(virtio::virtio_pci::PCI_CFG);
                os.write_config(window + 4, input.byte() % 3, 1);
                os.write_config(window + 8, input.number(2) % 0x4002, 4);
                os.write_config(window + 12, input.byte() % 6, 4);
                os.write_config(window + 16 + input.byte() % 4, input.number(4), 4);
                (void)os.read_config(window + 14 + input.byte() % 8, 4);
                break;
            }
            case 6: {
                const GuestAddress at(kRings + 16U * input.byte());
                const ByteView bytes = input.take(16);
                if (!bytes.empty()) memory.write_bytes(at, bytes).value();
                break;
            }
            case 7:
                driver.notify(input.byte() % 3);
                break;
            case 8:
                os.write_config(input.byte(), input.number(2), size_t{1} << (input.byte() % 3));
                break;
            default:
                fixture.machine.run();
                break;
        }
    }
    fixture.machine.run();
    driver.bus().reset();
    fixture.machine.run();
    os.enable_msix(virtio::FakePciDriver::kFirstData);
    driver.set_status(0);
    require(driver.status() == 0);
    require(os.read_memory(driver.structure(virtio::virtio_pci::ISR_CFG), 1) == 0);
    const auto counters = driver.transport().counters();
    require(counters.activations <= counters.resets);
    (void)driver.interrupts().take_delivered();
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// Accesses of any kind, width and place to configuration space (ECAM and ports), BARs and the MSI-X table of
// two functions, with interrupts raised in between. What must hold: identities never change, a BAR answers
// only inside the windows, a message is delivered only where the driver could have asked for it, and a reset
// brings everything back.
#include <algorithm>
#include <cstdlib>

#include "pci/function_fake.hpp"
#include "support/fuzz_input.hpp"
#include "support/log.hpp"

namespace {

using namespace alcove;

void require(bool condition) {
    if (!condition) std::abort();
}

size_t any_width(FuzzInput& input) {
    return size_t{1} << (input.byte() % 4);
}

struct Fixture {
    pci::FakeInterrupts interrupts;
    pci::FakeDoorbells doorbells;
    pci::FakeFunction first{interrupts};
    pci::FakeFunction second{interrupts};
    pci::PciBus bus{pci::kFakeWindows, &doorbells};

    Fixture() {
        bus.add(2, first);
        bus.add(5, second);
    }
};

// One step of a guest. `face` is any of the bus's faces, `size` the window's.
void access(FuzzInput& input, bus::BusDevice& face, uint64_t size, uint64_t offset) {
    const size_t width = any_width(input);
    const bool writes = input.byte() % 2 == 0;
    offset = std::min(offset % size, size - width);
    Bytes data(width);
    for (auto& byte : data)
        byte = input.byte();
    writes ? face.write(offset, data) : face.read(offset, data);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    log::silence();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static Fixture fixture;
    auto& bus = fixture.bus;
    FuzzInput input({data, size});

    while (!input.is_empty()) {
        const uint8_t slot = input.byte() % 2 == 0 ? 2 : 5;
        auto& function = slot == 2 ? fixture.first : fixture.second;
        pci::FakeOs os(bus, slot);
        switch (input.byte() % 8) {
            case 0:
                access(input, bus.ecam(), 1_MiB, input.number(3));
                break;
            case 1:  // the function's own 256 bytes
                access(input, bus.ecam(), 1_MiB, pci::ecam::Device::put(input.byte(), slot));
                break;
            case 2: {
                const size_t width = any_width(input) % 8;  // 1, 2 or 4, as ports are
                Bytes bytes(width == 0 ? 4 : width);
                for (auto& byte : bytes)
                    byte = input.byte();
                const uint64_t offset = std::min<uint64_t>(input.byte() % 8, 8 - bytes.size());
                input.byte() % 2 == 0 ? bus.ports().write(offset, bytes) : bus.ports().read(offset, bytes);
                break;
            }
            case 3:
                access(input, bus.mmio32(), bus.mmio32().range().size, input.number(3));
                break;
            case 4:  // somewhere in a BAR, wherever it is now
                access(input, bus.mmio32(), bus.mmio32().range().size,
                       os.bar_address(input.byte() % 3) + input.number(2) % 0x1000 -
                           bus.mmio32().range().base.value());
                break;
            case 5:
                access(input, bus.mmio64(), bus.mmio64().range().size, input.number(4));
                break;
            case 6:
                input.byte() % 2 == 0 ? os.enable_msix(input.byte())
                                      : os.set_command(static_cast<uint16_t>(input.number(2)));
                break;
            default:
                function.trigger(input.byte() % 2);
                break;
        }
        for (const auto& message : fixture.interrupts.take_delivered())
            require((message.address & ~uint64_t{0xfffff}) == 0xfee0'0000);
        for (const auto& doorbell : fixture.doorbells.attached())
            require(pci::kFakeWindows.mmio32.contains(memory::GuestAddress(doorbell.address)) ||
                    pci::kFakeWindows.mmio64.contains(memory::GuestAddress(doorbell.address)));
        require(os.read_config(0, 4) == 0xe4c11d0f);
    }

    bus.reset();
    require(fixture.doorbells.attached().empty());
    for (auto* function : {&fixture.first, &fixture.second}) {
        function->writes.clear();
        (void)function->bell.drain();
        pci::FakeOs os(bus, function == &fixture.first ? 2 : 5);
        require(os.read_config(pci::header::Command, 2) == 0);
        require(os.size_bar(0) == 0x1000 && os.size_bar(2) == 0x2000);
        require(pci::kFakeWindows.mmio32.contains(memory::GuestAddress(os.bar_address(0))));
    }
    return 0;
}

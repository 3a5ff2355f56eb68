// SPDX-License-Identifier: Apache-2.0
#include "ne/pci_function.hpp"

#include <utility>

namespace alcove::ne {

Result<std::unique_ptr<PciFunction>> PciFunction::create(const Wiring& wiring) {
    auto table = TRY(pci::MsixTable::create(wiring.interrupts, vector::kCount));
    return std::unique_ptr<PciFunction>(new PciFunction(wiring, std::move(table)));
}

PciFunction::PciFunction(const Wiring& wiring, std::unique_ptr<pci::MsixTable> table)
    : Function({.vendor_id = pci_id::VENDOR,
                .device_id = pci_id::DEVICE,
                .class_code = pci_id::CLASS,
                .revision_id = pci_id::REVISION}),
      device_({.loop = wiring.loop, .backend = wiring.backend, .reply_line = reply_, .event_line = event_}) {
    add_bar(pci_id::BAR, pci::BarKind::Memory32, Device::kWindowSize);
    add_msix(std::move(table), kMsixBar);
}

// What is not MSI-X table in its BAR reads as ones and takes no writes.
void PciFunction::read_register(uint8_t bar, uint64_t offset, MutableByteView data) {
    if (bar == pci_id::BAR) device_.read(offset, data);
}

void PciFunction::write_register(uint8_t bar, uint64_t offset, ByteView data) {
    if (bar == pci_id::BAR) device_.write(offset, data);
}

}  // namespace alcove::ne

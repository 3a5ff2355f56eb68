// SPDX-License-Identifier: Apache-2.0
// Any bytes as a kernel: parsed, and loaded when they parse.
#include <cstdint>

#include "boot/loader.hpp"
#include "support/bits.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace alcove;
    static const auto memory =
        memory::GuestMemory::create_anonymous({memory::GuestAddress(0), 32_MiB}).value();
    const boot::BootInputs inputs{
        .kernel = {data, size},
        .ramdisks = {{data, size}},
        .command_line = "quiet",
        .platform = {.discovery = boot::Discovery::Acpi, .vcpu_count = 1, .virtio_mmio = {}}};
    (void)boot::load_boot(*memory, inputs).has_value();
    return 0;
}

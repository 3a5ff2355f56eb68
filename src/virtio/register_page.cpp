// SPDX-License-Identifier: Apache-2.0
#include "virtio/register_page.hpp"

#include <algorithm>
#include <bit>

#include "support/check.hpp"
#include "support/checked.hpp"

namespace alcove::virtio {

static_assert(std::endian::native == std::endian::little, "registers are little-endian words");

Result<RegisterPage> RegisterPage::create() {
    auto mapping = TRY(Mapping::anonymous(mmio::kWindowSize));
    return RegisterPage(std::move(mapping));
}

std::atomic_ref<uint32_t> RegisterPage::word(uint64_t offset) const {
    void* address = mapping_.data() + (offset & ~uint64_t{3});
    return std::atomic_ref<uint32_t>(*static_cast<uint32_t*>(address));
}

void RegisterPage::read(uint64_t offset, MutableByteView into) const {
    ALCOVE_CHECK(range_within<uint64_t>(offset, into.size(), mmio::kWindowSize),
                 "a read stays in its window");
    uint32_t current = 0;
    for (size_t i = 0; i < into.size(); ++i) {
        const uint64_t at = offset + i;
        if (i == 0 || at % 4 == 0) current = word(at).load(std::memory_order_acquire);
        into[i] = static_cast<uint8_t>(current >> (8 * (at % 4)));
    }
}

void RegisterPage::set_config(ByteView config) {
    const size_t size = std::min<size_t>(config.size(), mmio::kWindowSize - mmio::Config);
    for (size_t i = 0; i < size; i += 4) {
        uint32_t value = 0;
        for (size_t j = 0; j < 4 && i + j < size; ++j)
            value |= uint32_t{config[i + j]} << (8 * j);
        word(mmio::Config + i).store(value, std::memory_order_release);
    }
}

}  // namespace alcove::virtio

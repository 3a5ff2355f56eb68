// SPDX-License-Identifier: Apache-2.0
//
// Names one page of a VM's EPC: the pages of all its sections, counted in their order.
#pragma once

#include <cstdint>

namespace alcove::sgx {

enum class PageIndex : uint32_t {};

constexpr uint32_t number(PageIndex page) {
    return static_cast<uint32_t>(page);
}

}  // namespace alcove::sgx

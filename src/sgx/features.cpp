// SPDX-License-Identifier: Apache-2.0
#include "sgx/features.hpp"

#include <algorithm>

namespace alcove::sgx {

uint32_t Features::xsave_size(uint64_t of_xfrm) const {
    uint32_t size = sizeof(XsaveHead);
    for (const auto& component : components)
        if ((of_xfrm & bit<uint64_t>(component.bit)) != 0)
            size = std::max(size, component.offset + component.size);
    return size;
}

}  // namespace alcove::sgx

// SPDX-License-Identifier: Apache-2.0
#include "sgx/page_store.hpp"

#include <cstring>

#include "support/check.hpp"
#include "support/checked.hpp"

namespace alcove::sgx {

PagePin::~PagePin() {
    if (store_ != nullptr) store_->unpin(page_);
}

void PagePin::read(uint64_t offset, MutableByteView into) const {
    ALCOVE_CHECK(range_within<uint64_t>(offset, into.size(), kPageSize), "a place inside the page");
    std::memcpy(into.data(), bytes_ + offset, into.size());
}

void PagePin::write(uint64_t offset, ByteView from) const {
    ALCOVE_CHECK(range_within<uint64_t>(offset, from.size(), kPageSize), "a place inside the page");
    std::memcpy(bytes_ + offset, from.data(), from.size());
}

void PagePin::zero() const {
    std::memset(bytes_, 0, kPageSize);
}

}  // namespace alcove::sgx

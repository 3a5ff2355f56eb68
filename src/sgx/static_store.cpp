// SPDX-License-Identifier: Apache-2.0
#include "sgx/static_store.hpp"

#include <cstring>

#include "support/check.hpp"

namespace alcove::sgx {

Result<std::unique_ptr<StaticStore>> StaticStore::create(const Fd& file, uint32_t pages) {
    auto mapping = TRY(Mapping::shared(file, uint64_t{pages} * kPageSize));
    return std::unique_ptr<StaticStore>(new StaticStore(std::move(mapping)));
}

uint8_t* StaticStore::bytes_of(PageIndex page) const {
    ALCOVE_CHECK(number(page) < mapping_.size() / kPageSize, "a page of this EPC");
    return mapping_.data() + number(page) * kPageSize;
}

Result<PagePin> StaticStore::pin(PageIndex page) {
    return make_pin(page, bytes_of(page));
}

void StaticStore::discard(PageIndex page) {
    std::memset(bytes_of(page), 0, kPageSize);
}

PageStore::Occupancy StaticStore::occupancy() const {
    return {.resident = static_cast<uint32_t>(mapping_.size() / kPageSize), .evicted = 0};
}

}  // namespace alcove::sgx

// SPDX-License-Identifier: Apache-2.0
//
// Every page in memory, always: population `static`.
#pragma once

#include <memory>

#include "sgx/page_store.hpp"
#include "support/fd.hpp"
#include "support/mapping.hpp"

namespace alcove::sgx {

class StaticStore : public PageStore {
  public:
    // The memory is the caller's file (which is also what guests are given), `pages` pages of it.
    static Result<std::unique_ptr<StaticStore>> create(const Fd& file, uint32_t pages);

    Result<PagePin> pin(PageIndex page) override;
    void discard(PageIndex page) override;
    Occupancy occupancy() const override;

  protected:
    void unpin(PageIndex) override {}

  private:
    explicit StaticStore(Mapping mapping) : mapping_(std::move(mapping)) {}
    uint8_t* bytes_of(PageIndex page) const;

    Mapping mapping_;
};

}  // namespace alcove::sgx

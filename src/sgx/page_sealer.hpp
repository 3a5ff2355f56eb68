// SPDX-License-Identifier: Apache-2.0
//
// How a page leaves the EPC and comes back: encrypted, and tied by authentication to what it is, whose,
// where, and to a version that exists once. The version stays in a slot of a VA page: without it the page is
// worth nothing, and a copy of an older state has another.
//
// Source: SDM vol. 3D, "EWB" and "ELDB/ELDU" (MAC_HEADER; the order of its fields is not architectural).
#pragma once

#include <atomic>

#include "crypto/aes.hpp"
#include "sgx/spec_report.hpp"

namespace alcove::sgx {

using PageBytes = std::array<uint8_t, kPageSize>;

struct SealedHeader {
    sgx::SECINFO SECINFO;              // 0    flags of the EPCM
    Le64 EID;                          // 64   0 for SECS and VA
    Le64 LINADDR;                      // 72
    std::array<uint8_t, 40> RESERVED;  // 80   of the PCMD
    std::array<uint8_t, 8> zero;       // 120
};
static_assert(sizeof(SealedHeader) == 128);

class PageSealer {
  public:
    explicit PageSealer(const Key128& key) : key_(key) {}
    ~PageSealer();
    PageSealer(const PageSealer&) = delete;
    PageSealer& operator=(const PageSealer&) = delete;

    struct Sealed {
        uint64_t version;  // never 0, never twice
        crypto::AesTag mac;
    };
    Sealed seal(const SealedHeader& header, const PageBytes& plain, PageBytes& into);
    [[nodiscard]] bool open(const SealedHeader& header, uint64_t version, const crypto::AesTag& mac,
                            const PageBytes& sealed, PageBytes& into) const;

  private:
    Key128 key_;
    std::atomic<uint64_t> last_version_{0};  // counts only; orders nothing
};

}  // namespace alcove::sgx

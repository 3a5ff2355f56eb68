// SPDX-License-Identifier: Apache-2.0
//
// With `ballast` on its command line the unikernel has, beside its enclave, one that is never initialized and
// has 700 pages. Until the machine ends it looks at each of them, then enters its enclave, and tells when all
// is as it was left: for a host that keeps less EPC than that in memory.
#include "sgx/spec_enclave.hpp"
#include "unikernel/unikernel.hpp"

using alcove::sgx::Encls;
using alcove::sgx::kPageSize;
namespace sgx = alcove::sgx;

namespace {

constexpr uint64_t kPages = 700;
constexpr uint64_t kSecs = 64;  // of EPC; the pages behind it are the enclave's, those below the other one's
constexpr uint64_t kBase = uint64_t{8} << 39;
constexpr uint64_t kSize = 4 << 20;

alignas(kPageSize) uint64_t contents[kPageSize / sizeof(uint64_t)];
alignas(kPageSize) sgx::SECS secs;
alignas(64) sgx::SECINFO secinfo;
alignas(32) sgx::PAGEINFO pageinfo;

uint64_t create() {
    secs.SIZE = kSize;
    secs.BASEADDR = kBase;
    secs.SSAFRAMESIZE = 1;
    secs.ATTRIBUTES.FLAGS = sgx::attributes::MODE64BIT | sgx::attributes::DEBUG;
    secs.ATTRIBUTES.XFRM = sgx::xcr0::X87 | sgx::xcr0::SSE;
    secinfo.FLAGS = 0;
    pageinfo = {};
    pageinfo.SRCPGE = address(&secs);
    pageinfo.SECINFO = address(&secinfo);
    return encls(leaf(Encls::ECREATE), address(&pageinfo), epc_page(kSecs), 0);
}

uint64_t add(uint64_t number) {
    contents[0] = number;
    secinfo.FLAGS = sgx::secinfo::R | sgx::secinfo::W | sgx::secinfo::pt(sgx::PageType::REG);
    pageinfo = {};
    pageinfo.LINADDR = kBase + number * kPageSize;
    pageinfo.SRCPGE = address(contents);
    pageinfo.SECINFO = address(&secinfo);
    pageinfo.SECS = epc_page(kSecs);
    return encls(leaf(Encls::EADD), address(&pageinfo), epc_page(kSecs + 1 + number), 0);
}

// EDBGRD, which has its answer in RBX.
uint64_t look_at(uint64_t number) {
    uint64_t status = leaf(Encls::EDBGRD);
    uint64_t value = 0;
    asm volatile(".byte 0x0f, 0x01, 0xcf"
                 : "+a"(status), "=b"(value)
                 : "c"(epc_page(kSecs + 1 + number))
                 : "memory", "cc");
    return status == 0 ? value : ~uint64_t{0};
}

}  // namespace

void carry_ballast() {
    build();
    uint64_t failed = create();
    for (uint64_t page = 0; page < kPages; ++page)
        failed |= add(page);
    line("ballast", failed & kFaulted);
    for (uint64_t round = 1;; ++round) {
        uint64_t wrong = 0;
        for (uint64_t page = 0; page < kPages; ++page)
            wrong += look_at(page) != page;
        wrong += enter(kAdd, 1) != round;
        line(wrong == 0 ? "round" : "wrong", round);
    }
}

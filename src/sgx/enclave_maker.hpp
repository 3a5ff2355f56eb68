// SPDX-License-Identifier: Apache-2.0
//
// For tests: plays the guest's kernel and the program that enters enclaves, on one processor of a
// FakeMachine. Operands lie in a part of memory of the processor's own.
#pragma once

#include <functional>
#include <ostream>

#include "sgx/context_fake.hpp"
#include "sgx/sigstruct.hpp"

namespace alcove::sgx {

// How an instruction ended, as software sees it.
struct Answer {
    std::optional<Exception> fault{};
    uint64_t rax = 0;
    bool zf = false;
    bool cf = false;
    bool operator==(const Answer&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Answer& answer);
std::ostream& operator<<(std::ostream& out, const Exception& exception);
std::ostream& operator<<(std::ostream& out, const Event& event);
inline Answer success() {
    return {};
}
inline Answer status(StatusCode code) {
    return {.rax = static_cast<uint64_t>(code), .zf = true};
}
inline Answer notice(StatusCode code) {
    return {.rax = static_cast<uint64_t>(code), .cf = true};
}
inline Answer gp() {
    return {.fault = kGeneralProtection};
}
// By the EPCM, of an access of ring 0 that wanted to write (or not).
inline Answer epcm_pf(uint64_t address, uint32_t bits = pfec::W) {
    return {.fault = Exception{vector::PF, pfec::P | pfec::SGX | bits, address}};
}
inline uint64_t epc_linear(PageIndex page) {
    return kKernelEpc + number(page) * kPageSize;
}

const crypto::Rsa3PrivateKey& test_signing_key();

class EnclaveMaker {
  public:
    explicit EnclaveMaker(FakeCpu& cpu);

    FakeCpu& cpu() { return cpu_; }

    // Of this processor's, in the kernel's view. Whatever they hold may be changed before a leaf.
    uint64_t pageinfo() const { return scratch_; }
    uint64_t secinfo() const { return scratch_ + 64; }
    uint64_t pcmd() const { return scratch_ + 128; }
    uint64_t source() const { return scratch_ + kPageSize; }
    uint64_t sigstruct() const { return scratch_ + 2 * kPageSize; }
    uint64_t token() const { return scratch_ + 3 * kPageSize; }
    uint64_t spare() const { return scratch_ + 4 * kPageSize; }  // a page for anything
    template <typename T>
    void put(uint64_t linear, const T& value) {
        put_bytes(linear, object_bytes(value));
    }
    void put_bytes(uint64_t linear, ByteView bytes);
    template <typename T>
    T get(uint64_t linear) {
        T value;
        get_bytes(linear, {reinterpret_cast<uint8_t*>(&value), sizeof(T)});
        return value;
    }
    void get_bytes(uint64_t linear, MutableByteView bytes);

    // ENCLS in ring 0, with the registers as they are given and RAX not zero before a status.
    Answer encls(Encls leaf, uint64_t rbx = 0, uint64_t rcx = 0, uint64_t rdx = 0);
    // ENCLU in ring 3.
    Answer enclu(Enclu leaf, uint64_t rbx = 0, uint64_t rcx = 0, uint64_t rdx = 0);

    // A SECS that ECREATE takes.
    static SECS secs(uint64_t base, uint64_t size, uint64_t flags = attributes::MODE64BIT);
    static SIGSTRUCT unsigned_sigstruct(const SECS& secs, const Measurement& hash);
    static TCS tcs(uint64_t ossa, uint32_t nssa, uint64_t oentry);

    Answer ecreate(PageIndex page, const SECS& source);
    Answer eadd(PageIndex page, PageIndex secs, uint64_t linear, uint64_t flags,
                const PageBytes& contents = {});
    Answer eextend(PageIndex page, PageIndex secs);  // all of it; the first answer that is no success
    Answer einit(PageIndex secs, const SIGSTRUCT& sigstruct, const EINITTOKEN& token = {});
    Answer epa(PageIndex page) {
        return encls(Encls::EPA, static_cast<uint64_t>(PageType::VA), epc_linear(page));
    }
    Answer eremove(PageIndex page) { return encls(Encls::EREMOVE, 0, epc_linear(page)); }
    Answer eblock(PageIndex page) { return encls(Encls::EBLOCK, 0, epc_linear(page)); }
    Answer etrack(PageIndex secs) { return encls(Encls::ETRACK, 0, epc_linear(secs)); }
    Answer eaug(PageIndex page, PageIndex secs, uint64_t linear);
    Answer emod(Encls leaf, PageIndex page, uint64_t flags);
    // To memory at `to` (a page, in the kernel's view); the PCMD is at pcmd().
    Answer ewb(PageIndex page, uint64_t to, PageIndex va, uint32_t slot);
    Answer eld(Encls leaf, PageIndex page, uint64_t from, uint64_t linear, std::optional<PageIndex> secs,
               PageIndex va, uint32_t slot);

    // The measurement so far, as EINIT would find it.
    void set_measurement(crypto::Sha256Blocks measurement) { measurement_ = measurement; }
    Measurement measurement() const { return measurement_.finish(); }

    Answer enter(uint64_t tcs_linear) { return enclu(Enclu::EENTER, tcs_linear, kAep); }
    Answer resume(uint64_t tcs_linear) { return enclu(Enclu::ERESUME, tcs_linear, kAep); }
    Answer exit() { return enclu(Enclu::EEXIT, kAep); }
    Event interrupt(const Event& event = {});

    static constexpr uint64_t kAep = 0x40'1000;

  private:
    Answer answer(Outcome<void> outcome, bool gives_status);

    FakeCpu& cpu_;
    uint64_t scratch_;
    crypto::Sha256Blocks measurement_;  // of the enclave built last
    uint64_t base_ = 0;
};

// A whole enclave: at kBase, in EPC pages from `first` on. In this order, ELRANGE a power of two above:
//     page 0: TCS (one SSA frame, entry at the code page)   page 1: SSA, REG RW   page 2: code, REG RX
//     page 3, 4: data, REG RW                                page 5: a second TCS  page 6: its SSA
// All but data are measured. Mapped for ring 3.
struct TestEnclave {
    static constexpr uint64_t kBase = 0x7f00'0000'0000;
    static constexpr uint64_t kSize = 16 * kPageSize;
    static constexpr uint32_t kPages = 8;  // with the SECS, which is first

    // Fails the test unless all succeeds.
    static TestEnclave make(EnclaveMaker& maker, PageIndex first = PageIndex{0},
                            uint64_t flags = attributes::MODE64BIT, uint64_t base = kBase,
                            const std::function<void(SECS&, SIGSTRUCT&)>& change = {});

    PageIndex secs{};
    uint64_t base = kBase;
    uint64_t at(uint32_t page) const { return base + page * kPageSize; }
    PageIndex epc(uint32_t page) const { return PageIndex{number(secs) + 1 + page}; }
    uint64_t tcs() const { return at(0); }
    uint64_t data() const { return at(3); }
    uint64_t data2() const { return at(4); }
    uint64_t tcs2() const { return at(5); }
    uint64_t free_linear(uint32_t n = 0) const { return at(8 + n); }  // in ELRANGE, nothing there
};

}  // namespace alcove::sgx

// SPDX-License-Identifier: Apache-2.0
#include "sgx/enclave_maker.hpp"

#include <algorithm>

#include "sgx/measurement.hpp"
#include "support/check.hpp"

namespace alcove::sgx {

namespace {

constexpr uint64_t kScratchPages = 8;
constexpr uint64_t kUntouched = 0xdead'beef;  // RAX of a status leaf before

const LeafRow& row_of(std::span<const LeafRow> rows, uint64_t number) {
    return rows[number];
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Exception& exception) {
    return out << "exception " << unsigned{exception.vector} << std::hex << " error 0x"
               << exception.error_code << " at 0x" << exception.address << std::dec;
}

std::ostream& operator<<(std::ostream& out, const Answer& answer) {
    if (answer.fault) return out << *answer.fault;
    return out << "rax " << answer.rax << (answer.zf ? " ZF" : "") << (answer.cf ? " CF" : "");
}

std::ostream& operator<<(std::ostream& out, const Event& event) {
    return out << "event " << static_cast<unsigned>(event.kind) << " " << event.exception;
}

const crypto::Rsa3PrivateKey& test_signing_key() {
    static const crypto::Rsa3PrivateKey key = crypto::Rsa3PrivateKey::generate().value();
    return key;
}

EnclaveMaker::EnclaveMaker(FakeCpu& cpu)
    : cpu_(cpu), scratch_(kKernelRam + cpu.processor().id() * kScratchPages * kPageSize) {}

void EnclaveMaker::put_bytes(uint64_t linear, ByteView bytes) {
    cpu_.machine().ram().write_bytes(memory::GuestAddress(linear - kKernelRam), bytes).value();
}

void EnclaveMaker::get_bytes(uint64_t linear, MutableByteView bytes) {
    cpu_.machine().ram().read_bytes(memory::GuestAddress(linear - kKernelRam), bytes).value();
}

Answer EnclaveMaker::answer(Outcome<void> outcome, bool gives_status) {
    if (const auto* exception = outcome.ended_with<Exception>()) return {.fault = *exception};
    ALCOVE_CHECK(outcome.has_value(), "no failure of the host's");
    if (!gives_status) return success();  // RAX and flags are not its business
    const auto& regs = cpu_.registers();
    return {.rax = regs.rax, .zf = (regs.rflags & rflags::ZF) != 0, .cf = (regs.rflags & rflags::CF) != 0};
}

Answer EnclaveMaker::encls(Encls leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx) {
    auto& regs = cpu_.registers();
    const bool gives_status =
        row_of(encls_leaves(), static_cast<uint64_t>(leaf)).kind == LeafKind::GivesStatus;
    regs.rax = static_cast<uint64_t>(leaf) | (gives_status ? kUntouched << 32 : 0);
    regs.rbx = rbx;
    regs.rcx = rcx;
    regs.rdx = rdx;
    regs.rflags = rflags::FIXED | rflags::IF | (gives_status ? rflags::kArithmetic : 0);
    cpu_.set_cpl(0);
    const Registers before = regs;
    auto outcome = cpu_.machine().engine().encls(cpu_.processor(), cpu_);
    if (outcome.ended_with<Exception>() != nullptr)
        ALCOVE_CHECK(regs == before, "an exception changes no register");
    return answer(std::move(outcome), gives_status);
}

Answer EnclaveMaker::enclu(Enclu leaf, uint64_t rbx, uint64_t rcx, uint64_t rdx) {
    auto& regs = cpu_.registers();
    regs.rax = static_cast<uint64_t>(leaf);
    regs.rbx = rbx;
    regs.rcx = rcx;
    regs.rdx = rdx;
    cpu_.set_cpl(3);
    const bool gives_status =
        row_of(enclu_leaves(), static_cast<uint64_t>(leaf)).kind == LeafKind::GivesStatus;
    const Registers before = regs;
    auto outcome = cpu_.machine().engine().enclu(cpu_.processor(), cpu_);
    if (outcome.ended_with<Exception>() != nullptr)
        ALCOVE_CHECK(regs == before, "an exception changes no register");
    return answer(std::move(outcome), gives_status);
}

SECS EnclaveMaker::secs(uint64_t base, uint64_t size, uint64_t flags) {
    SECS secs{};
    secs.SIZE = size;
    secs.BASEADDR = base;
    secs.SSAFRAMESIZE = 1;
    secs.ATTRIBUTES.FLAGS = flags;
    secs.ATTRIBUTES.XFRM = xcr0::X87 | xcr0::SSE;
    return secs;
}

SIGSTRUCT EnclaveMaker::unsigned_sigstruct(const SECS& secs, const Measurement& hash) {
    SIGSTRUCT sigstruct{};
    sigstruct.ATTRIBUTES = secs.ATTRIBUTES;
    sigstruct.ATTRIBUTEMASK.FLAGS = ~uint64_t{0} & ~attributes::DEBUG;
    sigstruct.ATTRIBUTEMASK.XFRM = ~uint64_t{0};
    sigstruct.MISCSELECT = secs.MISCSELECT;
    sigstruct.MISCMASK = ~uint32_t{0};
    sigstruct.ENCLAVEHASH = hash;
    sigstruct.ISVPRODID = 7;
    sigstruct.ISVSVN = 3;
    return sigstruct;
}

TCS EnclaveMaker::tcs(uint64_t ossa, uint32_t nssa, uint64_t oentry) {
    TCS tcs{};
    tcs.OSSA = ossa;
    tcs.NSSA = nssa;
    tcs.OENTRY = oentry;
    tcs.FSLIMIT = 0xfff;
    tcs.GSLIMIT = 0xfff;
    return tcs;
}

Answer EnclaveMaker::ecreate(PageIndex page, const SECS& source_secs) {
    put(source(), source_secs);
    put(secinfo(), SECINFO{});
    put(pageinfo(), PAGEINFO{.LINADDR = 0, .SRCPGE = source(), .SECINFO = secinfo(), .SECS = 0});
    measurement_ = measure_ecreate(source_secs.SSAFRAMESIZE, source_secs.SIZE);
    base_ = source_secs.BASEADDR;
    return encls(Encls::ECREATE, pageinfo(), epc_linear(page));
}

Answer EnclaveMaker::eadd(PageIndex page, PageIndex secs_page, uint64_t linear, uint64_t flags,
                          const PageBytes& contents) {
    put(source(), contents);
    SECINFO info{.FLAGS = flags, .RESERVED = {}};
    put(secinfo(), info);
    put(pageinfo(),
        PAGEINFO{.LINADDR = linear, .SRCPGE = source(), .SECINFO = secinfo(), .SECS = epc_linear(secs_page)});
    const auto result = encls(Encls::EADD, pageinfo(), epc_linear(page));
    if (result == success()) measure_eadd(measurement_, linear - base_, info);
    return result;
}

Answer EnclaveMaker::eextend(PageIndex page, PageIndex secs_page) {
    for (uint64_t offset = 0; offset < kPageSize; offset += kChunkSize) {
        const auto result = encls(Encls::EEXTEND, epc_linear(secs_page), epc_linear(page) + offset);
        if (result != success()) return result;
    }
    return success();
}

Answer EnclaveMaker::einit(PageIndex secs_page, const SIGSTRUCT& signature, const EINITTOKEN& a_token) {
    put(sigstruct(), signature);
    put(token(), a_token);
    return encls(Encls::EINIT, sigstruct(), epc_linear(secs_page), token());
}

Answer EnclaveMaker::eaug(PageIndex page, PageIndex secs_page, uint64_t linear) {
    put(pageinfo(), PAGEINFO{.LINADDR = linear, .SRCPGE = 0, .SECINFO = 0, .SECS = epc_linear(secs_page)});
    return encls(Encls::EAUG, pageinfo(), epc_linear(page));
}

Answer EnclaveMaker::emod(Encls leaf, PageIndex page, uint64_t flags) {
    put(secinfo(), SECINFO{.FLAGS = flags, .RESERVED = {}});
    return encls(leaf, secinfo(), epc_linear(page));
}

Answer EnclaveMaker::ewb(PageIndex page, uint64_t to, PageIndex va, uint32_t slot) {
    put(pageinfo(), PAGEINFO{.LINADDR = 0, .SRCPGE = to, .SECINFO = pcmd(), .SECS = 0});
    return encls(Encls::EWB, pageinfo(), epc_linear(page), epc_linear(va) + slot * kVaSlotSize);
}

Answer EnclaveMaker::eld(Encls leaf, PageIndex page, uint64_t from, uint64_t linear,
                         std::optional<PageIndex> secs_page, PageIndex va, uint32_t slot) {
    put(pageinfo(), PAGEINFO{.LINADDR = linear,
                             .SRCPGE = from,
                             .SECINFO = pcmd(),
                             .SECS = secs_page ? epc_linear(*secs_page) : 0});
    return encls(leaf, pageinfo(), epc_linear(page), epc_linear(va) + slot * kVaSlotSize);
}

Event EnclaveMaker::interrupt(const Event& event) {
    cpu_.set_cpl(3);
    auto outcome = cpu_.machine().engine().asynchronous_exit(cpu_.processor(), cpu_, event);
    return std::move(outcome).value();
}

TestEnclave TestEnclave::make(EnclaveMaker& maker, PageIndex first, uint64_t flags, uint64_t base,
                              const std::function<void(SECS&, SIGSTRUCT&)>& change) {
    TestEnclave enclave{.secs = first, .base = base};
    auto& machine = maker.cpu().machine();
    SECS secs = EnclaveMaker::secs(base, kSize, flags);
    SIGSTRUCT sigstruct{};
    if (change) change(secs, sigstruct);
    ALCOVE_CHECK(maker.ecreate(first, secs) == success(), "ECREATE");
    crypto::Sha256Blocks measurement = measure_ecreate(secs.SSAFRAMESIZE, secs.SIZE);
    const auto add = [&](uint32_t page, uint64_t page_flags, const PageBytes& contents, bool measured) {
        const auto answer = maker.eadd(enclave.epc(page), first, enclave.at(page), page_flags, contents);
        ALCOVE_CHECK(answer == success(), "EADD");
        measure_eadd(measurement, page * kPageSize, SECINFO{.FLAGS = page_flags, .RESERVED = {}});
        if (!measured) return;
        ALCOVE_CHECK(maker.eextend(enclave.epc(page), first) == success(), "EEXTEND");
        for (uint64_t offset = 0; offset < kPageSize; offset += kChunkSize) {
            std::array<uint8_t, kChunkSize> chunk;
            std::copy_n(contents.begin() + static_cast<ptrdiff_t>(offset), kChunkSize, chunk.begin());
            measure_eextend(measurement, page * kPageSize + offset, chunk);
        }
    };
    const auto tcs_page = [&](uint32_t ssa) {
        return std::bit_cast<PageBytes>(EnclaveMaker::tcs(ssa * kPageSize, 1, 2 * kPageSize));
    };
    constexpr uint64_t kData = secinfo::R | secinfo::W | secinfo::pt(PageType::REG);
    PageBytes code{};
    code.fill(0xcc);
    add(0, secinfo::pt(PageType::TCS), tcs_page(1), true);
    add(1, kData, {}, true);
    add(2, secinfo::R | secinfo::X | secinfo::pt(PageType::REG), code, true);
    add(3, kData, {}, false);
    add(4, kData, {}, false);
    add(5, secinfo::pt(PageType::TCS), tcs_page(6), true);
    add(6, kData, {}, true);
    for (uint32_t page = 0; page < kPages - 1; ++page)
        machine.map_epc(enclave.at(page), enclave.epc(page));

    maker.set_measurement(measurement);
    SIGSTRUCT signature = EnclaveMaker::unsigned_sigstruct(secs, measurement.finish());
    if (change) change(secs, signature);
    sign(signature, test_signing_key()).value();
    const auto mrsigner = mrsigner_of(signature);
    for (uint32_t i = 0; i < 4; ++i) {
        Le64 word;
        std::memcpy(&word, mrsigner.data() + 8 * i, sizeof word);
        maker.cpu().processor().write_msr(0x8c + i, word);
    }
    ALCOVE_CHECK(maker.einit(first, signature) == success(), "EINIT");
    return enclave;
}

}  // namespace alcove::sgx

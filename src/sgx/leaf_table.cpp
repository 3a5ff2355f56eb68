// SPDX-License-Identifier: Apache-2.0
#include "sgx/leaf_table.hpp"

namespace alcove::sgx {

namespace {

using enum LeafKind;
using enum Generation;
using enum Place;

constexpr uint32_t number_of(Encls leaf) {
    return static_cast<uint32_t>(leaf);
}
constexpr uint32_t number_of(Enclu leaf) {
    return static_cast<uint32_t>(leaf);
}

constexpr LeafRow kEncls[] = {
    {number_of(Encls::ECREATE), "ECREATE", ecreate, FaultsOnly, SGX1, Outside},
    {number_of(Encls::EADD), "EADD", eadd, FaultsOnly, SGX1, Outside},
    {number_of(Encls::EINIT), "EINIT", einit, GivesStatus, SGX1, Outside},
    {number_of(Encls::EREMOVE), "EREMOVE", eremove, GivesStatus, SGX1, Outside},
    {number_of(Encls::EDBGRD), "EDBGRD", edbgrd, GivesStatus, SGX1, Outside},
    {number_of(Encls::EDBGWR), "EDBGWR", edbgwr, GivesStatus, SGX1, Outside},
    {number_of(Encls::EEXTEND), "EEXTEND", eextend, FaultsOnly, SGX1, Outside},
    {number_of(Encls::ELDB), "ELDB", eldb, GivesStatus, SGX1, Outside},
    {number_of(Encls::ELDU), "ELDU", eldu, GivesStatus, SGX1, Outside},
    {number_of(Encls::EBLOCK), "EBLOCK", eblock, GivesStatus, SGX1, Outside},
    {number_of(Encls::EPA), "EPA", epa, FaultsOnly, SGX1, Outside},
    {number_of(Encls::EWB), "EWB", ewb, GivesStatus, SGX1, Outside},
    {number_of(Encls::ETRACK), "ETRACK", etrack, GivesStatus, SGX1, Outside},
    {number_of(Encls::EAUG), "EAUG", eaug, FaultsOnly, SGX2, Outside},
    {number_of(Encls::EMODPR), "EMODPR", emodpr, GivesStatus, SGX2, Outside},
    {number_of(Encls::EMODT), "EMODT", emodt, GivesStatus, SGX2, Outside},
};

constexpr LeafRow kEnclu[] = {
    {number_of(Enclu::EREPORT), "EREPORT", ereport, FaultsOnly, SGX1, Inside},
    {number_of(Enclu::EGETKEY), "EGETKEY", egetkey, GivesStatus, SGX1, Inside},
    {number_of(Enclu::EENTER), "EENTER", eenter, SetsRip, SGX1, Outside},
    {number_of(Enclu::ERESUME), "ERESUME", eresume, SetsRip, SGX1, Outside},
    {number_of(Enclu::EEXIT), "EEXIT", eexit, SetsRip, SGX1, Inside},
    {number_of(Enclu::EACCEPT), "EACCEPT", eaccept, GivesStatus, SGX2, Inside},
    {number_of(Enclu::EMODPE), "EMODPE", emodpe, FaultsOnly, SGX2, Inside},
    {number_of(Enclu::EACCEPTCOPY), "EACCEPTCOPY", eacceptcopy, GivesStatus, SGX2, Inside},
};

template <size_t Size>
constexpr bool is_by_number(const LeafRow (&rows)[Size]) {
    for (uint32_t i = 0; i < Size; ++i)
        if (rows[i].number != i) return false;
    return true;
}
static_assert(is_by_number(kEncls) && is_by_number(kEnclu));

}  // namespace

std::span<const LeafRow> encls_leaves() {
    return kEncls;
}

std::span<const LeafRow> enclu_leaves() {
    return kEnclu;
}

Outcome<void> run_leaf(const LeafRow& row, Call& call) {
    auto outcome = row.run(call);
    const Status* status = outcome.ended_with<Status>();
    if (!outcome && status == nullptr) return outcome;
    auto& regs = call.registers();
    if (row.kind == GivesStatus) {
        regs.rflags &= ~rflags::kArithmetic;
        regs.rax = 0;
        if (status != nullptr) {
            regs.rax = static_cast<uint64_t>(status->code);
            regs.rflags |= status->flag == StatusFlag::ZF ? rflags::ZF : rflags::CF;
        }
    }
    if (row.kind != SetsRip) regs.rip += call.cpu().instruction_length();
    return {};
}

}  // namespace alcove::sgx

// SPDX-License-Identifier: Apache-2.0
#include "sgx/sealed_secs.hpp"

namespace alcove::sgx {

namespace {

// At the beginning of SECS.RESERVED4.
struct Hidden {
    Le64 eid;
    std::array<Le32, 8> measurement_words;
    Le64 measurement_blocks;
    std::array<uint8_t, 16> isvfamilyid;
    std::array<uint8_t, 16> isvextprodid;
    Le64 entries;
    Le64 asynchronous_exits;
    std::array<Le64, 16> encls;
    std::array<Le64, 8> enclu;
};
static_assert(sizeof(Hidden) <= sizeof(SECS::RESERVED4));

}  // namespace

PageBytes to_page(const Enclave& enclave) {
    Hidden hidden{};
    hidden.eid = enclave.eid;
    const auto& state = enclave.measurement.state();
    std::copy(state.words.begin(), state.words.end(), hidden.measurement_words.begin());
    hidden.measurement_blocks = state.blocks;
    hidden.isvfamilyid = enclave.isvfamilyid;
    hidden.isvextprodid = enclave.isvextprodid;
    hidden.entries = enclave.entries;
    hidden.asynchronous_exits = enclave.asynchronous_exits;
    std::copy(enclave.encls.begin(), enclave.encls.end(), hidden.encls.begin());
    std::copy(enclave.enclu.begin(), enclave.enclu.end(), hidden.enclu.begin());
    PageBytes page{};
    std::memcpy(page.data(), &enclave.secs, sizeof enclave.secs);
    std::memcpy(page.data() + offsetof(SECS, RESERVED4), &hidden, sizeof hidden);
    return page;
}

std::unique_ptr<Enclave> enclave_from_page(const PageBytes& page) {
    auto enclave = std::make_unique<Enclave>();
    const auto secs = std::bit_cast<SECS>(page);
    enclave->secs = SecsFields::of(secs);
    Hidden hidden;
    std::memcpy(&hidden, secs.RESERVED4.data(), sizeof hidden);
    enclave->eid = hidden.eid;
    crypto::Sha256Blocks::State state{};
    std::copy(hidden.measurement_words.begin(), hidden.measurement_words.end(), state.words.begin());
    state.blocks = hidden.measurement_blocks;
    enclave->measurement = crypto::Sha256Blocks(state);
    enclave->isvfamilyid = hidden.isvfamilyid;
    enclave->isvextprodid = hidden.isvextprodid;
    enclave->entries = hidden.entries;
    enclave->asynchronous_exits = hidden.asynchronous_exits;
    std::copy(hidden.encls.begin(), hidden.encls.end(), enclave->encls.begin());
    std::copy(hidden.enclu.begin(), hidden.enclu.end(), enclave->enclu.begin());
    return enclave;
}

}  // namespace alcove::sgx

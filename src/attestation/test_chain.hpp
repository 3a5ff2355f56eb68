// SPDX-License-Identifier: Apache-2.0
//
// For tests and fuzzers: a root, an intermediate and an enclave's certificate with their keys, and a payload
// that is right in every field, to be changed in one.
#pragma once

#include "attestation/certificates.hpp"
#include "attestation/document.hpp"
#include "attestation/verifier.hpp"
#include "codec/cbor.hpp"

namespace alcove::attestation {

struct TestChain {
    static constexpr TimePoint kNow{std::chrono::seconds(1'750'000'000)};

    PrivateKey root_key;
    PrivateKey intermediate_key;
    PrivateKey leaf_key;
    Certificate root;
    Certificate intermediate;
    Certificate leaf;
    std::vector<Certificate> bundle;

    static TestChain make(HostKind kind = HostKind::Production, TimePoint now = kNow) {
        auto root_key = PrivateKey::generate(crypto::Curve::P384).value();
        auto intermediate_key = PrivateKey::generate(crypto::Curve::P384).value();
        auto leaf_key = PrivateKey::generate(crypto::Curve::P384).value();
        auto root = make_root(root_key, kind, now).value();
        auto intermediate =
            make_intermediate(intermediate_key.public_key(), kind, root_key, root, now).value();
        auto leaf = make_leaf(leaf_key.public_key(), intermediate_key, intermediate, "test", now).value();
        std::vector<Certificate> bundle{root, intermediate};
        return {std::move(root_key), std::move(intermediate_key), std::move(leaf_key),
                std::move(root),     std::move(intermediate),     std::move(leaf),
                std::move(bundle)};
    }

    static PcrBank pcrs() {
        PcrBank bank;
        PcrValue value;
        for (const uint32_t index : {0U, 1U, 2U, 4U}) {
            value.fill(static_cast<uint8_t>(0x10 + index));
            bank.set_measured(index, value);
        }
        return bank;
    }

    Bytes document(const AttestFields& fields = {}, const PcrBank& bank = pcrs(),
                   TimePoint time = kNow) const {
        return make_document({.module_id = "i-test-enc0",
                              .timestamp = time,
                              .pcrs = bank,
                              .leaf = leaf,
                              .bundle = bundle,
                              .fields = fields},
                             leaf_key)
            .value();
    }

    // With the field's value replaced, or the field added at the end.
    codec::cbor::Map payload(std::string_view field, codec::cbor::Value value) const {
        const auto envelope = parse_envelope(document()).value();
        const auto good = codec::cbor::decode(envelope.payload).value();
        codec::cbor::Map map;
        bool found = false;
        for (const auto& entry : (*good.as_map())->entries()) {
            const bool is_field = *entry.key.as_text() == field;
            map.add(entry.key, is_field ? value : entry.value);
            found = found || is_field;
        }
        if (!found) map.add(field, value);
        return map;
    }
    codec::cbor::Map payload_without(std::string_view field) const {
        const auto envelope = parse_envelope(document()).value();
        const auto good = codec::cbor::decode(envelope.payload).value();
        codec::cbor::Map map;
        for (const auto& entry : (*good.as_map())->entries())
            if (*entry.key.as_text() != field) map.add(entry.key, entry.value);
        return map;
    }

    Bytes sign(ByteView encoded_payload) const {
        return crypto::cose_sign1(encoded_payload, leaf_key).value();
    }

    Policy policy() const {
        Policy policy;
        policy.root = root;
        policy.now = kNow;
        return policy;
    }
};

}  // namespace alcove::attestation

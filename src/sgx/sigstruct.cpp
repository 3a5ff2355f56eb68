// SPDX-License-Identifier: Apache-2.0
#include "sgx/sigstruct.hpp"

#include <algorithm>

#include "sgx/reserved.hpp"

namespace alcove::sgx {

namespace {

crypto::Sha256Value signed_digest(const SIGSTRUCT& sigstruct) {
    const ByteView bytes = object_bytes(sigstruct);
    Bytes message = to_bytes(bytes.first(SIGSTRUCT::kFirstSigned));
    const ByteView second = bytes.subspan(SIGSTRUCT::kSecondSigned, SIGSTRUCT::kSecondSignedSize);
    message.insert(message.end(), second.begin(), second.end());
    return crypto::sha256(message);
}

}  // namespace

bool is_well_formed(const SIGSTRUCT& sigstruct) {
    return sigstruct.HEADER == SIGSTRUCT::kHeader && sigstruct.HEADER2 == SIGSTRUCT::kHeader2 &&
           (sigstruct.VENDOR == 0 || sigstruct.VENDOR == SIGSTRUCT::kVendorIntel) &&
           sigstruct.EXPONENT == SIGSTRUCT::kExponent &&
           all_zero(sigstruct.RESERVED1, sigstruct.RESERVED2, sigstruct.RESERVED3, sigstruct.RESERVED4);
}

bool is_signed(const SIGSTRUCT& sigstruct) {
    const crypto::Rsa3Signature signature{
        .signature = sigstruct.SIGNATURE, .q1 = sigstruct.Q1, .q2 = sigstruct.Q2};
    return crypto::verify_rsa3(sigstruct.MODULUS, signature, signed_digest(sigstruct));
}

Measurement mrsigner_of(const SIGSTRUCT& sigstruct) {
    return crypto::sha256(sigstruct.MODULUS);
}

Result<void> sign(SIGSTRUCT& sigstruct, const crypto::Rsa3PrivateKey& key) {
    sigstruct.HEADER = SIGSTRUCT::kHeader;
    sigstruct.HEADER2 = SIGSTRUCT::kHeader2;
    sigstruct.EXPONENT = SIGSTRUCT::kExponent;
    sigstruct.MODULUS = key.modulus();
    const auto signature = TRY(key.sign(signed_digest(sigstruct)));
    sigstruct.SIGNATURE = signature.signature;
    sigstruct.Q1 = signature.q1;
    sigstruct.Q2 = signature.q2;
    return {};
}

}  // namespace alcove::sgx

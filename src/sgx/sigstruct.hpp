// SPDX-License-Identifier: Apache-2.0
//
// SIGSTRUCT looked at by itself: is it well formed, did the holder of its key sign it, who is that.
//
// Source: SDM vol. 3D, "EINIT".
#pragma once

#include "crypto/rsa3.hpp"
#include "sgx/spec_signature.hpp"

namespace alcove::sgx {

// Headers, vendor, exponent and reserved bytes are as they must be.
bool is_well_formed(const SIGSTRUCT& sigstruct);
// The signature is the key's, and both quotients are right.
bool is_signed(const SIGSTRUCT& sigstruct);
Measurement mrsigner_of(const SIGSTRUCT& sigstruct);

// Fills the constant fields, MODULUS, SIGNATURE and quotients: for those who make enclaves.
Result<void> sign(SIGSTRUCT& sigstruct, const crypto::Rsa3PrivateKey& key);

}  // namespace alcove::sgx

// SPDX-License-Identifier: Apache-2.0
//
// The outermost layer of a certificate: how and with which bytes its issuer signed it (RFC 5280, 4.1). Only
// shown to people; nothing is decided by it.
#pragma once

#include <string>

#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::eif {

struct CertificateOutline {
    std::string signature_algorithm;  // "ecdsa-with-SHA384", or the dotted number of another one
    Bytes signature;
};

// ImageSignature when `der` has not the shape of a certificate.
Result<CertificateOutline> outline_certificate(ByteView der);

}  // namespace alcove::eif

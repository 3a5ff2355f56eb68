// SPDX-License-Identifier: Apache-2.0
//
// Certificate ::= SEQUENCE { tbsCertificate, SEQUENCE { OBJECT IDENTIFIER, ... }, BIT STRING }
#include "eif/certificate_outline.hpp"

#include <utility>

#include "support/checked.hpp"

namespace alcove::eif {

namespace {

constexpr uint8_t kSequence = 0x30;
constexpr uint8_t kObjectIdentifier = 0x06;
constexpr uint8_t kBitString = 0x03;

Failure malformed() {
    return fail(ErrorCode::ImageSignature, "the signing certificate is not DER");
}

// Takes one element with this tag off the front of `rest`; gives its content.
Result<ByteView> take(ByteView& rest, uint8_t tag) {
    if (rest.size() < 2 || rest[0] != tag) return malformed();
    uint64_t length = rest[1];
    size_t head = 2;
    if (length >= 0x80) {
        const size_t length_bytes = length & 0x7F;
        if (length_bytes == 0 || length_bytes > 4 || rest.size() < head + length_bytes) return malformed();
        length = 0;
        for (size_t index = 0; index < length_bytes; ++index)
            length = length << 8 | rest[head + index];
        head += length_bytes;
    }
    if (!range_within(uint64_t{head}, length, uint64_t{rest.size()})) return malformed();
    const ByteView content = rest.subspan(head, length);
    rest = rest.subspan(head + length);
    return content;
}

std::string dotted(ByteView oid) {
    std::string text;
    uint64_t arc = 0;
    for (const uint8_t byte : oid) {
        arc = arc << 7 | (byte & 0x7F);
        if ((byte & 0x80) != 0) continue;
        if (text.empty()) {
            const uint64_t root = arc < 80 ? arc / 40 : 2;
            text = std::to_string(root) + "." + std::to_string(arc - root * 40);
        } else {
            text += "." + std::to_string(arc);
        }
        arc = 0;
    }
    return text;
}

std::string name_of(const std::string& oid) {
    // RFC 5758, 3.2, and RFC 8017, appendix C.
    static const std::pair<std::string_view, std::string_view> kNames[] = {
        {"1.2.840.10045.4.3.2", "ecdsa-with-SHA256"},
        {"1.2.840.10045.4.3.3", "ecdsa-with-SHA384"},
        {"1.2.840.10045.4.3.4", "ecdsa-with-SHA512"},
        {"1.2.840.113549.1.1.11", "sha256WithRSAEncryption"},
        {"1.2.840.113549.1.1.12", "sha384WithRSAEncryption"},
        {"1.2.840.113549.1.1.13", "sha512WithRSAEncryption"},
    };
    for (const auto& [number, name] : kNames)
        if (number == oid) return std::string(name);
    return oid;
}

}  // namespace

Result<CertificateOutline> outline_certificate(ByteView der) {
    ByteView certificate = TRY(take(der, kSequence));
    TRY(take(certificate, kSequence));
    ByteView algorithm = TRY(take(certificate, kSequence));
    const ByteView oid = TRY(take(algorithm, kObjectIdentifier));
    const ByteView bits = TRY(take(certificate, kBitString));
    if (bits.empty()) return malformed();
    // The first byte of a bit string says how many bits are unused: none in a signature.
    return CertificateOutline{name_of(dotted(oid)), to_bytes(bits.subspan(1))};
}

}  // namespace alcove::eif

// SPDX-License-Identifier: Apache-2.0
//
// Whatever decodes, encodes; and what was encoded decodes to the same value and encodes to the same bytes.
#include "codec/cbor.hpp"
#include "support/check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    namespace cbor = alcove::codec::cbor;
    const auto first = cbor::decode_first(alcove::ByteView(data, size));
    if (!first) return 0;
    const alcove::Bytes encoded = cbor::encode(first->value);
    const auto second = cbor::decode(encoded, {.bytes = SIZE_MAX});
    ALCOVE_CHECK(second, "what we encode is well-formed");
    ALCOVE_CHECK(cbor::encode(*second) == encoded, "encoding is stable");
    return 0;
}

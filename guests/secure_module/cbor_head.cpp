// SPDX-License-Identifier: Apache-2.0
#include "secure_module/cbor_head.hpp"

namespace alcove::secure_module {

void put_head(Bytes& out, Major major, uint64_t argument) {
    const auto type = static_cast<uint8_t>(static_cast<uint8_t>(major) << 5);
    if (argument < 24) {
        out.push_back(static_cast<uint8_t>(type | argument));
        return;
    }
    const unsigned power = argument < 0x100 ? 0 : argument < 0x10000 ? 1 : argument < 0x100000000 ? 2 : 3;
    out.push_back(static_cast<uint8_t>(type | (24 + power)));
    for (unsigned byte = 1u << power; byte-- > 0;)
        out.push_back(static_cast<uint8_t>(argument >> (8 * byte)));
}

void put_bytes(Bytes& out, Major major, ByteView bytes) {
    put_head(out, major, bytes.size());
    out.insert(out.end(), bytes.begin(), bytes.end());
}

void put_text(Bytes& out, std::string_view text) {
    put_bytes(out, Major::TextString, as_byte_view(text));
}

Result<Head> take_head(ByteView& bytes) {
    if (bytes.empty()) return fail(ErrorCode::CborMalformed, "the reply ends early");
    const auto major = static_cast<Major>(bytes.front() >> 5);
    const unsigned info = bytes.front() & 0x1f;
    bytes = bytes.subspan(1);
    if (info < 24) return Head{.major = major, .argument = info};
    if (info > 27) return fail(ErrorCode::CborMalformed, "a length is indefinite or reserved");
    const size_t width = size_t{1} << (info - 24);
    if (width > bytes.size()) return fail(ErrorCode::CborMalformed, "the reply ends early");
    uint64_t argument = 0;
    for (const uint8_t byte : bytes.first(width))
        argument = argument << 8 | byte;
    bytes = bytes.subspan(width);
    return Head{.major = major, .argument = argument};
}

}  // namespace alcove::secure_module

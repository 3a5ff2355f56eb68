// SPDX-License-Identifier: Apache-2.0
#include "key_service/nsm_codec.hpp"

#include <string>
#include <string_view>
#include <utility>

namespace alcove::key_service {

namespace {

// RFC 8949, 3.1 "Major Types".
enum class Major : uint8_t { ByteString = 2, TextString = 3, Map = 5 };
constexpr uint8_t kNull = 0xf6;

void put_head(Bytes& out, Major major, size_t argument) {
    const auto type = static_cast<uint8_t>(static_cast<uint8_t>(major) << 5);
    if (argument < 24) {
        out.push_back(static_cast<uint8_t>(type | argument));
    } else if (argument < 0x100) {
        out.push_back(type | 24);
        out.push_back(static_cast<uint8_t>(argument));
    } else {
        // Nothing here comes near 64 KiB: a request to the module has at most 4096 bytes.
        out.push_back(type | 25);
        out.push_back(static_cast<uint8_t>(argument >> 8));
        out.push_back(static_cast<uint8_t>(argument));
    }
}

void put_bytes(Bytes& out, Major major, ByteView bytes) {
    put_head(out, major, bytes.size());
    out.insert(out.end(), bytes.begin(), bytes.end());
}

void put_text(Bytes& out, std::string_view text) {
    put_bytes(out, Major::TextString, as_byte_view(text));
}

Failure malformed(const char* what) {
    return fail(ErrorCode::CborMalformed, what);
}

class Reader {
  public:
    explicit Reader(ByteView bytes) : bytes_(bytes) {}

    // The argument of an item that has to be of this type; definite lengths only, in any width.
    Result<uint64_t> take_head(Major major) {
        if (bytes_.empty()) return malformed("the reply ends early");
        const uint8_t first = bytes_.front();
        if (first >> 5 != static_cast<uint8_t>(major)) return malformed("an item is of another type");
        bytes_ = bytes_.subspan(1);
        const unsigned info = first & 0x1f;
        if (info < 24) return info;
        if (info > 27) return malformed("a length is indefinite or reserved");
        const size_t width = size_t{1} << (info - 24);
        if (width > bytes_.size()) return malformed("the reply ends early");
        uint64_t argument = 0;
        for (const uint8_t byte : bytes_.first(width))
            argument = argument << 8 | byte;
        bytes_ = bytes_.subspan(width);
        return argument;
    }

    Result<ByteView> take_bytes(Major major) {
        const uint64_t length = TRY(take_head(major));
        if (length > bytes_.size()) return malformed("a string is longer than the reply");
        const ByteView taken = bytes_.first(length);
        bytes_ = bytes_.subspan(length);
        return taken;
    }

    // A map of one pair; its key.
    Result<std::string_view> take_only_key() {
        const uint64_t pairs = TRY(take_head(Major::Map));
        if (pairs != 1) return malformed("a map has more or fewer than one pair");
        const ByteView key = TRY(take_bytes(Major::TextString));
        return as_text(key);
    }

    Result<void> expect_end() const {
        if (!bytes_.empty()) return malformed("something follows the reply");
        return {};
    }

  private:
    ByteView bytes_;
};

}  // namespace

Bytes encode_attestation_request(ByteView public_key, ByteView nonce) {
    Bytes out;
    put_head(out, Major::Map, 1);
    put_text(out, "Attestation");
    put_head(out, Major::Map, 3);
    put_text(out, "user_data");
    out.push_back(kNull);
    put_text(out, "nonce");
    put_bytes(out, Major::ByteString, nonce);
    put_text(out, "public_key");
    put_bytes(out, Major::ByteString, public_key);
    return out;
}

Result<Bytes> decode_attestation_reply(ByteView reply) {
    Reader reader(reply);
    const std::string_view name = TRY(reader.take_only_key());
    if (name == "Error") {
        const ByteView error = TRY(reader.take_bytes(Major::TextString));
        return fail(ErrorCode::Unsupported, "the security module says " + std::string(as_text(error)));
    }
    if (name != "Attestation") return malformed("the reply is to another request");
    const std::string_view field = TRY(reader.take_only_key());
    if (field != "document") return malformed("the reply has no document");
    const ByteView document = TRY(reader.take_bytes(Major::ByteString));
    TRY(reader.expect_end());
    return to_bytes(document);
}

}  // namespace alcove::key_service

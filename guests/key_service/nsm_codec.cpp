// SPDX-License-Identifier: Apache-2.0
#include "key_service/nsm_codec.hpp"

#include <string>
#include <string_view>
#include <utility>

#include "secure_module/cbor_head.hpp"

namespace alcove::key_service {

namespace {

using secure_module::Major;
using secure_module::put_bytes;
using secure_module::put_head;
using secure_module::put_text;

Failure bad_reply(const char* what) {
    return fail(ErrorCode::CborMalformed, what);
}

class ReplyReader {
  public:
    explicit ReplyReader(ByteView bytes) : bytes_(bytes) {}

    // The argument of an item that has to be of this type.
    Result<uint64_t> take_argument(Major major) {
        const auto head = TRY(secure_module::take_head(bytes_));
        if (head.major != major) return bad_reply("an item is of another type");
        return head.argument;
    }

    Result<ByteView> take_bytes(Major major) {
        const uint64_t length = TRY(take_argument(major));
        if (length > bytes_.size()) return bad_reply("a string is longer than the reply");
        const ByteView taken = bytes_.first(length);
        bytes_ = bytes_.subspan(length);
        return taken;
    }

    // A map of one pair; its key.
    Result<std::string_view> take_only_key() {
        const uint64_t pairs = TRY(take_argument(Major::Map));
        if (pairs != 1) return bad_reply("a map has more or fewer than one pair");
        const ByteView key = TRY(take_bytes(Major::TextString));
        return as_text(key);
    }

    Result<void> expect_end() const {
        if (!bytes_.empty()) return bad_reply("something follows the reply");
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
    put_head(out, Major::Simple, secure_module::kNull);
    put_text(out, "nonce");
    put_bytes(out, Major::ByteString, nonce);
    put_text(out, "public_key");
    put_bytes(out, Major::ByteString, public_key);
    return out;
}

Result<Bytes> decode_attestation_reply(ByteView reply) {
    ReplyReader reader(reply);
    const std::string_view name = TRY(reader.take_only_key());
    if (name == "Error") {
        const ByteView error = TRY(reader.take_bytes(Major::TextString));
        return fail(ErrorCode::Unsupported, "the security module says " + std::string(as_text(error)));
    }
    if (name != "Attestation") return bad_reply("the reply is to another request");
    const std::string_view field = TRY(reader.take_only_key());
    if (field != "document") return bad_reply("the reply has no document");
    const ByteView document = TRY(reader.take_bytes(Major::ByteString));
    TRY(reader.expect_end());
    return to_bytes(document);
}

}  // namespace alcove::key_service

// SPDX-License-Identifier: Apache-2.0
#include "key_service/protocol.hpp"

#include <algorithm>
#include <utility>

#include "support/endian.hpp"

namespace alcove::key_service {

namespace {

enum class MessageType : uint8_t {
    Challenge = 0x01,
    Decrypt = 0x02,
    Document = 0x81,
    Answer = 0x82,
    Refusal = 0xff,
};

class Writer {
  public:
    explicit Writer(MessageType type) : bytes_{kProtocolVersion, static_cast<uint8_t>(type)} {}

    Writer& put(ByteView bytes) {
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
        return *this;
    }
    template <typename Wire>
    Writer& put_integer(Wire value) {
        return put(object_bytes(value));
    }
    Writer& put_sealed(const Sealed& sealed) { return put(sealed.iv).put(sealed.tag).put(sealed.ciphertext); }
    Bytes take() { return std::move(bytes_); }

  private:
    Bytes bytes_;
};

Failure malformed(const char* what) {
    return fail(ErrorCode::InvalidMessage, what);
}

// Takes a message apart from front to back.
class Reader {
  public:
    explicit Reader(ByteView bytes) : bytes_(bytes) {}

    Result<ByteView> take(size_t count) {
        if (count > bytes_.size()) return malformed("the message is shorter than its fields");
        const ByteView taken = bytes_.first(count);
        bytes_ = bytes_.subspan(count);
        return taken;
    }
    template <typename Wire>
    Result<Wire> take_integer() {
        const ByteView bytes = TRY(take(sizeof(Wire)));
        return *read_object<Wire>(bytes);  // it has just that size
    }
    template <size_t Size>
    Result<std::array<uint8_t, Size>> take_array() {
        const ByteView bytes = TRY(take(Size));
        std::array<uint8_t, Size> array;
        std::copy(bytes.begin(), bytes.end(), array.begin());
        return array;
    }
    Result<Bytes> take_rest(size_t limit) {
        if (bytes_.size() > limit) return malformed("a field is longer than its limit");
        return to_bytes(std::exchange(bytes_, ByteView()));
    }
    Result<Sealed> take_sealed() {
        Sealed sealed;
        sealed.iv = TRY(take_array<12>());
        sealed.tag = TRY(take_array<16>());
        sealed.ciphertext = TRY(take_rest(kSecretLimit));
        return sealed;
    }

  private:
    ByteView bytes_;
};

// The type, with the version checked.
Result<MessageType> take_type(Reader& reader) {
    const ByteView head = TRY(reader.take(2));
    if (head[0] != kProtocolVersion)
        return fail(ErrorCode::VersionMismatch,
                    "protocol version " + std::to_string(head[0]) + " is not spoken here");
    return static_cast<MessageType>(head[1]);
}

Failure unknown(MessageType type) {
    return fail(ErrorCode::Unsupported, "message type " + std::to_string(static_cast<unsigned>(type)));
}

Result<Decrypt> take_decrypt(Reader& reader) {
    const size_t key_size = TRY(reader.take_integer<Be16>());
    if (key_size > kPublicKeyLimit) return malformed("the public key is longer than its limit");
    const ByteView key = TRY(reader.take(key_size));
    Decrypt decrypt;
    decrypt.public_key = to_bytes(key);
    decrypt.secret = TRY(reader.take_sealed());
    return decrypt;
}

Result<Answer> take_answer(Reader& reader) {
    Answer answer;
    answer.digest = TRY(reader.take_array<32>());
    answer.length = TRY(reader.take_integer<Be32>());
    answer.echo = TRY(reader.take_sealed());
    return answer;
}

Result<Refusal> take_refusal(Reader& reader) {
    const ByteView reason = TRY(reader.take(1));
    const Bytes text = TRY(reader.take_rest(kRefusalTextLimit));
    return Refusal{reason[0], std::string(as_text(text))};
}

Bytes encode_one(const Challenge& challenge) {
    return Writer(MessageType::Challenge).put(challenge.nonce).take();
}

Bytes encode_one(const Decrypt& decrypt) {
    return Writer(MessageType::Decrypt)
        .put_integer(Be16(static_cast<uint16_t>(decrypt.public_key.size())))
        .put(decrypt.public_key)
        .put_sealed(decrypt.secret)
        .take();
}

Bytes encode_one(const Document& document) {
    return Writer(MessageType::Document).put(document.document).take();
}

Bytes encode_one(const Answer& answer) {
    return Writer(MessageType::Answer)
        .put(answer.digest)
        .put_integer(Be32(answer.length))
        .put_sealed(answer.echo)
        .take();
}

Bytes encode_one(const Refusal& refusal) {
    const std::string_view text = std::string_view(refusal.text).substr(0, kRefusalTextLimit);
    return Writer(MessageType::Refusal).put({&refusal.reason, 1}).put(as_byte_view(text)).take();
}

}  // namespace

Bytes encode(const Request& request) {
    return std::visit([](const auto& one) { return encode_one(one); }, request);
}

Bytes encode(const Reply& reply) {
    return std::visit([](const auto& one) { return encode_one(one); }, reply);
}

Result<Request> decode_request(ByteView message) {
    Reader reader(message);
    const MessageType type = TRY(take_type(reader));
    switch (type) {
        case MessageType::Challenge: {
            Bytes nonce = TRY(reader.take_rest(kNonceLimit));
            return Request(Challenge{std::move(nonce)});
        }
        case MessageType::Decrypt: {
            Decrypt decrypt = TRY(take_decrypt(reader));
            return Request(std::move(decrypt));
        }
        default:
            return unknown(type);
    }
}

Result<Reply> decode_reply(ByteView message) {
    Reader reader(message);
    const MessageType type = TRY(take_type(reader));
    Reply reply;
    switch (type) {
        case MessageType::Document: {
            Bytes document = TRY(reader.take_rest(kMessageLimit));
            reply.emplace<Document>(Document{std::move(document)});
            break;
        }
        case MessageType::Answer: {
            Answer answer = TRY(take_answer(reader));
            reply.emplace<Answer>(std::move(answer));
            break;
        }
        case MessageType::Refusal: {
            Refusal refusal = TRY(take_refusal(reader));
            reply.emplace<Refusal>(std::move(refusal));
            break;
        }
        default:
            return unknown(type);
    }
    return reply;
}

}  // namespace alcove::key_service

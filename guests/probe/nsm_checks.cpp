// SPDX-License-Identifier: Apache-2.0
#include "probe/nsm_checks.hpp"

#include <algorithm>
#include <optional>
#include <set>

#include "key_service/hex.hpp"
#include "key_service/nsm_codec.hpp"
#include "probe/digest.hpp"
#include "probe/nsm_message.hpp"
#include "probe/pattern.hpp"

namespace alcove::probe {

namespace {

constexpr uint64_t kPcrCount = 32;
constexpr uint64_t kLockedAtStart = 16;
constexpr uint64_t kOwnPcr = 16;  // the first that is the enclave's to extend
constexpr size_t kPcrBytes = 48;
constexpr size_t kFieldBytes = 1024;
constexpr int kRandomReplies = 16;

Failure wrong(std::string what) {
    return fail(ErrorCode::InvalidMessage, std::move(what));
}

Result<Reply> ask_module(SecureModule& module, ByteView request) {
    const Bytes bytes = TRY(module.ask(request));
    return decode_reply(bytes);
}

Result<Reply> expect_reply(SecureModule& module, ByteView request, std::string_view name) {
    Reply reply = TRY(ask_module(module, request));
    if (reply.name != name) return wrong("answered " + reply.to_string());
    return reply;
}

Result<void> expect_error(SecureModule& module, ByteView request, std::string_view name) {
    const Reply reply = TRY(ask_module(module, request));
    if (reply.to_string() != "Error " + std::string(name)) return wrong("answered " + reply.to_string());
    return {};
}

Bytes describe_pcr(uint64_t index) {
    return encode_number_request("DescribePCR", "index", index);
}

Bytes lock_pcr(uint64_t index) {
    return encode_number_request("LockPCR", "index", index);
}

Bytes lock_pcrs(uint64_t range) {
    return encode_number_request("LockPCRs", "range", range);
}

struct Pcr {
    Bytes value;
    bool locked;
    bool is_zero() const {
        return std::all_of(value.begin(), value.end(), [](uint8_t byte) { return byte == 0; });
    }
};

Result<Pcr> read_pcr(SecureModule& module, uint64_t index) {
    const Reply reply = TRY(expect_reply(module, describe_pcr(index), "DescribePCR"));
    const Value* lock = TRY(reply.fields.field("lock", Value::Kind::Bool));
    const Value* data = TRY(reply.fields.field("data", Value::Kind::Bytes));
    if (data->bytes.size() != kPcrBytes) return wrong("a PCR is not 48 bytes long");
    return Pcr{.value = data->bytes, .locked = lock->number == 1};
}

Result<void> expect_locked_list(const Value& description, uint64_t count) {
    const Value* locked = TRY(description.field("locked_pcrs", Value::Kind::Array));
    std::string found;
    bool is_right = locked->items.size() == count;
    for (size_t i = 0; i < locked->items.size(); ++i) {
        const Value& item = locked->items[i];
        is_right = is_right && item.kind == Value::Kind::Number && item.number == i;
        found += " " + std::to_string(item.number);
    }
    if (!is_right) return wrong("locked PCRs are" + found);
    return {};
}

Result<void> check_describe_nsm(SecureModule& module) {
    const Reply reply = TRY(expect_reply(module, encode_plain_request("DescribeNSM"), "DescribeNSM"));
    TRY(reply.fields.field("version_major", Value::Kind::Number));
    TRY(reply.fields.field("version_minor", Value::Kind::Number));
    TRY(reply.fields.field("version_patch", Value::Kind::Number));
    const Value* max_pcrs = TRY(reply.fields.field("max_pcrs", Value::Kind::Number));
    if (max_pcrs->number != kPcrCount) return wrong("max_pcrs is " + std::to_string(max_pcrs->number));
    const Value* digest = TRY(reply.fields.field("digest", Value::Kind::Text));
    if (digest->text() != "SHA384") return wrong("digest is " + digest->text());
    const Value* module_id = TRY(reply.fields.field("module_id", Value::Kind::Text));
    if (module_id->bytes.empty()) return wrong("module_id is empty");
    return expect_locked_list(reply.fields, kLockedAtStart);
}

Result<void> check_describe_pcr(SecureModule& module) {
    const std::set<uint64_t> measured{0, 1, 2, 4};
    std::string mistakes;
    const auto note = [&](const std::string& mistake) {
        mistakes += (mistakes.empty() ? "" : ", ") + mistake;
    };
    for (uint64_t index = 0; index < kPcrCount; ++index) {
        const std::string name = "PCR" + std::to_string(index);
        const Pcr pcr = TRY(read_pcr(module, index).context(name));
        if (pcr.is_zero() == measured.contains(index))
            note(name + (pcr.is_zero() ? " is zero" : " is not zero"));
        if (pcr.locked != (index < kLockedAtStart))
            note(name + (pcr.locked ? " is locked" : " is not locked"));
    }
    if (!mistakes.empty()) return wrong(mistakes);
    return {};
}

Result<void> check_extend_pcr(SecureModule& module) {
    const Bytes data = to_bytes(Pattern(kOwnPcr).at(0).first(100));
    // Twice: the second time the old value is not zero.
    for (int round = 0; round < 2; ++round) {
        const Pcr before = TRY(read_pcr(module, kOwnPcr));
        Digest digest(Digest::Kind::Sha384);
        digest.add(before.value);
        digest.add(data);
        const Bytes expected = digest.finish();
        const Reply reply = TRY(expect_reply(module, encode_extend_request(kOwnPcr, data), "ExtendPCR"));
        const Value* value = TRY(reply.fields.field("data", Value::Kind::Bytes));
        if (value->bytes != expected) return wrong("the new value is " + key_service::to_hex(value->bytes));
        const Pcr after = TRY(read_pcr(module, kOwnPcr));
        if (after.value != expected) return wrong("the value did not stay");
    }
    return {};
}

Result<void> check_extend_locked_pcr(SecureModule& module) {
    for (const uint64_t index : {uint64_t{0}, kLockedAtStart - 1}) {
        const Pcr before = TRY(read_pcr(module, index));
        TRY(expect_error(module, encode_extend_request(index, before.value), "ReadOnlyIndex"));
        const Pcr after = TRY(read_pcr(module, index));
        if (after.value != before.value) return wrong("the value of a locked PCR has changed");
    }
    return {};
}

Result<void> check_lock_pcr(SecureModule& module) {
    TRY(expect_reply(module, lock_pcr(kOwnPcr), "LockPCR"));
    const Pcr pcr = TRY(read_pcr(module, kOwnPcr));
    if (!pcr.locked) return wrong("PCR16 is not locked");
    return expect_error(module, encode_extend_request(kOwnPcr, pcr.value), "ReadOnlyIndex");
}

Result<void> check_lock_pcr_again(SecureModule& module) {
    return expect_error(module, lock_pcr(kOwnPcr), "ReadOnlyIndex");
}

Result<void> check_lock_pcrs_too_many(SecureModule& module) {
    TRY(expect_error(module, lock_pcrs(kPcrCount + 1), "InvalidIndex"));
    const Pcr last = TRY(read_pcr(module, kPcrCount - 1));
    if (last.locked) return wrong("PCR31 is locked all the same");
    return {};
}

Result<void> check_lock_pcrs(SecureModule& module) {
    TRY(expect_reply(module, lock_pcrs(kPcrCount), "LockPCRs"));
    // All are locked by now, which is no error for a range.
    TRY(expect_reply(module, lock_pcrs(kPcrCount), "LockPCRs"));
    const Reply reply = TRY(expect_reply(module, encode_plain_request("DescribeNSM"), "DescribeNSM"));
    return expect_locked_list(reply.fields, kPcrCount);
}

Result<void> check_index_too_large(SecureModule& module) {
    const Bytes data{1};
    for (const uint64_t index : {kPcrCount, uint64_t{255}, uint64_t{65535}}) {
        TRY(expect_error(module, describe_pcr(index), "InvalidIndex").context("DescribePCR"));
        TRY(expect_error(module, encode_extend_request(index, data), "InvalidIndex").context("ExtendPCR"));
        TRY(expect_error(module, lock_pcr(index), "InvalidIndex").context("LockPCR"));
    }
    return {};
}

bool contains(const Bytes& whole, const Bytes& part) {
    return std::search(whole.begin(), whole.end(), part.begin(), part.end()) != whole.end();
}

Result<void> check_attestation(SecureModule& module, const AttestationFields& fields) {
    const Bytes bytes = TRY(module.ask(encode_attestation_request(fields)));
    const Bytes document = TRY(key_service::decode_attestation_reply(bytes));
    // An untagged COSE_Sign1 with the protected header {1: -35}, ES384.
    const Bytes beginning{0x84, 0x44, 0xa1, 0x01, 0x38, 0x22};
    if (document.size() < beginning.size() ||
        !std::equal(beginning.begin(), beginning.end(), document.begin()))
        return wrong("the document is no COSE_Sign1 with ES384");
    for (const auto& field : {fields.user_data, fields.nonce, fields.public_key}) {
        if (field && !contains(document, *field)) return wrong("a field is not in the document");
    }
    return {};
}

// The four that AWS's check makes, each with one field more.
AttestationFields attestation_variant(unsigned count) {
    const auto field = [count](unsigned number) -> std::optional<Bytes> {
        if (number > count) return std::nullopt;
        return to_bytes(Pattern(number).at(0).first(kFieldBytes));
    };
    return AttestationFields{.user_data = field(1), .nonce = field(2), .public_key = field(3)};
}

Result<void> check_garbage(SecureModule& module) {
    const std::vector<Bytes> garbage{
        {0xff},                                          // a break without a beginning
        {0xbb, 255, 255, 255, 255, 255, 255, 255, 255},  // a map longer than any memory
        {0x6b, 'D', 'e', 's'},                           // a text that ends early
        encode_plain_request("NoSuchRequest"),
        encode_number_request("DescribePCR", "no_such_field", 1),
        Bytes(4096, 0x9f),  // arrays in arrays in arrays
    };
    for (size_t i = 0; i < garbage.size(); ++i) {
        const std::string name = "garbage " + std::to_string(i);
        const Reply reply = TRY(ask_module(module, garbage[i]).context(name));
        if (reply.name != "Error") return wrong(name + " is answered " + reply.to_string());
    }
    return {};
}

Result<void> check_get_random(SecureModule& module) {
    std::set<Bytes> seen;
    for (int i = 0; i < kRandomReplies; ++i) {
        const Reply reply = TRY(expect_reply(module, encode_plain_request("GetRandom"), "GetRandom"));
        const Value* random = TRY(reply.fields.field("random", Value::Kind::Bytes));
        if (random->bytes.empty()) return wrong("a reply is empty");
        if (!seen.insert(random->bytes).second) return wrong("a reply came twice");
    }
    return {};
}

}  // namespace

std::string CheckResult::to_string() const {
    if (detail.empty()) return "ok " + name;
    std::string line = "FAILED " + name + " " + detail;
    // A name the module made up may hold anything.
    for (char& character : line) {
        if (character < ' ' || character > '~') character = '?';
    }
    return line;
}

CheckResult result_of(std::string name, const Result<void>& outcome) {
    return CheckResult{.name = std::move(name), .detail = outcome ? "" : outcome.error().to_string()};
}

std::vector<CheckResult> check_secure_module(SecureModule& module) {
    std::vector<CheckResult> results;
    const auto check = [&](std::string name, const Result<void>& outcome) {
        results.push_back(result_of(std::move(name), outcome));
    };
    check("describe_nsm", check_describe_nsm(module));
    check("describe_pcr", check_describe_pcr(module));
    check("extend_pcr", check_extend_pcr(module));
    check("extend_locked_pcr", check_extend_locked_pcr(module));
    check("lock_pcr", check_lock_pcr(module));
    check("lock_pcr_again", check_lock_pcr_again(module));
    check("lock_pcrs_too_many", check_lock_pcrs_too_many(module));
    check("lock_pcrs", check_lock_pcrs(module));
    check("index_too_large", check_index_too_large(module));
    for (unsigned count = 0; count <= 3; ++count)
        check("attestation_" + std::to_string(count), check_attestation(module, attestation_variant(count)));
    check("garbage", check_garbage(module));
    check("get_random", check_get_random(module));
    return results;
}

}  // namespace alcove::probe

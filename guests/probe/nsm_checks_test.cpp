// SPDX-License-Identifier: Apache-2.0
//
// The checks against a module that plays the other side, first a good one, then one with one fault at a time:
// a check that no fault fails would show nothing.
#include "probe/nsm_checks.hpp"

#include <array>
#include <functional>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "probe/digest.hpp"
#include "probe/nsm_message.hpp"

namespace alcove::probe {
namespace {

using testing::IsEmpty;

void put(Bytes& out, std::initializer_list<uint8_t> bytes) {
    out.insert(out.end(), bytes);
}

// Strings of up to 65535 bytes, with a two-byte length whatever their size.
void put_string(Bytes& out, uint8_t first, ByteView bytes) {
    put(out, {first, static_cast<uint8_t>(bytes.size() >> 8), static_cast<uint8_t>(bytes.size())});
    out.insert(out.end(), bytes.begin(), bytes.end());
}

void put_text(Bytes& out, std::string_view text) {
    put_string(out, 0x79, as_byte_view(text));
}

void put_bytes(Bytes& out, ByteView bytes) {
    put_string(out, 0x59, bytes);
}

Bytes plain(std::string_view name) {
    Bytes out;
    put_text(out, name);
    return out;
}

Bytes error(std::string_view name) {
    Bytes out{0xa1};
    put_text(out, "Error");
    put_text(out, name);
    return out;
}

Bytes begin(std::string_view name, uint8_t fields) {
    Bytes out{0xa1};
    put_text(out, name);
    out.push_back(static_cast<uint8_t>(0xa0 | fields));
    return out;
}

class FakeModule : public SecureModule {
  public:
    struct Pcr {
        Bytes value = Bytes(48);
        bool locked = false;
    };

    FakeModule() {
        for (size_t i = 0; i < 16; ++i)
            pcrs[i].locked = true;
        for (const size_t i : {0, 1, 2, 4})
            pcrs[i].value = Bytes(48, 0x11);
    }

    // Requests and replies have the same shape, so the probe's own decoder serves.
    Result<Bytes> ask(ByteView bytes) override {
        const auto request = decode_reply(bytes);
        if (!request) return error("InvalidOperation");
        const auto override_of = overrides.find(request->name);
        if (override_of != overrides.end()) return override_of->second;
        return answer(*request);
    }

    std::array<Pcr, 32> pcrs;
    std::map<std::string, Bytes> overrides;
    std::string module_id = "i-fake";
    bool locks_hold = true;
    bool echoes_fields = true;

  private:
    Bytes answer(const Reply& request) {
        if (request.name == "DescribeNSM") return describe();
        if (request.name == "GetRandom") return random();
        if (request.name == "Attestation") return attest(request.fields);
        if (request.name == "LockPCRs") return lock_range(request.fields);
        const auto index = request.fields.field("index", Value::Kind::Number);
        if (!index) return error("InvalidOperation");
        if ((*index)->number > 31) return error("InvalidIndex");
        Pcr& pcr = pcrs[(*index)->number];
        if (request.name == "DescribePCR") return describe_pcr(pcr);
        if (pcr.locked && locks_hold) return error("ReadOnlyIndex");
        pcr.locked = pcr.locked || request.name == "LockPCR";
        if (request.name == "LockPCR") return plain("LockPCR");
        return extend(pcr, request.fields);
    }

    Bytes describe() const {
        Bytes out = begin("DescribeNSM", 7);
        for (const char* name : {"version_major", "version_minor", "version_patch"}) {
            put_text(out, name);
            put(out, {1});
        }
        put_text(out, "max_pcrs");
        put(out, {0x18, 32});
        put_text(out, "digest");
        put_text(out, "SHA384");
        put_text(out, "module_id");
        put_text(out, module_id);
        put_text(out, "locked_pcrs");
        Bytes list;
        uint8_t count = 0;
        for (uint8_t i = 0; i < 32; ++i) {
            if (!pcrs[i].locked) continue;
            put(list, {0x18, i});
            ++count;
        }
        put(out, {0x98, count});
        out.insert(out.end(), list.begin(), list.end());
        return out;
    }

    static Bytes describe_pcr(const Pcr& pcr) {
        Bytes out = begin("DescribePCR", 2);
        put_text(out, "lock");
        put(out, {static_cast<uint8_t>(pcr.locked ? 0xf5 : 0xf4)});
        put_text(out, "data");
        put_bytes(out, pcr.value);
        return out;
    }

    static Bytes extend(Pcr& pcr, const Value& fields) {
        Digest digest(Digest::Kind::Sha384);
        digest.add(pcr.value);
        digest.add(fields.field("data", Value::Kind::Bytes).value()->bytes);
        pcr.value = digest.finish();
        Bytes out = begin("ExtendPCR", 1);
        put_text(out, "data");
        put_bytes(out, pcr.value);
        return out;
    }

    Bytes lock_range(const Value& fields) {
        const uint64_t range = fields.field("range", Value::Kind::Number).value()->number;
        if (range > 32) return error("InvalidIndex");
        for (size_t i = 0; i < range; ++i)
            pcrs[i].locked = true;
        return plain("LockPCRs");
    }

    Bytes attest(const Value& fields) const {
        Bytes document{0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0};
        for (const char* name : {"user_data", "nonce", "public_key"}) {
            const auto field = fields.field(name, Value::Kind::Bytes);
            if (field && echoes_fields)
                document.insert(document.end(), (*field)->bytes.begin(), (*field)->bytes.end());
        }
        Bytes out = begin("Attestation", 1);
        put_text(out, "document");
        put_bytes(out, document);
        return out;
    }

    Bytes random() {
        Bytes out = begin("GetRandom", 1);
        put_text(out, "random");
        put_bytes(out, Bytes(256, next_random_++));
        return out;
    }

    uint8_t next_random_ = 0;
};

std::vector<std::string> failures_of(FakeModule& module) {
    std::vector<std::string> names;
    for (const CheckResult& result : check_secure_module(module)) {
        if (!result.detail.empty()) names.push_back(result.name);
    }
    return names;
}

TEST(ProbeNsmChecks, GoodModulePassesAll) {
    FakeModule module;
    const auto results = check_secure_module(module);
    EXPECT_EQ(results.size(), 15u);
    for (const CheckResult& result : results)
        EXPECT_THAT(result.detail, IsEmpty()) << result.name;
}

TEST(ProbeNsmChecks, EmptyModuleIdIsFound) {
    FakeModule module;
    module.module_id = "";
    EXPECT_THAT(failures_of(module), testing::ElementsAre("describe_nsm"));
}

TEST(ProbeNsmChecks, MeasuredPcrThatIsZeroIsFound) {
    FakeModule module;
    module.pcrs[4].value = Bytes(48);
    EXPECT_THAT(failures_of(module), testing::ElementsAre("describe_pcr"));
}

TEST(ProbeNsmChecks, PcrThatShouldBeZeroIsFound) {
    FakeModule module;
    module.pcrs[31].value[47] = 1;
    EXPECT_THAT(failures_of(module), testing::ElementsAre("describe_pcr"));
}

TEST(ProbeNsmChecks, PcrThatIsNotLockedAtStartIsFound) {
    FakeModule module;
    module.pcrs[15].locked = false;
    EXPECT_THAT(failures_of(module),
                testing::ElementsAre("describe_nsm", "describe_pcr", "extend_locked_pcr"));
}

TEST(ProbeNsmChecks, LocksThatDoNotHoldAreFound) {
    FakeModule module;
    module.locks_hold = false;
    EXPECT_THAT(failures_of(module), testing::ElementsAre("extend_locked_pcr", "lock_pcr", "lock_pcr_again"));
}

TEST(ProbeNsmChecks, WrongExtensionIsFound) {
    FakeModule module;
    module.overrides["ExtendPCR"] = plain("ExtendPCR");
    EXPECT_THAT(failures_of(module),
                testing::ElementsAre("extend_pcr", "extend_locked_pcr", "lock_pcr", "index_too_large"));
}

TEST(ProbeNsmChecks, RangeThatDoesNothingIsFound) {
    FakeModule module;
    module.overrides["LockPCRs"] = plain("LockPCRs");
    EXPECT_THAT(failures_of(module), testing::ElementsAre("lock_pcrs_too_many", "lock_pcrs"));
}

TEST(ProbeNsmChecks, DocumentWithoutTheFieldsIsFound) {
    FakeModule module;
    module.echoes_fields = false;
    EXPECT_THAT(failures_of(module), testing::ElementsAre("attestation_1", "attestation_2", "attestation_3"));
}

TEST(ProbeNsmChecks, RefusedAttestationIsFound) {
    FakeModule module;
    module.overrides["Attestation"] = error("InternalError");
    EXPECT_THAT(failures_of(module),
                testing::ElementsAre("attestation_0", "attestation_1", "attestation_2", "attestation_3"));
}

TEST(ProbeNsmChecks, GarbageThatIsTakenIsFound) {
    FakeModule module;
    module.overrides["NoSuchRequest"] = plain("NoSuchRequest");
    EXPECT_THAT(failures_of(module), testing::ElementsAre("garbage"));
}

TEST(ProbeNsmChecks, RandomBytesThatRepeatAreFound) {
    FakeModule module;
    Bytes reply = begin("GetRandom", 1);
    put_text(reply, "random");
    put_bytes(reply, Bytes(256, 7));
    module.overrides["GetRandom"] = reply;
    EXPECT_THAT(failures_of(module), testing::ElementsAre("get_random"));
}

TEST(ProbeNsmChecks, ResultIsOneLineWhateverTheDetailIs) {
    EXPECT_EQ((CheckResult{.name = "a", .detail = ""}).to_string(), "ok a");
    EXPECT_EQ((CheckResult{.name = "a", .detail = "x\ny\x80"}).to_string(), "FAILED a x?y?");
}

}  // namespace
}  // namespace alcove::probe

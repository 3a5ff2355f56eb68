// SPDX-License-Identifier: Apache-2.0
#include "daemon/api_json.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/bits.hpp"
#include "support/error_catalog.hpp"

namespace alcove::daemon {
namespace {

TEST(ApiJson, TimesAreUtc) {
    EXPECT_EQ(iso_time(0), "");
    EXPECT_EQ(iso_time(1), "1970-01-01T00:00:00.001Z");
    EXPECT_EQ(iso_time(1'709'210'096'789), "2024-02-29T12:34:56.789Z");
    EXPECT_EQ(iso_time(INT64_MAX), "");
}

TEST(ApiJson, AnErrorHasItsRemedy) {
    const auto json = error_json(Error(ErrorCode::EnclaveNotDebug, "no console"));

    EXPECT_EQ(json["error"]["code"], "E91");
    EXPECT_EQ(json["error"]["name"], "enclave-not-debug");
    EXPECT_EQ(json["error"]["message"], "no console");
    EXPECT_FALSE(json["error"]["remedy"].get<std::string>().empty());
}

TEST(ApiJson, EveryErrorHasAStatusOfItsKind) {
    for (const auto& entry : error_catalog()) {
        EXPECT_GE(http_status(entry.code), 400);
        EXPECT_LT(http_status(entry.code), 600);
    }
    EXPECT_EQ(http_status(ErrorCode::EnclaveNotFound), 404);
    EXPECT_EQ(http_status(ErrorCode::NoFreeCores), 503);
}

TEST(ApiJson, AFreshEnclaveHasNullsForWhatIsNotKnown) {
    VmRecord record;
    record.id = "i-1-enc2";
    record.memory_bytes = 512_MiB;
    record.created_ms = 1;

    const auto json = to_json(record);

    EXPECT_EQ(json["state"], "reserving");
    EXPECT_EQ(json["memory_mib"], 512);
    EXPECT_EQ(json["pages"], "4k");
    for (const char* field :
         {"name", "ready_at", "ended", "measurements", "signature", "app_exit", "reason", "error"})
        EXPECT_TRUE(json[field].is_null()) << field;
    EXPECT_FALSE(json.contains("progress"));
}

TEST(ApiJson, MeasurementsAreHexadecimalAndPcr8OnlyWhenSigned) {
    VmRecord record;
    record.measurements = Measurements{};
    record.measurements->pcr0.fill(0xab);

    EXPECT_EQ(to_json(record)["measurements"]["pcr0"].get<std::string>().substr(0, 6), "ababab");
    EXPECT_FALSE(to_json(record)["measurements"].contains("pcr8"));
    record.measurements->pcr8[0] = 1;
    EXPECT_TRUE(to_json(record)["measurements"].contains("pcr8"));
}

TEST(ApiJson, CountersAreSummedAndUnknownOnesKept) {
    Inspection inspection;
    inspection.record.id = "i-1-enc2";
    inspection.record.state = VmState::Running;
    inspection.directory = "/run/alcove/vm/i-1-enc2";
    inspection.counters = {{.id = 1, .index = 0, .value = 70},
                           {.id = 1, .index = 1, .value = 7},
                           {.id = 999, .index = 0, .value = 1}};

    const auto json = to_json(inspection);

    EXPECT_EQ(json["counters"]["kvm_runs"]["total"], 77);
    EXPECT_EQ(json["counters"]["kvm_runs"]["by_index"]["1"], 7);
    EXPECT_EQ(json["counters"]["unknown_999"]["total"], 1);
    EXPECT_EQ(json["sockets"]["connect"], "/run/alcove/vm/i-1-enc2/connect.sock");
    EXPECT_TRUE(json["heartbeat"]["answered_by"].is_null());
    inspection.record.heartbeat = HeartbeatAnswer::HostProgram;
    EXPECT_EQ(to_json(inspection)["heartbeat"]["answered_by"], "host-program");
    inspection.record.heartbeat = HeartbeatAnswer::Alcove;
    EXPECT_EQ(to_json(inspection)["heartbeat"]["answered_by"], "alcove");
}

TEST(ApiJson, ACompromisedVmmsTextIsStillJson) {
    VmRecord record;
    record.detail = "bad \xff\xfe \x01 \" text";

    const auto text = codec::json::dump(to_json(record));

    EXPECT_TRUE(codec::json::parse(text)) << text;
}

}  // namespace
}  // namespace alcove::daemon

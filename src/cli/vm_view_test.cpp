// SPDX-License-Identifier: Apache-2.0
#include "cli/vm_view.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "daemon/api_json.hpp"
#include "support/bits.hpp"

namespace alcove::cli {
namespace {

// What the daemon says today is what the command line reads: both ends of the contract in one test.
daemon::VmRecord running_record() {
    daemon::VmRecord record;
    record.id = "i-0-enc1";
    record.name = "web";
    record.state = daemon::VmState::Running;
    record.ready = true;
    record.cid = 16;
    record.vcpus = 2;
    record.memory_bytes = 1536_MiB;
    record.created_ms = 1'700'000'000'000;
    record.measurements = daemon::Measurements{};
    record.measurements->pcr0.fill(0xab);
    return record;
}

VmView view_of(const daemon::VmRecord& record) {
    return read_vm(daemon::to_json(record)).value();
}

TEST(VmView, TheDaemonsAnswerIsRead) {
    const auto view = view_of(running_record());

    EXPECT_EQ(view.id, "i-0-enc1");
    EXPECT_EQ(view.memory_mib, 1536U);
    EXPECT_TRUE(view.ready);
    ASSERT_EQ(view.pcrs.size(), 3U);
    EXPECT_EQ(view.pcrs[0].first, "PCR0");
    EXPECT_EQ(view.pcrs[0].second.substr(0, 4), "abab");
    EXPECT_FALSE(view.error);
}

TEST(VmView, TheListIsATable) {
    auto failed = running_record();
    failed.name.clear();
    failed.ready = false;
    failed.state = daemon::VmState::Failed;
    failed.error = daemon::StoredError{.code = ErrorCode::ImageCrc, .message = "bad"};

    const auto text = render_list({view_of(running_record()), view_of(failed)});

    EXPECT_EQ(
        text,
        "NAME  ID        STATE            CID  CPUS  MEMORY   PAGES  DEBUG  CREATED\n"
        "web   i-0-enc1  running (ready)  16   2     1.5 GiB  4k     no     2023-11-14T22:13:20.000Z\n"
        "-     i-0-enc1  failed: E32      16   2     1.5 GiB  4k     no     2023-11-14T22:13:20.000Z\n");
    EXPECT_EQ(render_list({}), "no enclaves\n");
}

TEST(VmView, AnEnclaveOfAPrimaryVmSaysWhose) {
    auto record = running_record();
    record.parent = "i-0";

    EXPECT_EQ(
        render_list({view_of(running_record()), view_of(record)}),
        "NAME  ID        STATE            CID  CPUS  MEMORY   PAGES  DEBUG  CREATED                   VM\n"
        "web   i-0-enc1  running (ready)  16   2     1.5 GiB  4k     no     2023-11-14T22:13:20.000Z  -\n"
        "web   i-0-enc1  running (ready)  16   2     1.5 GiB  4k     no     2023-11-14T22:13:20.000Z  i-0\n");
    EXPECT_NE(render_vm(view_of(record)).find("i-0\n"), std::string::npos);
}

TEST(VmView, TheListShowsTheEpcOfVmsThatHaveIt) {
    auto record = running_record();
    record.role = api::VmRole::Primary;
    auto plain = daemon::to_json(record);
    record.sgx = sgx::Configuration{};
    record.sgx->epc = {{.size_mib = 4}};
    record.sgx->population = sgx::Population::Oversubscribe;
    auto sgx = daemon::to_json(record);
    auto silent = sgx;
    sgx["sgx_state"] = {{"resident_pages", 256}, {"evicted_pages", 3}, {"enclaves_in_all", 2}};
    silent["sgx_state"] = {{"resident_pages", nullptr}};
    plain["sgx_state"] = nullptr;
    const auto view = [](const codec::json::Json& json) { return read_vm(json, VmKind::Primary).value(); };

    EXPECT_EQ(render_list({view(plain), view(sgx), view(silent)}, VmKind::Primary),
              "NAME  ID        STATE    RESTARTS  CPUS  MEMORY   PAGES  EPC    POPULATION     RESIDENT  "
              "EVICTED  ENCLAVES  DISKS  CREATED\n"
              "web   i-0-enc1  running  0         2     1.5 GiB  4k     -      -              -         "
              "-        -         0      2023-11-14T22:13:20.000Z\n"
              "web   i-0-enc1  running  0         2     1.5 GiB  4k     4 MiB  oversubscribe  1 MiB     "
              "12 KiB   2         0      2023-11-14T22:13:20.000Z\n"
              "web   i-0-enc1  running  0         2     1.5 GiB  4k     4 MiB  oversubscribe  -         "
              "-        -         0      2023-11-14T22:13:20.000Z\n");
    EXPECT_EQ(render_list({view(plain)}, VmKind::Primary).find("POPULATION"), std::string::npos);
    sgx["sgx_state"].erase("evicted_pages");
    EXPECT_FALSE(read_vm(sgx, VmKind::Primary));
}

TEST(VmView, CoresThatAreNotExclusiveAreSaidToBe) {
    auto record = running_record();
    EXPECT_EQ(core_remark(view_of(record)), "");
    record.core_note = "an old kernel";

    EXPECT_EQ(core_remark(view_of(record)), "the cores of i-0-enc1 are not exclusive: an old kernel");
    EXPECT_NE(render_vm(view_of(record)).find("not exclusive: an old kernel\n"), std::string::npos);
}

TEST(VmView, ADebugEnclaveSaysWhatItsMeasurementsAreWorth) {
    auto record = running_record();
    record.debug = true;

    EXPECT_NE(render_vm(view_of(record)).find("zeros in PCR0"), std::string::npos);
    EXPECT_EQ(render_vm(view_of(running_record())).find("zeros"), std::string::npos);
}

TEST(VmView, ProgressIsTold) {
    auto record = running_record();
    record.ready = false;
    EXPECT_EQ(progress_text(view_of(record)), "waiting for the heartbeat");
    record.state = daemon::VmState::Measuring;
    EXPECT_EQ(progress_text(view_of(record)), "measuring the image");
    record.progress = daemon::Progress{.done = 45, .total = 100};
    EXPECT_EQ(progress_text(view_of(record)), "measuring the image, 45 %");
}

TEST(VmView, AnEndBeforeReadyIsAnError) {
    auto record = running_record();
    record.ready = false;
    record.state = daemon::VmState::Stopped;
    record.reason = "triple_fault";
    record.detail = "at 0x1000";
    EXPECT_EQ(ending_error(view_of(record)).code(), ErrorCode::EnclaveDied);
    EXPECT_EQ(ending_error(view_of(record)).to_string(), "i-0-enc1: it ended (triple_fault): at 0x1000");
    record.error = daemon::StoredError{.code = ErrorCode::ImageCrc, .message = "bad"};
    EXPECT_EQ(ending_error(view_of(record)).code(), ErrorCode::ImageCrc);
}

TEST(VmView, AnAnswerThatLacksAFieldIsRefused) {
    auto json = daemon::to_json(running_record());
    json.erase("cid");

    EXPECT_EQ(read_vm(json).error().code(), ErrorCode::JsonMalformed);
    EXPECT_EQ(read_vm("text").error().code(), ErrorCode::JsonMalformed);
}

}  // namespace
}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
#include "daemon/api_json.hpp"

#include <chrono>
#include <cstdio>
#include <ctime>

#include <nlohmann/json.hpp>

#include "api/shim_messages.hpp"
#include "api/statistics.hpp"
#include "codec/hex.hpp"
#include "daemon/disk_json.hpp"
#include "daemon/network_json.hpp"
#include "eif/describe.hpp"
#include "sgx/configuration_json.hpp"
#include "support/bits.hpp"
#include "support/error_catalog.hpp"

namespace alcove::daemon {

namespace {

Json text_or_null(const std::string& text) {
    return text.empty() ? Json(nullptr) : Json(text);
}

Json time_or_null(int64_t ms) {
    return text_or_null(iso_time(ms));
}

Json error_object(ErrorCode code, const std::string& message) {
    const auto& entry = error_entry(code);
    return {{"code", code_label(code)},
            {"name", std::string(entry.name)},
            {"message", message},
            {"remedy", std::string(entry.remedy)}};
}

Json measurements_json(const VmRecord& record) {
    if (!record.measurements) return nullptr;
    const auto& measured = *record.measurements;
    Json json = {{"algorithm", "SHA384"},
                 {"pcr0", codec::hex_encode(measured.pcr0)},
                 {"pcr1", codec::hex_encode(measured.pcr1)},
                 {"pcr2", codec::hex_encode(measured.pcr2)}};
    if (measured.pcr8 != PcrValue{}) json["pcr8"] = codec::hex_encode(measured.pcr8);
    return json;
}

Json signature_json(const VmRecord& record) {
    if (!record.signature) return nullptr;
    return {{"subject", record.signature->subject},
            {"not_before", iso_time(record.signature->not_before * 1000)},
            {"not_after", iso_time(record.signature->not_after * 1000)}};
}

// What the image says of itself, which nobody has measured.
Json image_json(const VmRecord& record) {
    const auto metadata = eif::Metadata::parse(as_byte_view(record.image_metadata));
    if (!metadata) return nullptr;
    return {{"name", metadata->image_name},
            {"version", metadata->image_version},
            {"metadata", eif::metadata_json(*metadata)}};
}

std::string_view heartbeat_name(HeartbeatAnswer answer) {
    switch (answer) {
        case HeartbeatAnswer::Alcove:
            return "alcove";
        case HeartbeatAnswer::HostProgram:
            return "host-program";
        case HeartbeatAnswer::None:
            break;
    }
    return "";
}

bool is_enclave_id(const std::string& id) {
    return id.find("-enc") != std::string::npos;
}

template <typename Id>
Json numbers(const std::vector<Id>& ids) {
    Json json = Json::array();
    for (const auto id : ids)
        json.push_back(id.value);
    return json;
}

Json timings_json(const Timings& timings) {
    Json json = Json::object();
    const auto add = [&](const char* name, uint64_t value) {
        json[name] = value != 0 ? Json(value) : Json(nullptr);
    };
    add("requested", timings.requested);
    add("begun", timings.begun);
    add("measured", timings.measured);
    add("launch_received", timings.launch_received);
    add("image_loaded", timings.image_loaded);
    add("first_instruction", timings.first_instruction);
    add("ready", timings.ready);
    add("ended", timings.ended);
    return json;
}

Json counters_json(const std::vector<api::vmm::StatisticsEntry>& entries) {
    Json json = Json::object();
    for (const auto& entry : entries) {
        std::string name(api::statistic_name(entry.id));
        if (name == "unknown") name += "_" + std::to_string(entry.id);
        Json& counter = json[name];
        if (counter.is_null()) counter = {{"total", uint64_t{0}}, {"by_index", Json::object()}};
        const uint64_t value = entry.value;
        counter["total"] = counter["total"].get<uint64_t>() + value;
        counter["by_index"][std::to_string(entry.index)] = value;
    }
    return json;
}

// What an enclave has and a primary VM has not.
void add_enclave_fields(const VmRecord& record, Json& json) {
    json["parent"] = text_or_null(record.parent);
    json["ready"] = record.ready;
    json["debug"] = record.debug;
    json["ready_at"] = time_or_null(record.ready_ms);
    json["measurements"] = measurements_json(record);
    json["signature"] = signature_json(record);
    json["app_exit"] = nullptr;
    if (record.app_exit)
        json["app_exit"] = {{"kind", record.app_exit->signalled ? "signalled" : "exited"},
                            {"value", record.app_exit->value}};
}

std::string_view answer_name(host::Answer answer) {
    switch (answer) {
        case host::Answer::Yes:
            return "yes";
        case host::Answer::No:
            return "no";
        case host::Answer::NotTried:
            break;
    }
    return "unknown";
}

}  // namespace

std::string iso_time(int64_t ms_since_1970) {
    if (ms_since_1970 <= 0) return {};
    const auto seconds = static_cast<time_t>(ms_since_1970 / 1000);
    tm fields{};
    if (::gmtime_r(&seconds, &fields) == nullptr || fields.tm_year > 8099) return {};
    char text[32];
    const size_t length = ::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &fields);
    std::snprintf(text + length, sizeof text - length, ".%03dZ", static_cast<int>(ms_since_1970 % 1000));
    return text;
}

Json to_json(const VmRecord& record) {
    Json json;
    json["id"] = record.id;
    json["name"] = text_or_null(record.name);
    json["state"] = std::string(state_name(record.state));
    json["cid"] = record.cid;
    json["vcpus"] = record.vcpus;
    json["memory_mib"] = record.memory_bytes / 1_MiB;
    json["pages"] = std::string(host::to_string(record.pages));
    json["policy"] = std::string(host::to_string(record.policy));
    json["core_note"] = text_or_null(record.core_note);
    json["image_bytes"] = record.image_bytes;
    json["created"] = time_or_null(record.created_ms);
    json["ended"] = time_or_null(record.ended_ms);
    if (record.progress)
        json["progress"] = {{"done", record.progress->done}, {"total", record.progress->total}};
    json["reason"] = text_or_null(record.reason);
    json["detail"] = text_or_null(record.detail);
    json["error"] = record.error ? error_object(record.error->code, record.error->message) : Json(nullptr);
    if (record.is_primary()) {
        json["disks"] = to_json(record.disks);
        json["networks"] = to_json(record.networks);
        json["restarts"] = record.restarts;
        json["enclaves"] = record.enclaves;
        json["enclave_policy"] =
            record.enclaves ? Json(std::string(host::to_string(record.enclave_policy))) : Json(nullptr);
        json["sgx"] = record.sgx ? sgx::to_json(*record.sgx) : Json(nullptr);
        json["sgx_remarks"] = record.sgx ? sgx::remarks_on(*record.sgx) : std::vector<std::string>();
    } else {
        add_enclave_fields(record, json);
    }
    return json;
}

Json to_json(const Event& event) {
    return {{"sequence", event.sequence},
            {"time", iso_time(event.time_ms)},
            {"enclave", is_enclave_id(event.vm) ? Json(event.vm) : Json(nullptr)},
            {"vm", text_or_null(event.vm)},
            {"kind", event.kind},
            {"detail", event.detail}};
}

Json to_json(const host::Grant& grant) {
    Json nodes = Json::array();
    for (const auto& node : grant.nodes)
        nodes.push_back({{"node", node.node.value},
                         {"cores", numbers(node.cores)},
                         {"memory_bytes", node.memory_bytes},
                         {"epc_bytes", node.epc_bytes},
                         {"hardware_epc_bytes", node.hardware_epc_bytes}});
    return {{"cpus", numbers(grant.cpus)}, {"nodes", std::move(nodes)}};
}

Json to_json(const AttestorStatus& status) {
    return {{"root_fingerprint", codec::hex_encode(status.root_fingerprint)},
            {"development", status.development},
            {"issuer_valid_until", iso_time(status.issuer_not_after * 1000)},
            {"vms", status.vms},
            {"documents", status.documents},
            {"rejected", status.rejected},
            {"violations", status.violations}};
}

Json error_json(const Error& error) {
    return {{"error", error_object(error.code(), error.to_string())}};
}

int http_status(ErrorCode code) {
    switch (code) {
        case ErrorCode::InvalidArgument:
        case ErrorCode::MachineConfig:
        case ErrorCode::JsonMalformed:
        case ErrorCode::TextMalformed:
            return 400;
        case ErrorCode::PermissionDenied:
        case ErrorCode::EnclaveNotDebug:
            return 403;
        case ErrorCode::NotFound:
        case ErrorCode::EnclaveNotFound:
            return 404;
        case ErrorCode::AlreadyExists:
        case ErrorCode::EnclaveNameTaken:
        case ErrorCode::EnclaveNotReady:
        case ErrorCode::Busy:
            return 409;
        case ErrorCode::Unsupported:
            return 501;
        case ErrorCode::NoFreeCores:
        case ErrorCode::NoFreeMemory:
        case ErrorCode::NoHugePages:
        case ErrorCode::NoFreeEpc:
        case ErrorCode::LimitExceeded:
        case ErrorCode::ConnectionLost:
            return 503;
        case ErrorCode::Timeout:
            return 504;
        case ErrorCode::NoSpace:
            return 507;
        default:
            return 500;
    }
}

Json sockets_json(const std::string& directory) {
    return {{"directory", directory},
            {"connect", directory + "/" + api::shim::kConnectSocketName},
            {"listen", directory + "/port-<PORT>.sock"}};
}

Json to_json(const Inspection& inspection) {
    const auto& record = inspection.record;
    Json json;
    json[record.is_primary() ? "vm" : "enclave"] = to_json(record);
    if (!record.is_primary())
        json["heartbeat"] = {{"ready", record.ready},
                             {"answered_by", text_or_null(std::string(heartbeat_name(record.heartbeat)))},
                             {"at", time_or_null(record.ready_ms)}};
    if (record.is_primary()) {
        json["enclaves"] = Json::array();
        for (const auto& enclave : inspection.enclaves)
            json["enclaves"].push_back({{"id", enclave.id},
                                        {"name", text_or_null(enclave.name)},
                                        {"state", std::string(state_name(enclave.state))},
                                        {"cid", enclave.cid},
                                        {"carved", enclave.is_carved()}});
    }
    if (!record.is_primary()) json["image"] = image_json(record);
    json["lease"] = inspection.grant ? to_json(*inspection.grant) : Json(nullptr);
    json["sockets"] = nullptr;
    if (!is_over(record.state)) json["sockets"] = sockets_json(inspection.directory);
    json["vmm"] = {{"pid", record.vmm_pid}, {"exit_status", record.exit_status}};
    json["monotonic_ns"] = timings_json(record.timings);
    json["counters"] = inspection.counters ? counters_json(*inspection.counters) : Json(nullptr);
    if (!inspection.counters) json["counters_missing"] = inspection.counters_missing;
    if (record.is_primary()) json["sgx"] = inspection.sgx ? to_json(*inspection.sgx) : Json(nullptr);
    return json;
}

Json to_json(const HostView& view) {
    Json cores = Json::array();
    for (const auto& core : view.topology.cores)
        cores.push_back({{"id", core.id.value},
                         {"node", core.node.value},
                         {"package", core.package},
                         {"cpus", numbers(core.cpus)}});
    Json nodes = Json::array();
    for (const auto& node : view.memory.nodes)
        nodes.push_back(
            {{"node", node.node.value},
             {"total_bytes", node.total_bytes},
             {"free_bytes", node.free_bytes},
             {"huge_2m", {{"total", node.huge_2m.total_pages}, {"free", node.huge_2m.free_pages}}}});
    Json ledger = Json::array();
    for (const auto& account : view.account) {
        Json lines = Json::array();
        for (const auto& line : account.lines)
            lines.push_back({{"owner", line.owner},
                             {"cores", numbers(line.cores)},
                             {"memory_4k_bytes", line.small_bytes},
                             {"memory_2m_bytes", line.huge_bytes},
                             {"epc_bytes", line.epc_bytes},
                             {"hardware_epc_bytes", line.hardware_epc_bytes}});
        ledger.push_back({{"node", account.node.value}, {"owners", std::move(lines)}});
    }
    Json weaknesses = Json::array();
    for (const auto& one : view.vulnerabilities)
        weaknesses.push_back({{"name", one.name},
                              {"exposure", std::string(host::to_string(one.exposure))},
                              {"text", one.text}});
    Json json;
    json["topology"] = {
        {"packages", view.topology.packages}, {"smt", view.topology.has_smt()}, {"cores", std::move(cores)}};
    json["memory"] = {{"total_bytes", view.memory.total_bytes},
                      {"available_bytes", view.memory.available_bytes},
                      {"swap_total_bytes", view.memory.swap_total_bytes},
                      {"nodes", std::move(nodes)}};
    json["ledger"] = std::move(ledger);
    json["sgx"] = to_json(view.sgx, view.account);
    json["core_scheduling"] = std::string(answer_name(view.core_scheduling));
    json["shared_policy"] = view.shared_policy_safe;
    json["vulnerabilities"] = std::move(weaknesses);
    json["broker"] = {{"connected", view.broker_trouble.empty()},
                      {"trouble", text_or_null(view.broker_trouble)}};
    return json;
}

}  // namespace alcove::daemon

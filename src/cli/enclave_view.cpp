// SPDX-License-Identifier: Apache-2.0
#include "cli/enclave_view.hpp"

#include <algorithm>
#include <cctype>

#include <nlohmann/json.hpp>

#include "cli/progress.hpp"
#include "cli/table.hpp"
#include "support/bits.hpp"
#include "support/error_catalog.hpp"

namespace alcove::cli {

using codec::json::Json;

namespace {

Result<std::string> text_or_nothing(const Json& json, std::string_view name) {
    auto text = TRY(codec::json::optional_text_field(json, name));
    return text.value_or("");
}

Result<void> read_outcome(const Json& json, EnclaveView& view) {
    view.reason = TRY(text_or_nothing(json, "reason"));
    view.detail = TRY(text_or_nothing(json, "detail"));
    if (const auto* error = TRY(codec::json::optional_object_field(json, "error"))) {
        const auto code = TRY(codec::json::text_field(*error, "code"));
        const auto message = TRY(codec::json::text_field(*error, "message"));
        const auto entry = find_error(code);
        view.error = Error(entry ? entry->code : ErrorCode::EnclaveLaunchFailed, message);
    }
    return {};
}

Result<void> read_measurements(const Json& json, EnclaveView& view) {
    const auto* measurements = TRY(codec::json::optional_object_field(json, "measurements"));
    for (const char* name : {"pcr0", "pcr1", "pcr2", "pcr8"}) {
        if (measurements == nullptr) break;
        const auto value = TRY(codec::json::optional_text_field(*measurements, name));
        std::string label(name);
        std::ranges::transform(label, label.begin(),
                               [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
        if (value) view.pcrs.emplace_back(label, *value);
    }
    if (const auto* signature = TRY(codec::json::optional_object_field(json, "signature")))
        view.signer = TRY(codec::json::text_field(*signature, "subject"));
    return {};
}

}  // namespace

Result<EnclaveView> read_enclave(const Json& json) {
    EnclaveView view;
    view.id = TRY(codec::json::text_field(json, "id"));
    view.name = TRY(text_or_nothing(json, "name"));
    view.state = TRY(codec::json::text_field(json, "state"));
    view.ready = TRY(codec::json::boolean_field(json, "ready"));
    view.cid = TRY(codec::json::unsigned_field(json, "cid"));
    view.vcpus = TRY(codec::json::unsigned_field(json, "vcpus"));
    view.memory_mib = TRY(codec::json::unsigned_field(json, "memory_mib"));
    view.pages = TRY(codec::json::text_field(json, "pages"));
    view.policy = TRY(codec::json::text_field(json, "policy"));
    view.debug = TRY(codec::json::boolean_field(json, "debug"));
    view.created = TRY(text_or_nothing(json, "created"));
    TRY(read_measurements(json, view));
    TRY(read_outcome(json, view));
    if (const auto* progress = TRY(codec::json::optional_object_field(json, "progress"))) {
        const uint64_t done = TRY(codec::json::unsigned_field(*progress, "done"));
        const uint64_t total = TRY(codec::json::unsigned_field(*progress, "total"));
        view.progress = {done, total};
    }
    return view;
}

std::string state_text(const EnclaveView& enclave) {
    if (enclave.ready) return enclave.state + " (ready)";
    if (enclave.error) return enclave.state + ": " + code_label(enclave.error->code());
    if (!enclave.reason.empty()) return enclave.state + ": " + enclave.reason;
    return enclave.state;
}

std::string render_list(const std::vector<EnclaveView>& enclaves) {
    if (enclaves.empty()) return "no enclaves\n";
    std::vector<std::vector<std::string>> rows = {
        {"NAME", "ID", "STATE", "CID", "CPUS", "MEMORY", "PAGES", "DEBUG", "CREATED"}};
    for (const auto& enclave : enclaves)
        rows.push_back({enclave.name.empty() ? "-" : enclave.name, enclave.id, state_text(enclave),
                        std::to_string(enclave.cid), std::to_string(enclave.vcpus),
                        size_text(enclave.memory_mib * 1_MiB), enclave.pages, enclave.debug ? "yes" : "no",
                        enclave.created});
    return render_table(rows);
}

std::string render_enclave(const EnclaveView& enclave) {
    std::vector<std::pair<std::string, std::string>> fields;
    if (!enclave.name.empty()) fields.emplace_back("name", enclave.name);
    fields.emplace_back("state", state_text(enclave));
    fields.emplace_back("cid", std::to_string(enclave.cid));
    fields.emplace_back("cpus", std::to_string(enclave.vcpus) + " (" + enclave.policy + ")");
    fields.emplace_back("memory", size_text(enclave.memory_mib * 1_MiB) + " in " + enclave.pages + " pages");
    for (const auto& pcr : enclave.pcrs)
        fields.push_back(pcr);
    if (!enclave.signer.empty()) fields.emplace_back("signed by", enclave.signer);
    std::string text = enclave.id + "\n" + render_fields(fields, 2);
    if (enclave.debug) text += "  debug mode: attestation documents carry zeros in PCR0, PCR1 and PCR2\n";
    return text;
}

std::string progress_text(const EnclaveView& enclave) {
    if (enclave.state == "reserving") return "reserving memory and cores";
    if (enclave.state == "measuring" && enclave.progress)
        return "measuring the image, " + percent_text(enclave.progress->first, enclave.progress->second);
    if (enclave.state == "measuring") return "measuring the image";
    if (enclave.state == "starting") return "starting";
    if (enclave.state == "running") return "waiting for the heartbeat";
    return enclave.state;
}

Error ending_error(const EnclaveView& enclave) {
    if (enclave.error) {
        Error error = *enclave.error;
        return std::move(error).context(enclave.id);
    }
    std::string message = "it ended (" + (enclave.reason.empty() ? enclave.state : enclave.reason) + ")";
    if (!enclave.detail.empty()) message += ": " + enclave.detail;
    return Error(ErrorCode::EnclaveDied, message).context(enclave.id);
}

}  // namespace alcove::cli

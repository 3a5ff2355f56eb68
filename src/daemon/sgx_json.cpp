// SPDX-License-Identifier: Apache-2.0
#include "daemon/sgx_json.hpp"

#include <array>

#include <nlohmann/json.hpp>

#include "codec/hex.hpp"
#include "host/sgx_json.hpp"
#include "sgx/configuration_json.hpp"
#include "sgx/leaf_table.hpp"
#include "support/bits.hpp"

namespace alcove::daemon {

using codec::json::Json;

namespace {

// Of ENCLS those that work on an enclave's pages.
Json leaves_json(const api::vmm::SgxEnclaveEntry& enclave) {
    Json leaves = Json::object();
    for (const auto& leaf : sgx::encls_leaves())
        if (leaf.number != static_cast<uint32_t>(sgx::Encls::EPA))
            leaves[std::string(leaf.name)] = uint64_t{enclave.encls.at(leaf.number)};
    for (const auto& leaf : sgx::enclu_leaves())
        leaves[std::string(leaf.name)] = uint64_t{enclave.enclu.at(leaf.number)};
    return leaves;
}

Json enclave_json(const api::vmm::SgxEnclaveEntry& enclave) {
    using Entry = api::vmm::SgxEnclaveEntry;
    const bool initialized = (enclave.flags & Entry::kInitialized) != 0;
    return {{"eid", uint64_t{enclave.eid}},
            {"mrenclave", initialized ? Json(codec::hex_encode(enclave.mrenclave)) : Json(nullptr)},
            {"mrsigner", initialized ? Json(codec::hex_encode(enclave.mrsigner)) : Json(nullptr)},
            {"initialized", initialized},
            {"debug", (enclave.flags & Entry::kDebug) != 0},
            {"base", uint64_t{enclave.base}},
            {"size", uint64_t{enclave.size}},
            {"pages", uint32_t{enclave.pages}},
            {"threads_inside", uint32_t{enclave.threads_inside}},
            {"entries", uint64_t{enclave.entries}},
            {"asynchronous_exits", uint64_t{enclave.asynchronous_exits}},
            {"leaves", leaves_json(enclave)}};
}

// Of EPC with a budget.
Json spill_json(const api::vmm::SgxState& state) {
    if (state.budget_pages == 0) return nullptr;
    return {{"budget_pages", state.budget_pages},
            {"evictions", state.evictions},
            {"loads", state.loads},
            {"overdrafts", state.overdrafts}};
}

// Of EPC with a balloon.
Json balloon_json(const std::optional<api::vmm::SgxBalloon>& balloon) {
    if (!balloon) return nullptr;
    return {{"target_bytes", balloon->target},
            {"held_bytes", balloon->held},
            {"reported_bytes", balloon->reported}};
}

Json state_json(const api::vmm::SgxState& state) {
    Json sections = Json::array();
    for (const auto& section : state.sections)
        sections.push_back({{"base", uint64_t{section.base}}, {"size", uint64_t{section.size}}});
    Json leaves = Json::object();
    for (const auto& leaf : state.leaves)
        leaves[std::string(leaf.name.text().value_or(""))] = {{"completed", uint64_t{leaf.completed}},
                                                              {"faulted", uint64_t{leaf.faulted}}};
    Json enclaves = Json::array();
    for (const auto& enclave : state.enclaves)
        enclaves.push_back(enclave_json(enclave));
    return {{"sections", std::move(sections)},
            {"valid_pages", state.valid_pages},
            {"resident_pages", state.resident_pages},
            {"evicted_pages", state.evicted_pages},
            {"spill", spill_json(state)},
            {"balloon", balloon_json(state.balloon)},
            {"leaves", std::move(leaves)},
            {"asynchronous_exits", state.asynchronous_exits},
            {"enclaves_in_all", state.enclaves_in_all},
            {"enclaves", std::move(enclaves)}};
}

// The processors do not tell what they do: null, where software has numbers.
Json hardware_state_json(const api::vmm::SgxState& state) {
    Json json = state_json(state);
    for (auto& field : json.items())
        if (field.key() != "sections") field.value() = nullptr;
    return json;
}

}  // namespace

SgxView sgx_view(const sgx::Configuration& configuration, Result<api::vmm::SgxState> state) {
    if (!state) return {.configuration = configuration, .state = {}, .missing = state.error().to_string()};
    return {.configuration = configuration, .state = std::move(*state), .missing = {}};
}

Json to_json(const SgxView& view) {
    Json json = {{"configuration", sgx::to_json(view.configuration)}};
    json["state"] = nullptr;
    const bool hardware = view.configuration.backend == sgx::Backend::Hardware;
    if (view.state) json["state"] = hardware ? hardware_state_json(*view.state) : state_json(*view.state);
    if (!view.state) json["state_missing"] = view.missing;
    return json;
}

Result<SgxChange> parse_sgx_change(std::string_view text) {
    const auto json = TRY(codec::json::parse(text, {.bytes = 4096, .depth = 2}));
    TRY(codec::json::check_fields(json, std::array<std::string_view, 2>{"budget_mib", "balloon_mib"}));
    SgxChange change;
    change.budget_mib = TRY(codec::json::optional_unsigned_field(json, "budget_mib"));
    change.balloon_mib = TRY(codec::json::optional_unsigned_field(json, "balloon_mib"));
    if (change.budget_mib.has_value() == change.balloon_mib.has_value())
        return fail(ErrorCode::InvalidArgument, "either budget_mib or balloon_mib is wanted");
    return change;
}

Json to_json(const host::SgxHardware& hardware, const std::vector<host::NodeAccount>& account) {
    Json nodes = Json::array();
    for (const auto& node : hardware.nodes)
        nodes.push_back({{"node", node.node.value}, {"total_bytes", node.total_bytes}});
    Json in_hardware = host::to_json(hardware);
    in_hardware["nodes"] = std::move(nodes);
    uint64_t lent = 0;
    uint64_t free = 0;
    Json owners = Json::array();
    uint64_t hardware_lent = 0;
    uint64_t hardware_free = 0;
    Json hardware_owners = Json::array();
    for (const auto& node : account) {
        for (const auto& line : node.lines) {
            lent += line.epc_bytes;
            const bool is_free = line.owner == host::Ledger::kFree;
            if (is_free) free += line.small_bytes;
            (is_free ? hardware_free : hardware_lent) += line.hardware_epc_bytes;
            if (!is_free && line.hardware_epc_bytes != 0)
                hardware_owners.push_back(
                    {{"owner", line.owner}, {"node", node.node.value}, {"bytes", line.hardware_epc_bytes}});
            if (line.epc_bytes != 0)
                owners.push_back(
                    {{"owner", line.owner}, {"node", node.node.value}, {"bytes", line.epc_bytes}});
        }
    }
    in_hardware["lent_bytes"] = hardware_lent;
    in_hardware["free_bytes"] = hardware_free;
    in_hardware["owners"] = std::move(hardware_owners);
    return {{"hardware", std::move(in_hardware)},
            {"software",
             {{"made_of", "memory of this host"},
              {"total_bytes", lent + free},
              {"lent_bytes", lent},
              {"free_bytes", free},
              {"owners", std::move(owners)}}}};
}

std::string stored_text(const std::optional<sgx::Configuration>& configuration) {
    return configuration ? codec::json::dump(sgx::to_json(*configuration)) : "";
}

Result<std::optional<sgx::Configuration>> parse_stored(const std::string& text) {
    if (text.empty()) return std::optional<sgx::Configuration>();
    const auto json = TRY(codec::json::parse(text, {.bytes = 64_KiB, .depth = 4}));
    auto configuration = TRY(sgx::parse_configuration(json));
    return std::optional(std::move(configuration));
}

}  // namespace alcove::daemon

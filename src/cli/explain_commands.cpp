// SPDX-License-Identifier: Apache-2.0
//
// alcove explain, alcove version.
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/table.hpp"
#include "support/error_catalog.hpp"

namespace alcove::cli {

namespace {

Json entry_json(const ErrorEntry& entry) {
    return {{"code", code_label(entry.code)},
            {"name", std::string(entry.name)},
            {"meaning", std::string(entry.meaning)},
            {"remedy", std::string(entry.remedy)}};
}

}  // namespace

Result<Exit> run(const Explain& command, const Context& context) {
    if (command.code.empty()) {
        Json list = Json::array();
        std::vector<std::vector<std::string>> rows = {{"CODE", "NAME", "MEANING"}};
        for (const auto& entry : error_catalog()) {
            list.push_back(entry_json(entry));
            rows.push_back({code_label(entry.code), std::string(entry.name), std::string(entry.meaning)});
        }
        context.output.result({{"errors", std::move(list)}}, render_table(rows));
        return Exit::Ok;
    }
    const auto entry = find_error(command.code);
    if (!entry)
        return fail(ErrorCode::NotFound,
                    "there is no error '" + command.code + "'; `alcove explain` lists them");
    context.output.result(entry_json(*entry), code_label(entry->code) + " " + std::string(entry->name) +
                                                  "\n\n" + std::string(entry->meaning) +
                                                  "\n\nWhat to do: " + std::string(entry->remedy) + "\n");
    return Exit::Ok;
}

Result<Exit> run(const Version&, const Context& context) {
    context.output.result({{"version", ALCOVE_VERSION}}, std::string("alcove ") + ALCOVE_VERSION + "\n");
    return Exit::Ok;
}

}  // namespace alcove::cli

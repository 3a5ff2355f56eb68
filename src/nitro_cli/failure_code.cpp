// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/failure_code.hpp"

#include <charconv>

namespace alcove::nitro_cli {

namespace {

constexpr unsigned kFirst = 1000;

}  // namespace

std::string label_of(FailureCode code) {
    const auto number = static_cast<unsigned>(code);
    return (number < 10 ? "E0" : "E") + std::to_string(number);
}

std::optional<FailureCode> find_code(std::string_view label) {
    if (label.size() != 3 || (label[0] != 'E' && label[0] != 'e')) return std::nullopt;
    unsigned number = kFailureCodes;
    const auto [end, error] = std::from_chars(label.data() + 1, label.data() + label.size(), number);
    if (error != std::errc() || end != label.data() + label.size() || number >= kFailureCodes)
        return std::nullopt;
    return static_cast<FailureCode>(number);
}

Failure fail(FailureCode code, std::string message) {
    return alcove::fail(static_cast<ErrorCode>(kFirst + static_cast<unsigned>(code)), std::move(message));
}

FailureCode code_of(const Error& error) {
    const auto number = static_cast<unsigned>(error.code());
    if (number < kFirst || number >= kFirst + kFailureCodes) return FailureCode::Unspecified;
    return static_cast<FailureCode>(number - kFirst);
}

std::string failure_text(const Error& error) {
    const auto code = code_of(error);
    const auto label = label_of(code);
    const auto& entry = entry_of(code);
    return "[ " + label + " ] " + std::string(entry.title) + ": " + error.to_string() + "\n" +
           "What to do: " + std::string(entry.remedy) + "\n" + "More: nitro-cli explain --error-code " +
           label + "\n";
}

}  // namespace alcove::nitro_cli

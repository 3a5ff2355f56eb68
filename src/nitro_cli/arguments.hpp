// SPDX-License-Identifier: Apache-2.0
//
// nitro-cli's command line: its commands and options, as plain values. Only the shape is checked here; what
// numbers and paths mean is checked by the commands (run_request.hpp), whose errors have codes.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace alcove::nitro_cli {

struct RunEnclave {
    std::string eif_path;
    std::string memory;  // "512", "2G"
    std::optional<std::string> cpu_count;
    std::vector<std::string> cpu_ids;
    std::optional<std::string> enclave_cid;
    std::optional<std::string> enclave_name;
    std::optional<std::string> config;  // a JSON file instead of all the others
    bool debug_mode = false;
    bool attach_console = false;
};
struct DescribeEnclaves {
    bool metadata = false;
};
// One of the two.
struct EnclaveChoice {
    std::optional<std::string> id;
    std::optional<std::string> name;
};
struct TerminateEnclave {
    EnclaveChoice enclave;
    bool all = false;  // instead
};
struct Console {
    EnclaveChoice enclave;
    std::optional<std::string> disconnect_timeout;  // seconds
};
struct DescribeEif {
    std::string eif_path;
};
struct Pcr {
    std::optional<std::string> input;  // one of the two
    std::optional<std::string> signing_certificate;
};
struct SignEif {
    std::optional<std::string> eif_path;
    std::optional<std::string> signing_certificate;
    std::optional<std::string> private_key;
};
struct BuildEnclave {
    std::string docker_uri;
    std::optional<std::string> docker_dir;
    std::string output_file;
};
struct Explain {
    std::string error_code;
};

using Command = std::variant<RunEnclave, DescribeEnclaves, TerminateEnclave, Console, DescribeEif, Pcr,
                             SignEif, BuildEnclave, Explain>;

inline constexpr int kUsageExit = 2;

// A command, or a text to show (help, or what is wrong) and an exit code.
struct Parsed {
    std::optional<Command> command;
    std::string text;
    int exit = 0;
};

Parsed parse_arguments(const std::vector<std::string>& arguments);  // without the program's name

}  // namespace alcove::nitro_cli

// SPDX-License-Identifier: Apache-2.0
//
// What run-enclave asks for, checked: from its arguments, or from a JSON file.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nitro_cli/arguments.hpp"
#include "support/result.hpp"

namespace alcove::nitro_cli {

struct RunRequest {
    std::string eif_path;
    uint64_t memory_mib = 0;
    uint32_t cpu_count = 0;
    std::vector<uint32_t> cpu_ids;  // if not empty, these and no others
    uint64_t cid = 0;               // 0: any
    bool debug = false;
    bool attach_console = false;
    std::optional<std::string> name;

    uint64_t memory_bytes() const { return memory_mib << 20; }
    bool operator==(const RunRequest&) const = default;
};

// InvalidArgument; with a file also FileOperation, Serde, MissingArgument and ConflictingArgument.
Result<RunRequest> read_request(const RunEnclave& arguments);
Result<RunRequest> request_of_json(std::string_view text);

// A number from the argument of that name: InvalidArgument.
Result<uint64_t> number_of(std::string_view name, std::string_view text, uint64_t most);
// "64", "64M", "2G", "1T" as MiB: InvalidArgument.
Result<uint64_t> memory_of(std::string_view text);

// "/images/web.eif" as "web"; the one that was asked for comes first. Names that are taken get "_1", "_2" ...
std::string choose_name(const RunRequest& request, const std::vector<std::string>& taken);

// How long the heartbeat may take: longer for large images, which are measured, and for much memory, which is
// cleared (nitro.md 2.4).
std::chrono::seconds boot_patience(uint64_t image_bytes, uint64_t memory_bytes);

}  // namespace alcove::nitro_cli

// SPDX-License-Identifier: Apache-2.0
//
// Asking the processes that accompany enclaves (enclave_process.hpp), of this tool or of the original.
#pragma once

#include <string>
#include <vector>

#include "nitro_cli/places.hpp"
#include "nitro_cli/wire.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::nitro_cli {

// A connection to each. Sockets that nobody serves any more are removed; those of processes that this user
// may not reach are left out. ReadFromDisk.
Result<std::vector<Fd>> connect_to_all(const Places& places);
Result<Fd> connect_to(const Places& places, const std::string& enclave_id);  // Socket

// Sends; for commands that are confirmed, waits a few seconds for that. Socket.
Result<void> ask(const Fd& socket, const wire::Request& request);

Result<std::vector<std::string>> names_of_enclaves(const Places& places);
Result<std::string> id_of_name(const Places& places, const std::string& name);  // Naming
// Socket.
Result<uint64_t> ask_number(const Places& places, const std::string& enclave_id, wire::Command command);

}  // namespace alcove::nitro_cli

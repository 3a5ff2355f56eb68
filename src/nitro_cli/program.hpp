// SPDX-License-Identifier: Apache-2.0
//
// One call of `nitro-cli`: arguments in, words out, an exit code.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/output.hpp"
#include "cli/program.hpp"
#include "nitro_cli/enclave_host.hpp"

namespace alcove::nitro_cli {

// Whether the name that the program was called by ("/usr/bin/nitro-cli") is this tool's.
bool is_called(std::string_view program);

// Where enclaves come from; it may start the embedded host.
using HostOpener = std::function<Result<std::unique_ptr<EnclaveHost>>()>;
// This machine, when it has /dev/nitro_enclaves; otherwise alcoved, found as `alcove` finds it.
HostOpener default_host(const cli::Streams& streams, const cli::ProgramParts& parts);

// `arguments` without the program's name. The exit code is 0, 2 for wrong arguments, or the number of the
// error.
int run_program(const std::vector<std::string>& arguments, const cli::Streams& streams,
                const HostOpener& open_host);

}  // namespace alcove::nitro_cli

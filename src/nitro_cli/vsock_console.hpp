// SPDX-License-Identifier: Apache-2.0
//
// The console of an enclave as the machine reads it that the enclave was taken from: CID 0, the hypervisor,
// port 10000 above the enclave's context id (nitro.md 2.6).
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string_view>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::nitro_cli {

Result<Fd> connect_console(uint64_t cid);  // ConsoleConnection, SocketConnectTimeout, IntegerParsing

// Pieces as they come, until the end of the stream, or until the time is over: ConsoleRead.
Result<void> read_console(const Fd& console, std::optional<std::chrono::seconds> limit,
                          const std::function<void(std::string_view)>& take);

}  // namespace alcove::nitro_cli

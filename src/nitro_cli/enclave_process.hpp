// SPDX-License-Identifier: Apache-2.0
//
// The process that accompanies an enclave: it starts it, holds its descriptor, and answers questions about it
// at <slot_uid>.sock. It ends with the enclave, and the enclave with it:
//
//     starting ──heartbeat──► running ──Terminate, a signal, the enclave's own end──► freed, process over
//        └──── anything wrong, or nobody waits any more ────────────────────────────────┘
//
// Its user and root may end it; everybody who can reach the socket may ask.
#pragma once

#include <functional>

#include "nitro_cli/enclave_start.hpp"
#include "nitro_cli/run_request.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::nitro_cli {

// From the start to the end, in this process and thread; gives the process's exit code. `caller` gets lines
// while the enclave starts, and then the result, in frames (wire.hpp).
int accompany_enclave(const RunRequest& request, const StartParts& parts, Fd caller);

// Runs `body` in a process of its own: no terminal, no parent, standard error in the file `log`. Gives the
// other end of the socket that `body` gets. SocketPair, ProcessSpawn; what fails behind that is in the log.
Result<Fd> run_detached(const std::string& log, const std::function<int(Fd)>& body);

}  // namespace alcove::nitro_cli

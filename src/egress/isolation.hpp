// SPDX-License-Identifier: Apache-2.0
//
// What the two halves give up. Neither is root, and neither gets any privilege; the proxy is alone in a
// network namespace without so much as a loopback, and can make neither sockets nor files nor processes.
#pragma once

#include "support/result.hpp"

namespace alcove::egress {

// Of a process of one thread, the future proxy: into a network namespace of its own. For whoever is not root
// by way of a user namespace, which the host has to allow: ErrorCode::Unsupported otherwise.
Result<void> leave_networks();

// Root becomes nobody; nobody regains anything, and no other process may look in.
Result<void> drop_privileges();

// The proxy's system call filter. After everything has been opened.
Result<void> enter_proxy_sandbox();

}  // namespace alcove::egress

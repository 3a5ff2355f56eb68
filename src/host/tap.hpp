// SPDX-License-Identifier: Apache-2.0
//
// A tap interface of this host, opened with the caller's rights: the kernel gives it to its owner, its group
// and CAP_NET_ADMIN.
#pragma once

#include <string>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::host {

// Whole frames without a header (IFF_NO_PI, no IFF_VNET_HDR). ErrorCode::NotFound when there is no interface
// of this name: none is made. PermissionDenied, Busy (another program has it), InvalidArgument.
Result<Fd> open_tap(const std::string& name);

}  // namespace alcove::host

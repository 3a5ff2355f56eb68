// SPDX-License-Identifier: Apache-2.0
//
// vsock as programs in an enclave use it.
#pragma once

#include <cstdint>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove {

inline constexpr uint32_t kParentCid = 3;

Result<Fd> listen_on_vsock(uint32_t port, int backlog);
Result<Fd> connect_to_vsock(uint32_t cid, uint32_t port);
Result<Fd> connect_to_parent(uint32_t port);

}  // namespace alcove

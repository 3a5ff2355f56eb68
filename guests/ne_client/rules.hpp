// SPDX-License-Identifier: Apache-2.0
//
// Everything that the driver or the device has to refuse, each with its errno.
#pragma once

#include "ne_client/report.hpp"
#include "support/result.hpp"

namespace alcove::ne_client {

Result<void> check_rules(Report& report);

}  // namespace alcove::ne_client

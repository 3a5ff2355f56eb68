// SPDX-License-Identifier: Apache-2.0
//
// An enclave from an image, as a client of the driver runs one: the image lies at the offset that the driver
// says, across regions of one huge page each.
#pragma once

#include "ne_client/report.hpp"
#include "support/result.hpp"

namespace alcove::ne_client {

// Runs the image so many times, each to its own end, in production mode; then its memory has to read as zero.
Result<void> run_image(Report& report, const char* path, int count);

}  // namespace alcove::ne_client

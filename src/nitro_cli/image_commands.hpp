// SPDX-License-Identifier: Apache-2.0
//
// The commands that only need files: describe-eif, pcr, sign-eif, and build-enclave, which says what to use
// instead. Each gives the JSON to print.
#pragma once

#include "cli/output.hpp"
#include "codec/json.hpp"
#include "nitro_cli/arguments.hpp"
#include "support/result.hpp"

namespace alcove::nitro_cli {

Result<codec::json::Json> describe_eif(const DescribeEif& command);  // EifParsing
Result<codec::json::Json> measure_file(const Pcr& command);          // FileOperation, Hasher
// MissingArgument, Signing.
Result<codec::json::Json> sign_eif(const SignEif& command, const cli::Streams& streams);
Failure build_enclave(const BuildEnclave& command);  // DockerImageBuild or DockerImagePull

}  // namespace alcove::nitro_cli

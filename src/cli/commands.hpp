// SPDX-License-Identifier: Apache-2.0
//
// The commands: each does what its structure says and gives the exit code, or the error that ended it.
// program.cpp calls them.
#pragma once

#include <functional>
#include <memory>

#include "cli/host_access.hpp"
#include "cli/invocation.hpp"
#include "cli/output.hpp"
#include "host/capabilities.hpp"
#include "support/result.hpp"

namespace alcove::cli {

// What the commands need from outside.
struct Context {
    const Output& output;
    HostSelection selection;
    // Opens the chosen host; a fake in tests.
    std::function<Result<std::unique_ptr<HostAccess>>()> open_host;
    // Runs a small guest with the local KVM; empty: cannot be tried.
    std::function<host::GuestTrial()> try_guest;
};

Result<Exit> run(const EnclaveRun& command, const Context& context);
Result<Exit> run(const EnclaveEgress& command, const Context& context);
Result<Exit> run(const VmStart& command, const Context& context);
Result<Exit> run(const VmList& command, const Context& context);
Result<Exit> run(const VmPolicy& command, const Context& context);
Result<Exit> run(const NePolicy& command, const Context& context);
// The policy in the host's answer to it, or the error that it tells of.
Result<std::string> read_policy_answer(std::string_view line);
Result<Exit> run(const VmInspect& command, const Context& context);
Result<Exit> run(const VmConsole& command, const Context& context);
Result<Exit> run(const VmLogs& command, const Context& context);
Result<Exit> run(const VmStop& command, const Context& context);
Result<Exit> run(const VmRemove& command, const Context& context);
Result<Exit> run(const VmConnect& command, const Context& context);
Result<Exit> run(const VmListen& command, const Context& context);

Result<Exit> run(const ImageBuild& command, const Context& context);
Result<Exit> run(const ImageDescribe& command, const Context& context);
Result<Exit> run(const ImageVerify& command, const Context& context);
Result<Exit> run(const ImageSign& command, const Context& context);
Result<Exit> run(const ImagePcr& command, const Context& context);

Result<Exit> run(const AttestVerify& command, const Context& context);
Result<Exit> run(const AttestRoot& command, const Context& context);

Result<Exit> run(const HostStart& command, const Context& context);
Result<Exit> run(const HostStop& command, const Context& context);
Result<Exit> run(const HostStatus& command, const Context& context);
Result<Exit> run(const HostShell& command, const Context& context);
Result<Exit> run(const HostCheck& command, const Context& context);
Result<Exit> run(const HostMap& command, const Context& context);
Result<Exit> run(const HostInspect& command, const Context& context);

Result<Exit> run(const SgxInfo& command, const Context& context);
Result<Exit> run(const SgxList& command, const Context& context);
Result<Exit> run(const SgxSet& command, const Context& context);
Result<Exit> run(const SgxDrop& command, const Context& context);

Result<Exit> run(const Explain& command, const Context& context);
Result<Exit> run(const Version& command, const Context& context);

}  // namespace alcove::cli

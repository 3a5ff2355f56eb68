// SPDX-License-Identifier: Apache-2.0
//
// alcove-shim: launcher and keeper of one VM (enclave/README.md). Started by alcove-broker with its orders at
// descriptor 3; it ends when alcoved says Release. A second argument is for people who look at `ps`.
#include <csignal>

#include "enclave/shim.hpp"
#include "sandbox/process.hpp"
#include "support/log.hpp"

namespace {

using namespace alcove;

Result<void> run() {
    TRY(sandbox::harden_process());  // it holds a VM's memory for a while
    const Channel channel{Fd(api::start::kChannelDescriptor)};
    auto order = TRY(api::start::receive_start(channel));
    auto loop = TRY(EventLoop::create());
    EventLoop* const borrowed = loop.get();
    const auto shim = TRY(enclave::Shim::create(*loop, std::move(order), enclave::PreparationWork::real(),
                                                [borrowed] { borrowed->stop(); }));
    TRY(loop->run());
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    log::start(argc == 2 ? "alcove-shim " + std::string(argv[1]) : "alcove-shim");
    ::signal(SIGPIPE, SIG_IGN);
    const auto result = run();
    if (result) return 0;
    log::error("{}", result.error().to_string());
    return 1;
}

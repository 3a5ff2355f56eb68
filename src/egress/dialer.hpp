// SPDX-License-Identifier: Apache-2.0
//
// The half that has a network: takes names and ports from the proxy, holds them against the rules, resolves
// and connects. What it is asked comes from a process that an enclave may have taken over, so everything is
// decided here.
//
// A thread for each question, a few at once: the system's resolver blocks, and knows best what names mean
// here.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "egress/connect_request.hpp"
#include "egress/rules.hpp"
#include "support/channel.hpp"

namespace alcove::egress {

struct DialLimits {
    size_t at_once = 32;                        // more are answered Unavailable
    size_t addresses = 4;                       // of one name that are tried
    std::chrono::milliseconds connect{10'000};  // for each of them
};

// All addresses of a name; an error when there is none.
using Resolve = std::function<Result<std::vector<IpAddress>>(const std::string& name)>;
Result<std::vector<IpAddress>> resolve_by_system(const std::string& name);

// Where a target may be connected to, in this order; or why not, for the log as well.
struct Verdict {
    std::vector<IpAddress> addresses;
    Status status = Status::Established;  // another when there is no address
    std::string reason;
};
Verdict judge(const Rules& rules, const ConnectTarget& target, const Resolve& resolve);

class Dialer {
  public:
    Dialer(Rules rules, DialLimits limits, Resolve resolve = resolve_by_system);

    // Until the proxy hangs up. Threads that still wait then go on by themselves. An error when the proxy
    // breaks the protocol.
    Result<void> serve(Channel proxy) const;

  private:
    struct Shared;

    std::shared_ptr<Shared> shared_;
};

}  // namespace alcove::egress

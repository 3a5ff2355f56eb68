// SPDX-License-Identifier: Apache-2.0
//
// Descriptors that clients have handed over and not used yet, each under a random one-time token. Pure but
// for the random numbers; the caller gives the time. Belongs to one thread.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include <sys/types.h>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::daemon {

class DescriptorTokens {
  public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds kValidFor{60};
    static constexpr size_t kMaxWaiting = 64;  // of all users together
    static constexpr size_t kMaxOfOneUser = 16;

    // ErrorCode::LimitExceeded when too many wait.
    Result<std::string> put(Fd descriptor, uid_t user, Time now);
    // Once. ErrorCode::NotFound for an unknown, used, expired or foreign token: the caller learns no more.
    Result<Fd> take(const std::string& token, uid_t user, Time now);

    void expire(Time now);
    size_t waiting() const { return entries_.size(); }

  private:
    struct Entry {
        Fd descriptor;
        uid_t user;
        Time until;
    };
    std::map<std::string, Entry> entries_;
};

}  // namespace alcove::daemon

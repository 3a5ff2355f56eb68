// SPDX-License-Identifier: Apache-2.0
//
// What the poller tells whoever asks: one line of JSON.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "object_poll/object_store.hpp"

namespace alcove::object_poll {

// Shared by the thread that polls and the one that tells.
class Status {
  public:
    // After a poll, whether it went well or not.
    void record(const Seen& seen, const Result<void>& outcome, const std::string& sha256);
    std::string json() const;

  private:
    mutable std::mutex mutex_;  // guards all below
    uint64_t polls_ = 0;
    uint64_t changes_ = 0;
    std::string etag_;
    size_t bytes_ = 0;
    std::string sha256_;
    std::vector<std::string> keys_;
    std::string error_;  // of the last poll; empty when it went well
};

}  // namespace alcove::object_poll

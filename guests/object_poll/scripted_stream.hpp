// SPDX-License-Identifier: Apache-2.0
//
// A server in a test: what it says is known beforehand, and comes a few bytes at a time.
#pragma once

#include <algorithm>
#include <string>

#include "object_poll/http.hpp"

namespace alcove::object_poll {

class ScriptedStream : public Stream {
  public:
    explicit ScriptedStream(std::string says, std::string* heard = nullptr)
        : says_(std::move(says)), heard_(heard) {}

    Result<size_t> read(MutableByteView into) override {
        const size_t count = std::min({into.size(), says_.size(), size_t{7}});
        std::copy_n(says_.begin(), count, into.begin());
        says_.erase(0, count);
        return count;
    }
    Result<void> write(ByteView bytes) override {
        if (heard_ != nullptr) *heard_ += as_text(bytes);
        return {};
    }
    const std::string& rest() const { return says_; }

  private:
    std::string says_;
    std::string* heard_;
};

}  // namespace alcove::object_poll

// SPDX-License-Identifier: Apache-2.0
//
// A file that is written beside its target and takes its place when it is whole, so that nobody ever sees a
// half-written one, and a failure leaves the old one alone. Goes away if it is not committed.
#pragma once

#include <string>

#include <sys/types.h>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::cli {

class Replacement {
  public:
    // `mode` less the umask's bits.
    static Result<Replacement> create(const std::string& target, mode_t mode);
    Replacement(Replacement&& other) noexcept;
    Replacement& operator=(Replacement&&) = delete;
    Replacement(const Replacement&) = delete;
    Replacement& operator=(const Replacement&) = delete;
    ~Replacement();

    const Fd& file() const { return file_; }
    Result<void> commit();

  private:
    Replacement(Fd file, std::string path, std::string target)
        : file_(std::move(file)), path_(std::move(path)), target_(std::move(target)) {}
    Fd file_;
    std::string path_;  // empty: committed
    std::string target_;
};

}  // namespace alcove::cli

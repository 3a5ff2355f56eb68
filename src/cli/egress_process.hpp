// SPDX-License-Identifier: Apache-2.0
//
// alcove-egress as a child of this process, which it does not outlive, on a socket of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::cli {

class EgressProcess {
  public:
    // Returns when it serves. What it says later goes to this process's standard error.
    // ErrorCode::Unsupported or InvalidArgument with its words, when it does not begin.
    static Result<std::unique_ptr<EgressProcess>> start(const std::vector<std::string>& rules);
    ~EgressProcess();
    EgressProcess(const EgressProcess&) = delete;
    EgressProcess& operator=(const EgressProcess&) = delete;

    const std::string& socket_path() const { return socket_path_; }
    const Fd& output() const { return output_; }  // readable once it has ended

  private:
    explicit EgressProcess(std::string folder)
        : folder_(std::move(folder)), socket_path_(folder_ + "/socket") {}

    std::string folder_;  // private, and with nothing in it but the socket
    std::string socket_path_;
    pid_t pid_ = 0;
    Fd input_;  // what it lives by
    Fd output_;
};

// Waits for the first line that a child says on a pipe; an error when it ends before.
Result<void> wait_for_line(const Fd& output, const std::string& who);

// `alcove enclave egress` for this enclave, as a process that outlives this one and ends with the enclave.
// Its log is the file that is given back.
Result<std::string> start_egress_in_background(const std::string& enclave, std::string_view host,
                                               const std::vector<std::string>& rules);
// Where that log is.
Result<std::string> egress_log(const std::string& enclave);

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
//
// Listening on a port for a VM, and serving who comes for as long as that is wanted.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "cli/host_access.hpp"
#include "cli/interruption.hpp"
#include "cli/port_service.hpp"

namespace alcove::cli {

// Where a VM's sockets are.
struct Sockets {
    std::string id;
    std::string directory;
    std::string connect;
};
Result<Sockets> sockets_of(const ApiClient& api, VmKind kind, const std::string& vm);

// One listening port of one VM.
struct Port {
    VmKind kind;
    std::string vm;  // its id
    uint32_t number;
    std::unique_ptr<HostListener> listener;  // empty: no further connection is wanted
};
// ErrorCode::AlreadyExists: another program listens there. EnclaveNotReady: its folder is not there.
Result<Port> open_port(HostAccess& host, VmKind kind, const std::string& vm, uint32_t number);
// The VM ended before anybody came.
Failure nobody_came(const Port& port);

// Waits a while for one of the descriptors; -1 is left out.
Result<void> wait_for_one(std::array<int, 4> descriptors);

// Connections that are served, and what became of them.
class Serving {
  public:
    // All but `keep` are borrowed. With `keep`, more than one connection.
    Serving(Port& port, PortService& service, bool keep, const Output& output)
        : port_(port), service_(service), keep_(keep), output_(output) {}

    // Until nobody can come any more, or it is interrupted, or `until` is readable (-1: nothing).
    Result<void> run(Interruption& interruption, int until);

    Json json() const;
    const std::optional<Result<int>>& last() const { return last_; }

  private:
    Result<void> accept();
    void collect();

    Port& port_;
    PortService& service_;
    bool keep_;
    const Output& output_;
    uint64_t connections_ = 0;
    uint64_t failed_ = 0;
    std::optional<Result<int>> last_;
};

}  // namespace alcove::cli

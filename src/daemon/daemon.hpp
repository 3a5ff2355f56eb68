// SPDX-License-Identifier: Apache-2.0
//
// alcoved as a whole: database, ledger, supervisor and the three sockets put together. One thread runs the
// event loop, to which everything belongs; the HTTP server's threads ask it.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "daemon/api_routes.hpp"
#include "daemon/descriptor_server.hpp"
#include "host/capacity.hpp"
#include "host/sgx.hpp"

namespace alcove::daemon {

struct DaemonConfig {
    std::string run_directory = "/run/alcove";               // sockets; 0750, its group may control
    std::string view_directory = "/run/alcove-view";         // 0750, its group may read
    std::string state_directory = "/var/lib/alcove/daemon";  // the database; 0700
    std::string attestor_socket = "/run/alcove-attestor/attestor.sock";
    std::string control_group = "alcove";
    std::string view_group = "alcove-view";
    // Where EPC beyond its budget goes: `spill` in the state directory without it, which is to be on a disk.
    std::string spill_directory;
    std::function<Result<Fd>(uint64_t bytes)> make_spill_file;  // for tests; spill_file.hpp's without it
    bool embedded = false;
    host::LendingRules lending;
    HttpLimits http;
    Supervisor::Config supervisor;  // run_directory, memory_now and sgx are filled in
};

inline constexpr const char* kControlSocketName = "alcoved.sock";
inline constexpr const char* kViewSocketName = "alcoved-view.sock";

class Daemon {
  public:
    // Opens the database, reads the host, adopts what runs, and serves.
    static Result<std::unique_ptr<Daemon>> start(const DaemonConfig& config);
    // Ends the service; enclaves run on.
    ~Daemon();
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    const std::string& instance_id() const { return store_->instance_id(); }

  private:
    Daemon() = default;
    Result<void> open_state(const DaemonConfig& config);
    Result<void> serve(const DaemonConfig& config);

    // In the order in which they must outlive one another.
    std::unique_ptr<EventLoop> loop_;
    Changes changes_;
    std::unique_ptr<Store> store_;
    std::unique_ptr<host::Ledger> ledger_;
    host::SgxHardware sgx_{};  // as it was at the start
    DescriptorTokens tokens_;
    std::unique_ptr<Supervisor> supervisor_;
    std::unique_ptr<DescriptorServer> descriptors_;
    std::unique_ptr<Api> api_;
    std::thread loop_thread_;
    std::unique_ptr<HttpServer> control_;
    std::unique_ptr<HttpServer> view_;
};

}  // namespace alcove::daemon

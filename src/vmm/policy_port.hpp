// SPDX-License-Identifier: Apache-2.0
//
// Port 9002 of the host, as a primary VM reaches it: what CPU policy the enclaves have that it carves from
// now on. Only root inside gets there (vsock::HostBackend::Options::root_ports). One line each way, then the
// connection is closed:
//
//     policy                             ok dedicated
//     policy dedicated                   ok dedicated
//     policy shared                      error unsupported why not      (the name of an error code, then
//     words)
//
// A program of the host that listens there comes first, as with the services of enclaves
// (vsock/services.hpp).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "support/event_loop.hpp"
#include "vsock/port_opener.hpp"

namespace alcove::vmm {

inline constexpr vsock::Port kPolicyPort{9002};

// The number of api::ne::Policy that a line asks for, without its newline; nothing: no such line.
std::optional<uint32_t> parse_policy_line(std::string_view line);

class PolicyPort : public vsock::PortOpener {
  public:
    static constexpr std::chrono::seconds kTimeout{10};
    static constexpr size_t kMaxLine = 32;
    static constexpr size_t kMaxClients = 4;

    // As NeLine::policy().
    using Ask = std::function<void(uint32_t wanted, std::function<void(Result<uint32_t>)> answered)>;

    // Loop and `programs` are borrowed.
    PolicyPort(EventLoop& loop, vsock::PortOpener& programs, Ask ask)
        : loop_(loop), programs_(programs), ask_(std::move(ask)) {}
    ~PolicyPort() override;
    PolicyPort(const PolicyPort&) = delete;
    PolicyPort& operator=(const PolicyPort&) = delete;

    void open(vsock::Port port, Done done) override;
    size_t client_count() const { return clients_.size(); }

  private:
    using ClientId = uint64_t;
    struct Client {
        Fd socket;
        std::string line;
        EventLoop::WatchId watch = 0;
        EventLoop::TimerId timer = 0;
    };

    Result<Fd> start();
    void on_readable(ClientId id);
    void answer(ClientId id, const std::string& line);

    EventLoop& loop_;
    vsock::PortOpener& programs_;
    Ask ask_;
    ClientId next_client_ = 1;
    std::unordered_map<ClientId, Client> clients_;
    // Answers that come after our end find it expired.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace alcove::vmm

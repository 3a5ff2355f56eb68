// SPDX-License-Identifier: Apache-2.0
//
// The inner end of the bridge: accepts streams that come over the virtio-serial port and connects each to
// its target. It runs as root inside the embedded host and believes the outer end, whose user owns the host.
//
//     unix:/path     a server's Unix stream socket
//     listen:/path   a socket that the outer end serves, connection by connection (listen_endpoint.hpp)
//     accepted:N     one of those connections
//     exec           a process that speaks exec_protocol.hpp
//     stream, tap:N  a descriptor for a VM's network (handover.hpp)
//     status         one line of JSON about the host, then the end
//     poweroff       ends the host in order
#pragma once

#include <memory>
#include <string>

#include "embedded/link.hpp"
#include "embedded/listen_endpoint.hpp"
#include "support/event_loop.hpp"

namespace alcove::embedded {

class Agent {
  public:
    struct Config {
        std::string port;                           // a virtio-serial port
        std::vector<std::string> exec_command;      // a program that serves exec on descriptor 0
        std::vector<std::string> handover_command;  // serves a handover on descriptor 0; the target is added
        std::vector<std::string> poweroff_command;
    };

    static Result<std::unique_ptr<Agent>> create(EventLoop& loop, Config config);
    // On a descriptor that is already open: a socket in tests.
    static Result<std::unique_ptr<Agent>> create_on(EventLoop& loop, Config config, Fd wire);

  private:
    Agent(EventLoop& loop, Config config) : loop_(loop), config_(std::move(config)) {}

    Result<std::unique_ptr<StreamEndpoint>> accept(StreamId id, const std::string& target);
    Result<Fd> socket_of(const std::string& target);
    static Result<Fd> start_program(std::vector<std::string> arguments);
    void wait_for_host();

    EventLoop& loop_;
    Config config_;
    EventLoop::TimerId timer_ = 0;
    Arrivals arrivals_;
    std::unique_ptr<Link> link_;  // last: its endpoints use what is above
};

}  // namespace alcove::embedded

// SPDX-License-Identifier: Apache-2.0
//
// The half that has no network: takes the enclave's connections, reads what they ask for, has the dialer
// connect, and carries the bytes. It can reach nothing that the dialer did not give it.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "egress/tunnel.hpp"
#include "support/channel.hpp"

namespace alcove::egress {

struct ProxyLimits {
    size_t tunnels = 128;  // at once; more wait in the listener's queue
    TunnelLimits tunnel;
};

class Proxy {
  public:
    // A listening stream socket. `on_dialer_gone` is called once, from the loop, which is borrowed.
    static Result<std::unique_ptr<Proxy>> create(EventLoop& loop, Fd listener, Channel dialer,
                                                 ProxyLimits limits, std::function<void()> on_dialer_gone);
    ~Proxy();
    Proxy(const Proxy&) = delete;
    Proxy& operator=(const Proxy&) = delete;

    size_t tunnel_count() const { return tunnels_.size(); }

  private:
    Proxy(EventLoop& loop, Fd listener, Channel dialer, ProxyLimits limits,
          std::function<void()> on_dialer_gone)
        : loop_(loop),
          listener_(std::move(listener)),
          dialer_(std::move(dialer)),
          limits_(limits),
          on_dialer_gone_(std::move(on_dialer_gone)) {}
    void accept();
    void dial(uint32_t tunnel, const ConnectTarget& target);
    void hear_dialer();
    Result<void> take_answer();
    void over(uint32_t tunnel);

    EventLoop& loop_;
    Fd listener_;
    Channel dialer_;
    const ProxyLimits limits_;
    std::function<void()> on_dialer_gone_;
    EventLoop::WatchId listener_watch_ = 0;
    EventLoop::WatchId dialer_watch_ = 0;
    uint32_t next_ = 1;
    std::map<uint32_t, std::unique_ptr<Tunnel>> tunnels_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted tasks hold it weakly
};

}  // namespace alcove::egress

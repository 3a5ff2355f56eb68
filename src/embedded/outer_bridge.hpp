// SPDX-License-Identifier: Apache-2.0
//
// The outer end of the bridge: holds QEMU's character device and listens on Unix sockets in the state
// folder. Each forward is a socket whose connections go to one target inside. connect.sock serves any
// target: the client writes one line with it and gets "OK" or "ERROR <number> <text>", then the stream. All
// sockets are for their owner only, and the folder is 0700.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "embedded/link.hpp"
#include "support/event_loop.hpp"

namespace alcove::embedded {

struct Forward {
    std::string socket_name;  // in the folder
    std::string target;       // see agent.hpp
};

inline constexpr const char* kConnectSocket = "connect.sock";

class OuterBridge {
  public:
    struct Config {
        std::string folder;
        std::vector<Forward> forwards;
    };

    // `wire`: a connection to QEMU's character device. When it ends, the host has ended: `lost` is called.
    static Result<std::unique_ptr<OuterBridge>> create(EventLoop& loop, const Config& config, Fd wire,
                                                       std::function<void()> lost);
    // Removes the sockets.
    ~OuterBridge();
    OuterBridge(const OuterBridge&) = delete;
    OuterBridge& operator=(const OuterBridge&) = delete;

    bool ready() const { return link_ && link_->state() == Session::State::Running; }

  private:
    struct Listener {
        Fd socket;
        std::string path;
        std::string target;  // empty: the client says it
        EventLoop::WatchId watch = 0;
    };
    // A client of connect.sock that has not said its line yet.
    struct Asking {
        Fd socket;
        std::string line;
        EventLoop::WatchId watch = 0;
        EventLoop::TimerId timer = 0;
    };

    explicit OuterBridge(EventLoop& loop) : loop_(loop) {}
    Result<void> listen(const std::string& folder, const Forward& forward);
    void accept(const Listener& listener);
    void read_target(std::list<Asking>::iterator client);
    void drop(std::list<Asking>::iterator client);
    Result<void> connect(Fd& client, const std::string& target, bool answer);

    EventLoop& loop_;
    std::list<Listener> listeners_;
    std::list<Asking> asking_;
    std::unique_ptr<Link> link_;
};

// The client's part: a stream to `target` through `folder`'s connect.sock. ErrorCode::Busy while the host
// does not answer yet; otherwise what the target's end said.
Result<Fd> connect_through(const std::string& folder, const std::string& target,
                           std::chrono::milliseconds timeout);

}  // namespace alcove::embedded

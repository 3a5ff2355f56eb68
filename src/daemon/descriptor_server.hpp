// SPDX-License-Identifier: Apache-2.0
//
// Serves descriptors.sock on the event loop (api/descriptor_messages.hpp). A connection lives a few seconds
// and carries a handful of offers at most.
#pragma once

#include <map>
#include <memory>

#include "daemon/descriptor_tokens.hpp"
#include "daemon/peer.hpp"

namespace alcove::daemon {

class DescriptorServer {
  public:
    static constexpr size_t kMaxConnections = 32;
    static constexpr std::chrono::seconds kConnectionTime{10};

    // Takes a listening SOCK_SEQPACKET socket. `tokens` is borrowed.
    static Result<std::unique_ptr<DescriptorServer>> create(EventLoop& loop, Fd listener,
                                                            DescriptorTokens& tokens);
    ~DescriptorServer();
    DescriptorServer(const DescriptorServer&) = delete;
    DescriptorServer& operator=(const DescriptorServer&) = delete;

  private:
    struct Connection {
        std::unique_ptr<Peer> peer;
        EventLoop::TimerId timer = 0;
        uid_t user = 0;
    };

    DescriptorServer(EventLoop& loop, Fd listener, DescriptorTokens& tokens)
        : loop_(loop), listener_(std::move(listener)), tokens_(tokens) {}
    void accept();
    Result<void> take(uint64_t connection, Peer::Message message);
    void drop(uint64_t connection);

    EventLoop& loop_;
    Fd listener_;
    DescriptorTokens& tokens_;
    EventLoop::WatchId watch_ = 0;
    uint64_t next_ = 1;
    std::map<uint64_t, Connection> connections_;
};

}  // namespace alcove::daemon

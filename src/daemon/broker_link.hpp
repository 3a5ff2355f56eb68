// SPDX-License-Identifier: Apache-2.0
//
// The daemon's end of the connection to alcove-broker (api/broker_messages.hpp): connects, and connects
// again when the broker was restarted. While there is no connection, requests fail at once.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/broker_messages.hpp"
#include "daemon/peer.hpp"

namespace alcove::daemon {

class BrokerLink {
  public:
    template <typename T>
    using Answer = std::function<void(Result<T>)>;

    struct Launched {
        Fd shim_pidfd;
        uint32_t shim_pid = 0;
        bool exclusive_cores = false;
        std::string note;  // why a flag is missing
    };

    static constexpr std::chrono::seconds kRetryAfter{1};
    static constexpr std::chrono::seconds kAnswerWithin{60};

    // `connected` is called after every connection, the first included. Loop thread only, as all of this.
    BrokerLink(EventLoop& loop, std::string socket_path, std::function<void()> connected)
        : loop_(loop), path_(std::move(socket_path)), connected_(std::move(connected)) {}
    ~BrokerLink();
    BrokerLink(const BrokerLink&) = delete;
    BrokerLink& operator=(const BrokerLink&) = delete;

    void start();
    bool is_connected() const { return peer_ != nullptr && peer_->is_open(); }
    // Why it is not connected, for people; empty when it is.
    const std::string& trouble() const { return trouble_; }

    // `order.request` is filled in here.
    void launch(api::broker::Launch order, std::vector<Fd> files, Answer<Launched> answer);
    // `order.request` is filled in here. The answer: why the cores are not exclusive although they should be.
    void assign_cores(api::broker::AssignCores order, Answer<std::string> answer);
    // `order.launch.request` is filled in here.
    void limit_memory(api::broker::LimitMemory order, Answer<void> answer);
    void kill(const api::VmId& id, Answer<void> answer);
    // A VM that is not there counts as removed.
    void remove(const api::VmId& id, Answer<void> answer);
    void list(Answer<std::vector<api::broker::ListEntry>> answer);

  private:
    using Listing = std::vector<api::broker::ListEntry>;
    void connect();
    void lost(const Error& error);
    void list_page(api::VmId::Field after, const std::shared_ptr<Listing>& collected, Answer<Listing> answer);
    template <typename Body>
    void order_vm(const api::VmId& id, Answer<void> answer);
    template <typename T>
    void refuse(Answer<T> answer);

    EventLoop& loop_;
    std::string path_;
    std::function<void()> connected_;
    std::unique_ptr<Peer> peer_;
    EventLoop::TimerId retry_ = 0;
    std::string trouble_ = "not connected yet";
};

}  // namespace alcove::daemon

// SPDX-License-Identifier: Apache-2.0
//
// The daemon's end of the connection to one VM's shim (api/shim_messages.hpp). It asks for the state when it
// is connected, and hears of every change from then on. What it hears has been checked for form only: a
// shim's VMM may have been taken over by its guest.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/shim_messages.hpp"
#include "daemon/peer.hpp"

namespace alcove::daemon {

class VmLink {
  public:
    template <typename T>
    using Answer = std::function<void(Result<T>)>;

    struct State {
        api::shim::State told;
        api::shim::Phase phase;
        std::string detail;
    };
    struct Handlers {
        std::function<void(const State&)> state;
        std::function<void(uint64_t done, uint64_t total)> progress;
        std::function<void(ByteView section)> metadata;  // of the image
        // A primary VM's VMM has no line for its NE commands; `restarts` says which life's it is.
        std::function<void(uint32_t restarts)> ne_line_wanted;
        std::function<void(const Error&)> closed;  // once; the link is to be retired then
    };

    static constexpr std::chrono::seconds kAnswerWithin{10};
    static constexpr std::chrono::seconds kBudgetWithin{17};  // pages are written to a disk
    // Memory may be moved by the hundred gigabytes. The driver in the primary VM waits 120 s.
    static constexpr std::chrono::seconds kMoveWithin{115};

    // ErrorCode::NotFound or SystemCall when nobody listens there any more.
    static Result<std::unique_ptr<VmLink>> connect(EventLoop& loop, const std::string& socket_path,
                                                   Handlers handlers);
    // From inside a callback.
    static void retire(EventLoop& loop, std::unique_ptr<VmLink> link);

    void stop(std::chrono::milliseconds force_after, Answer<void> answer);
    void statistics(Answer<std::vector<api::vmm::StatisticsEntry>> answer);
    void sgx(api::vmm::SgxAction action, Answer<api::vmm::SgxState> answer);
    void set_epc_budget(uint64_t mib, Answer<api::vmm::SgxState> answer);
    void set_epc_balloon(uint64_t mib, Answer<api::vmm::SgxState> answer);
    void console(Answer<Fd> answer);  // the console ring, debug enclaves only
    void release(Answer<void> answer);

    // Of a carved enclave.
    void add_memory(uint64_t parent_offset, uint64_t size, uint64_t enclave_offset, Answer<void> answer);
    void begin(const api::shim::Begin& order, Answer<void> answer);  // `request` is filled in here
    void give_back(Answer<void> answer);
    // Joins it with another VM of its fabric, and ends that.
    void fabric_join(api::FabricPeer peer, Answer<void> answer);
    void fabric_leave(uint64_t peer_cid, Answer<void> answer);
    // Of a primary VM that may carve.
    void ram(Answer<Fd> answer);
    void ne_line(Fd line, uint32_t restarts, Answer<void> answer);

  private:
    VmLink(EventLoop& loop, Handlers handlers) : loop_(loop), handlers_(std::move(handlers)) {}
    template <typename T>
    using Reader = Result<T> (*)(Result<Peer::Message>);
    template <typename T, typename Body>
    void ask(Body body, std::vector<Fd> descriptors, std::chrono::seconds within, Reader<T> read,
             Answer<T> answer);
    void attach();
    Result<void> take(const Peer::Message& message);
    Result<void> take_state(const Peer::Message& message);

    EventLoop& loop_;
    Handlers handlers_;
    std::unique_ptr<Peer> peer_;
};

}  // namespace alcove::daemon

// SPDX-License-Identifier: Apache-2.0
#include "daemon/broker_link.hpp"

#include <utility>

#include <sys/socket.h>

#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::daemon {

namespace {

using api::broker::ListEntry;

// More than the limits on VMs allow; a broker that lists on and on is not listened to for ever.
constexpr size_t kMaxListed = 4096;

Result<void> expect_done(Result<Peer::Message> answer) {
    auto message = TRY(std::move(answer));
    TRY(api::decode<api::broker::Done>(message.envelope));
    return {};
}

Result<BrokerLink::Launched> read_launched(Result<Peer::Message> answer) {
    auto message = TRY(std::move(answer));
    const auto launched = TRY(api::decode_with_tail<api::broker::Launched>(message.envelope));
    if (message.descriptors.size() != 1)
        return fail(ErrorCode::InvalidMessage, "the broker sent no pidfd with its answer");
    return BrokerLink::Launched{
        .shim_pidfd = std::move(message.descriptors.front()),
        .shim_pid = launched.body.shim_pid,
        .exclusive_cores = (launched.body.flags & api::broker::Launched::kExclusiveCores) != 0,
        .note = api::printable(launched.tail)};
}

Result<api::broker::ListingReply> read_listing(Result<Peer::Message> answer) {
    const auto message = TRY(std::move(answer));
    return api::broker::decode_listing(message.envelope);
}

Result<std::string> read_assigned(Result<Peer::Message> answer) {
    const auto message = TRY(std::move(answer));
    const auto assigned = TRY(api::decode_with_tail<api::broker::CoresAssigned>(message.envelope));
    return api::printable(assigned.tail);
}

}  // namespace

BrokerLink::~BrokerLink() {
    loop_.cancel(retry_);
}

void BrokerLink::start() {
    connect();
}

void BrokerLink::connect() {
    retry_ = 0;
    auto socket = sys::unix_connect(path_, SOCK_SEQPACKET | SOCK_NONBLOCK);
    if (!socket) return lost(socket.error());
    Peer::Handlers handlers;
    handlers.open = [this] {
        trouble_.clear();
        log::info("connected to the broker");
        if (connected_) connected_();
    };
    handlers.message = [](const Peer::Message&) { return Result<void>(); };
    handlers.closed = [this](const Error& error) {
        Peer::retire(loop_, std::move(peer_));
        lost(error);
    };
    auto peer = Peer::create(loop_, std::move(*socket), api::Protocol::Broker, api::broker::kVersions,
                             std::move(handlers));
    if (!peer) return lost(peer.error());
    peer_ = std::move(*peer);
}

void BrokerLink::lost(const Error& error) {
    if (trouble_ != error.to_string()) log::warn("no connection to the broker: {}", error.to_string());
    trouble_ = error.to_string();
    retry_ = loop_.after(kRetryAfter, [this] { connect(); });
}

template <typename T>
void BrokerLink::refuse(Answer<T> answer) {
    loop_.post([answer = std::move(answer), why = trouble_] {
        answer(fail(ErrorCode::ConnectionLost, "alcove-broker cannot be reached: " + why));
    });
}

void BrokerLink::launch(api::broker::Launch order, std::vector<Fd> files, Answer<Launched> answer) {
    if (!is_connected()) return refuse(std::move(answer));
    const uint32_t id = peer_->next_request();
    order.request = id;
    peer_->request(id, api::encode(order), std::move(files), kAnswerWithin,
                   [answer = std::move(answer)](Result<Peer::Message> reply) {
                       answer(read_launched(std::move(reply)));
                   });
}

void BrokerLink::assign_cores(api::broker::AssignCores order, Answer<std::string> answer) {
    if (!is_connected()) return refuse(std::move(answer));
    const uint32_t id = peer_->next_request();
    order.request = id;
    peer_->request(id, api::encode(order), {}, kAnswerWithin,
                   [answer = std::move(answer)](Result<Peer::Message> reply) {
                       answer(read_assigned(std::move(reply)));
                   });
}

void BrokerLink::limit_memory(api::broker::LimitMemory order, Answer<void> answer) {
    if (!is_connected()) return refuse(std::move(answer));
    const uint32_t id = peer_->next_request();
    order.launch.request = id;
    peer_->request(
        id, api::encode(order), {}, kAnswerWithin,
        [answer = std::move(answer)](Result<Peer::Message> reply) { answer(expect_done(std::move(reply))); });
}

template <typename Body>
void BrokerLink::order_vm(const api::VmId& vm, Answer<void> answer) {
    if (!is_connected()) return refuse(std::move(answer));
    const uint32_t id = peer_->next_request();
    const Body body{.request = id, .reserved = {}, .vm_id = vm.field()};
    peer_->request(
        id, api::encode(body), {}, kAnswerWithin,
        [answer = std::move(answer)](Result<Peer::Message> reply) { answer(expect_done(std::move(reply))); });
}

void BrokerLink::kill(const api::VmId& id, Answer<void> answer) {
    order_vm<api::broker::Kill>(id, std::move(answer));
}

void BrokerLink::remove(const api::VmId& id, Answer<void> answer) {
    order_vm<api::broker::Remove>(id, [answer = std::move(answer)](Result<void> result) {
        if (!result && result.error().code() == ErrorCode::NotFound) return answer({});
        answer(std::move(result));
    });
}

void BrokerLink::list(Answer<Listing> answer) {
    list_page({}, std::make_shared<Listing>(), std::move(answer));
}

void BrokerLink::list_page(api::VmId::Field after, const std::shared_ptr<Listing>& collected,
                           Answer<Listing> answer) {
    if (!is_connected()) return refuse(std::move(answer));
    const uint32_t id = peer_->next_request();
    const api::broker::List body{.request = id, .reserved = {}, .after = after};
    peer_->request(id, api::encode(body), {}, kAnswerWithin,
                   [this, collected, answer = std::move(answer)](Result<Peer::Message> reply) {
                       auto page = read_listing(std::move(reply));
                       if (!page) return answer(Failure{std::move(page).error()});
                       collected->insert(collected->end(), page->entries.begin(), page->entries.end());
                       const bool more =
                           page->more && !page->entries.empty() && collected->size() < kMaxListed;
                       if (more) return list_page(collected->back().vm_id, collected, answer);
                       answer(std::move(*collected));
                   });
}

}  // namespace alcove::daemon

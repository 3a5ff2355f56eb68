// SPDX-License-Identifier: Apache-2.0
#include "daemon/vm_link.hpp"

#include <utility>

#include <sys/socket.h>

#include "support/system.hpp"

namespace alcove::daemon {

namespace {

Result<void> expect_done(Result<Peer::Message> answer) {
    auto message = TRY(std::move(answer));
    TRY(api::decode<api::shim::Done>(message.envelope));
    return {};
}

Result<Fd> read_ring(Result<Peer::Message> answer) {
    auto message = TRY(std::move(answer));
    TRY(api::decode<api::shim::ConsoleRing>(message.envelope));
    if (message.descriptors.size() != 1)
        return fail(ErrorCode::InvalidMessage, "the shim sent no console ring");
    return std::move(message.descriptors.front());
}

Result<Fd> read_ram(Result<Peer::Message> answer) {
    auto message = TRY(std::move(answer));
    TRY(api::decode<api::shim::Ram>(message.envelope));
    if (message.descriptors.size() != 1) return fail(ErrorCode::InvalidMessage, "the shim sent no RAM");
    return std::move(message.descriptors.front());
}

Result<std::vector<api::vmm::StatisticsEntry>> read_statistics(Result<Peer::Message> answer) {
    const auto message = TRY(std::move(answer));
    auto reply = TRY(api::vmm::decode_statistics(message.envelope));
    return std::move(reply.entries);
}

Result<api::vmm::SgxState> read_sgx(Result<Peer::Message> answer) {
    const auto message = TRY(std::move(answer));
    auto reply = TRY(api::vmm::decode_sgx_report(message.envelope));
    return std::move(reply.state);
}

Result<VmLink::State> read_state(const Peer::Message& message) {
    const auto told = TRY(api::decode_with_tail<api::shim::State>(message.envelope));
    const auto phase = api::shim::phase_from(told.body.phase);
    if (!phase) return fail(ErrorCode::InvalidMessage, "the shim tells an unknown phase");
    return VmLink::State{.told = told.body, .phase = *phase, .detail = api::printable(told.tail)};
}

}  // namespace

Result<std::unique_ptr<VmLink>> VmLink::connect(EventLoop& loop, const std::string& socket_path,
                                                Handlers handlers) {
    auto socket = TRY(sys::unix_connect(socket_path, SOCK_SEQPACKET | SOCK_NONBLOCK));
    std::unique_ptr<VmLink> link(new VmLink(loop, std::move(handlers)));
    auto* raw = link.get();
    Peer::Handlers peer_handlers;
    peer_handlers.open = [raw] { raw->attach(); };
    peer_handlers.message = [raw](const Peer::Message& message) { return raw->take(message); };
    peer_handlers.closed = [raw](const Error& error) { raw->handlers_.closed(error); };
    peer_handlers.unnumbered = {api::shim::Progress::kType, api::shim::NeLineWanted::kType};
    link->peer_ = TRY(Peer::create(loop, std::move(socket), api::Protocol::Shim, api::shim::kVersions,
                                   std::move(peer_handlers)));
    return link;
}

void VmLink::retire(EventLoop& loop, std::unique_ptr<VmLink> link) {
    if (link == nullptr) return;
    Peer::retire(loop, std::move(link->peer_));
    loop.post([kept = std::shared_ptr<VmLink>(std::move(link))] {});
}

void VmLink::attach() {
    const uint32_t id = peer_->next_request();
    peer_->request(id, api::encode(api::shim::Attach{.request = id, .reserved = {}}), {}, kAnswerWithin,
                   [this](Result<Peer::Message> answer) {
                       // A connection that is lost says so itself.
                       if (!answer && answer.error().code() == ErrorCode::ConnectionLost) return;
                       if (!answer) return peer_->give_up(answer.error());
                       const auto taken = take_state(*answer);
                       if (!taken) peer_->give_up(taken.error());
                   });
}

Result<void> VmLink::take(const Peer::Message& message) {
    if (message.envelope.type == api::shim::NeLineWanted::kType) {
        const auto wanted = TRY(api::decode<api::shim::NeLineWanted>(message.envelope));
        handlers_.ne_line_wanted(wanted.restarts);
        return {};
    }
    if (message.envelope.type == api::shim::ImageMetadata::kType) {
        const auto told = TRY(api::decode_with_tail<api::shim::ImageMetadata>(message.envelope));
        handlers_.metadata(told.tail);
        return {};
    }
    if (message.envelope.type != api::shim::Progress::kType) return take_state(message);
    const auto progress = TRY(api::decode<api::shim::Progress>(message.envelope));
    handlers_.progress(progress.bytes_done, progress.bytes_total);
    return {};
}

Result<void> VmLink::take_state(const Peer::Message& message) {
    const auto state = TRY(read_state(message));
    handlers_.state(state);
    return {};
}

// `body` has its number filled in here.
template <typename T, typename Body>
void VmLink::ask(Body body, std::vector<Fd> descriptors, std::chrono::seconds within, Reader<T> read,
                 Answer<T> answer) {
    const uint32_t id = peer_->next_request();
    body.request = id;
    peer_->request(
        id, api::encode(body), std::move(descriptors), within,
        [answer = std::move(answer), read](Result<Peer::Message> reply) { answer(read(std::move(reply))); });
}

void VmLink::stop(std::chrono::milliseconds force_after, Answer<void> answer) {
    ask(api::shim::Stop{.request = {}, .force_after_ms = static_cast<uint32_t>(force_after.count())}, {},
        kAnswerWithin, expect_done, std::move(answer));
}

void VmLink::statistics(Answer<std::vector<api::vmm::StatisticsEntry>> answer) {
    ask(api::shim::StatisticsRequest{}, {}, kAnswerWithin, read_statistics, std::move(answer));
}

void VmLink::sgx(api::vmm::SgxAction action, Answer<api::vmm::SgxState> answer) {
    ask(api::shim::SgxRequest{.request = {}, .action = static_cast<uint32_t>(action), .mib = {}}, {},
        kAnswerWithin, read_sgx, std::move(answer));
}

void VmLink::set_epc_budget(uint64_t mib, Answer<api::vmm::SgxState> answer) {
    ask(
        api::shim::SgxRequest{
            .request = {}, .action = static_cast<uint32_t>(api::vmm::SgxAction::SetBudget), .mib = mib},
        {}, kBudgetWithin, read_sgx, std::move(answer));
}

void VmLink::set_epc_balloon(uint64_t mib, Answer<api::vmm::SgxState> answer) {
    ask(
        api::shim::SgxRequest{
            .request = {}, .action = static_cast<uint32_t>(api::vmm::SgxAction::SetBalloon), .mib = mib},
        {}, kAnswerWithin, read_sgx, std::move(answer));
}

void VmLink::console(Answer<Fd> answer) {
    ask(api::shim::Console{}, {}, kAnswerWithin, read_ring, std::move(answer));
}

void VmLink::release(Answer<void> answer) {
    ask(api::shim::Release{}, {}, kAnswerWithin, expect_done, std::move(answer));
}

void VmLink::add_memory(uint64_t parent_offset, uint64_t size, uint64_t enclave_offset, Answer<void> answer) {
    ask(api::shim::AddMemory{.request = {},
                             .reserved = {},
                             .parent_offset = parent_offset,
                             .size = size,
                             .enclave_offset = enclave_offset},
        {}, kMoveWithin, expect_done, std::move(answer));
}

void VmLink::begin(const api::shim::Begin& order, Answer<void> answer) {
    ask(order, {}, kAnswerWithin, expect_done, std::move(answer));
}

void VmLink::give_back(Answer<void> answer) {
    ask(api::shim::GiveBack{}, {}, kMoveWithin, expect_done, std::move(answer));
}

void VmLink::fabric_join(api::FabricPeer peer, Answer<void> answer) {
    const uint32_t id = peer_->next_request();
    auto message = api::shim::encode_fabric_join(id, std::move(peer));
    peer_->request(
        id, std::move(message.data), std::move(message.descriptors), kAnswerWithin,
        [answer = std::move(answer)](Result<Peer::Message> reply) { answer(expect_done(std::move(reply))); });
}

void VmLink::fabric_leave(uint64_t peer_cid, Answer<void> answer) {
    ask(api::shim::FabricLeave{.request = {}, .reserved = {}, .peer_cid = peer_cid}, {}, kAnswerWithin,
        expect_done, std::move(answer));
}

void VmLink::ram(Answer<Fd> answer) {
    ask(api::shim::GetRam{}, {}, kAnswerWithin, read_ram, std::move(answer));
}

void VmLink::ne_line(Fd line, uint32_t restarts, Answer<void> answer) {
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(line));
    ask(api::shim::NeLine{.request = {}, .restarts = restarts}, std::move(descriptors), kAnswerWithin,
        expect_done, std::move(answer));
}

}  // namespace alcove::daemon

// SPDX-License-Identifier: Apache-2.0
#include "vsock/guest_fake.hpp"

#include <sys/socket.h>

#include "support/system.hpp"
#include "vsock/packet.hpp"

namespace alcove::vsock {

using memory::GuestAddress;
using virtio::FakeQueue;

namespace {
constexpr size_t kSlots = 64;

GuestAddress behind(GuestAddress address, uint64_t bytes) {
    return GuestAddress(address.value() + bytes);
}
}  // namespace

FakeGuest::FakeGuest(virtio::FakeMachine& machine, VsockDevice& device, Cid cid)
    : machine_(machine), cid_(cid), driver_(machine, device) {}

void FakeGuest::start(uint64_t features, const std::vector<uint16_t>& sizes) {
    driver_.start(features, sizes);
    free_slots_.clear();
    busy_slots_.clear();
    waiting_.clear();
    free_receive_buffers_.clear();
    for (size_t i = 0; i < kSlots; ++i)
        free_slots_.push_back(machine_.allocate(sizeof(Header) + kMaxPayload));
    for (size_t i = 0; i < driver_.queue(queue_index::kRx).layout().size; ++i)
        free_receive_buffers_.push_back(machine_.allocate(kReceiveBuffer));
    driver_.queue(queue_index::kRx).want_interrupt();
    driver_.queue(queue_index::kTx).want_interrupt();
    refill();
    machine_.run();
}

Header FakeGuest::header(Op op, Port guest_port, Port host_port, Cid host_cid) {
    auto result = make_header(op, kCid, guest_port, host_cid, host_port);
    result.buf_alloc = kBuffer;
    return result;
}

void FakeGuest::reclaim() {
    auto& queue = driver_.queue(queue_index::kTx);
    while (const auto used = queue.take_used()) {
        free_slots_.push_back(busy_slots_.at(used->head));
        busy_slots_.erase(used->head);
    }
    queue.want_interrupt();
}

bool FakeGuest::send(const Header& header, ByteView payload) {
    send_waiting();
    return waiting_.empty() && put(header, payload);
}

void FakeGuest::send_when_there_is_room(const Header& header) {
    waiting_.push_back(header);
    send_waiting();
}

void FakeGuest::send_waiting() {
    while (!waiting_.empty() && put(waiting_.front(), {}))
        waiting_.pop_front();
}

bool FakeGuest::put(const Header& header, ByteView payload) {
    reclaim();
    auto& queue = driver_.queue(queue_index::kTx);
    if (free_slots_.empty() || queue.free_descriptors() < 2) return false;
    const auto slot = free_slots_.back();
    free_slots_.pop_back();
    machine_.memory()->write(slot, header).value();
    std::vector<FakeQueue::Piece> pieces = {{slot, sizeof(Header), false}};
    if (!payload.empty()) {
        machine_.memory()->write_bytes(behind(slot, sizeof(Header)), payload).value();
        pieces.push_back({behind(slot, sizeof(Header)), static_cast<uint32_t>(payload.size()), false});
    }
    busy_slots_[queue.add(pieces).value()] = slot;
    if (queue.wants_notification()) {
        ++kicks_;
        driver_.notify(queue_index::kTx);
    }
    return true;
}

void FakeGuest::set_refill(bool on) {
    refill_ = on;
    if (on) refill();
}

void FakeGuest::refill() {
    if (!refill_) return;
    auto& queue = driver_.queue(queue_index::kRx);
    while (!free_receive_buffers_.empty()) {
        queue.add({{free_receive_buffers_.back(), kReceiveBuffer, true}});
        free_receive_buffers_.pop_back();
    }
    if (queue.wants_notification()) {
        ++kicks_;
        driver_.notify(queue_index::kRx);
    }
}

std::vector<Packet> FakeGuest::receive() {
    send_waiting();
    auto& queue = driver_.queue(queue_index::kRx);
    std::vector<Packet> packets;
    while (const auto used = queue.take_used()) {
        const Bytes bytes = queue.written(*used);
        const auto header = read_object<Header>(bytes);
        ALCOVE_CHECK(header && bytes.size() == sizeof(Header) + header->len,
                     "the device writes whole packets");
        packets.push_back({*header, Bytes(bytes.begin() + sizeof(Header), bytes.end())});
        free_receive_buffers_.push_back(queue.pieces(used->head)[0].address);
    }
    queue.want_interrupt();
    // Linux refills when half of the buffers are gone.
    if (free_receive_buffers_.size() > queue.layout().size / 2U) refill();
    return packets;
}

std::vector<Packet> FakeGuest::wait_for_packets() {
    std::vector<Packet> packets;
    machine_.run_until(
        [&] {
            machine_.run();
            packets = receive();
            return !packets.empty();
        },
        std::chrono::seconds(30));
    return packets;
}

Header GuestStream::header(Op op) {
    auto result = FakeGuest::header(op, guest_port_, host_port_, host_cid_);
    result.src_cid = number(guest_.cid());
    result.fwd_cnt = forwarded_;
    told_ = forwarded_;
    return result;
}

void GuestStream::send_control(Op op, uint32_t flags) {
    auto packet = header(op);
    packet.flags = flags;
    guest_.send_when_there_is_room(packet);
    if (op == Op::RST) closed_ = true;
}

size_t GuestStream::write(ByteView bytes) {
    size_t done = 0;
    while (open_ && !closed_ && done < bytes.size() && credit() > 0) {
        const auto part = bytes.subspan(done, std::min<size_t>({bytes.size() - done, credit(), kMaxPayload}));
        auto packet = header(Op::RW);
        packet.len = static_cast<uint32_t>(part.size());
        if (!guest_.send(packet, part)) break;
        sent_ += static_cast<uint32_t>(part.size());
        done += part.size();
    }
    return done;
}

Bytes GuestStream::read(size_t limit) {
    const size_t count = std::min(limit, unread());
    Bytes result(received_.begin() + static_cast<ptrdiff_t>(read_),
                 received_.begin() + static_cast<ptrdiff_t>(read_ + count));
    read_ += count;
    forwarded_ += static_cast<uint32_t>(count);
    if (read_ == received_.size()) {
        received_.clear();
        read_ = 0;
    }
    // virtio_transport_stream_do_dequeue(): since Linux 6.8 also when nothing is left to read.
    const bool is_room_short = FakeGuest::kBuffer - (forwarded_ - told_) < kMaxPayload;
    const bool has_read_all = forwarded_ != told_ && unread() == 0;
    if ((is_room_short || has_read_all) && !closed_) send_control(Op::CREDIT_UPDATE);
    return result;
}

void GuestStream::shutdown(uint32_t flags) {
    shutdown_ |= flags;
    send_control(Op::SHUTDOWN, shutdown_);
}

void GuestStream::reset() {
    send_control(Op::RST);
}

void GuestStream::handle(const Packet& packet) {
    peer_buffer_ = packet.header.buf_alloc;
    peer_forwarded_ = packet.header.fwd_cnt;
    switch (packet.op()) {
        case Op::REQUEST:
            open_ = true;
            return send_control(Op::RESPONSE);
        case Op::RESPONSE:
            open_ = true;
            return;
        case Op::RST:
            closed_ = true;
            return;
        case Op::SHUTDOWN:
            peer_shutdown_ |= packet.header.flags;
            if (peer_shutdown_ == shutdown_flag::BOTH && unread() == 0) reset();
            return;
        case Op::RW:
            received_.insert(received_.end(), packet.payload.begin(), packet.payload.end());
            ALCOVE_CHECK(unread() <= FakeGuest::kBuffer, "the device keeps within the guest's credit");
            return;
        case Op::CREDIT_REQUEST:
            return send_control(Op::CREDIT_UPDATE);
        case Op::CREDIT_UPDATE:
        case Op::INVALID:
            return;
    }
}

GuestStream& GuestSockets::connect(Port host_port, Cid host_cid) {
    const Port guest_port{next_port_++};
    auto& stream = streams_[{guest_port, host_port, host_cid}];
    stream = std::make_unique<GuestStream>(guest_, guest_port, host_port, host_cid);
    stream->send_control(Op::REQUEST);
    return *stream;
}

size_t GuestSockets::poll() {
    const auto packets = guest_.receive();
    for (const auto& packet : packets) {
        const Port guest_port = to_port(packet.header.dst_port);
        const Port host_port = to_port(packet.header.src_port);
        const Key key{guest_port, host_port, to_cid(packet.header.src_cid)};
        auto found = streams_.find(key);
        if (found == streams_.end() && packet.op() == Op::REQUEST && listening_.contains(guest_port)) {
            auto stream = std::make_unique<GuestStream>(guest_, guest_port, host_port, key.host_cid);
            accepted_.push_back(stream.get());
            found = streams_.emplace(key, std::move(stream)).first;
        }
        if (found != streams_.end()) {
            found->second->handle(packet);
        } else if (packet.op() != Op::RST) {
            auto reset = FakeGuest::header(Op::RST, guest_port, host_port, key.host_cid);
            reset.src_cid = number(guest_.cid());
            guest_.send_when_there_is_room(reset);
        }
    }
    return packets.size();
}

void FakeOpener::open(Port port, Done done) {
    ports.push_back(port);
    switch (answer) {
        case Answer::Accept: {
            auto pair = sys::socket_pair(SOCK_STREAM);
            if (!pair) return done(Failure{pair.error()});
            sys::set_non_blocking(pair->first, true).value();
            programs.push_back(std::move(pair->first));
            return done(std::move(pair->second));
        }
        case Answer::NotFound:
            return done(fail(ErrorCode::NotFound, "nobody listens"));
        case Answer::Later:
            waiting.push_back(std::move(done));
            return;
    }
}

FakeVsock::FakeVsock(HostBackend::Options options, const VsockDevice::Timing& timing)
    : backend(machine.loop(), opener,
              [&] {
                  options.guest_cid = FakeGuest::kCid;
                  return options;
              }()),
      device(machine.loop(), FakeGuest::kCid, {&backend}, timing),
      guest(machine, device),
      sockets(guest) {
    guest.start();
}

void FakeVsock::run() {
    do {
        machine.run();
    } while (sockets.poll() > 0);
}

bool FakeVsock::run_until(const std::function<bool()>& done, std::chrono::milliseconds limit) {
    const auto deadline = EventLoop::Clock::now() + limit;
    while (true) {
        run();
        if (done()) return true;
        if (EventLoop::Clock::now() > deadline) return false;
        (void)machine.loop().run_once(std::chrono::milliseconds(1));
    }
}

}  // namespace alcove::vsock

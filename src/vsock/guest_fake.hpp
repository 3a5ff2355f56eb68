// SPDX-License-Identifier: Apache-2.0
//
// The guest's side of vsock, for tests and fuzzers: a driver that sends and receives raw packets, and on it
// streams that behave as Linux's do (credit, half-close, RST for what it does not know). Tests that want a
// guest that misbehaves send packets by hand.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "virtio/driver_fake.hpp"
#include "vsock/device.hpp"
#include "vsock/host_backend.hpp"
#include "vsock/port_opener.hpp"
#include "vsock/spec.hpp"

namespace alcove::vsock {

struct Packet {
    Header header;
    Bytes payload;
    Op op() const { return op_of(header); }
};

class FakeGuest {
  public:
    static constexpr Cid kCid{16};
    static constexpr uint32_t kBuffer = 256 * 1024;
    static constexpr uint32_t kReceiveBuffer = 4096;  // as Linux's

    FakeGuest(virtio::FakeMachine& machine, VsockDevice& device, Cid cid = kCid);

    Cid cid() const { return cid_; }

    // Starts the driver and gives the device receive buffers.
    void start(uint64_t features = virtio::FakeDriver::kUsualFeatures,
               const std::vector<uint16_t>& sizes = {});
    virtio::FakeDriver& driver() { return driver_; }

    static Header header(Op op, Port guest_port, Port host_port, Cid host_cid = Cid::Parent);

    // Puts a packet into the transmit queue and rings as a driver does; false while the queue is full or
    // others wait for room in it. The header's len is taken as it is, also when it lies.
    bool send(const Header& header, ByteView payload = {});
    // The same for a packet without payload that waits, in order, until receive() finds room for it (Linux's
    // send_pkt_queue).
    void send_when_there_is_room(const Header& header);
    // What the device has sent. Buffers go back to it, unless refilling is off.
    std::vector<Packet> receive();
    // Runs the loop and gives what came, waiting for at least one packet; empty when none comes.
    std::vector<Packet> wait_for_packets();
    void set_refill(bool on);

    uint64_t kicks() const { return kicks_; }

  private:
    void refill();
    void reclaim();
    void send_waiting();
    bool put(const Header& header, ByteView payload);

    virtio::FakeMachine& machine_;
    const Cid cid_;
    virtio::FakeDriver driver_;
    std::vector<memory::GuestAddress> free_slots_;            // each a header, then payload
    std::map<uint16_t, memory::GuestAddress> busy_slots_;     // by head
    std::deque<Header> waiting_;                              // for room in the transmit queue
    std::vector<memory::GuestAddress> free_receive_buffers_;  // not in the ring
    bool refill_ = true;
    uint64_t kicks_ = 0;
};

// One stream as the guest's kernel keeps it.
class GuestStream {
  public:
    GuestStream(FakeGuest& guest, Port guest_port, Port host_port, Cid host_cid)
        : guest_(guest), guest_port_(guest_port), host_port_(host_port), host_cid_(host_cid) {}

    // As much as credit and queue allow; says how much.
    size_t write(ByteView bytes);
    // What arrived, at most `limit` bytes of it; tells the host of the room when Linux would.
    Bytes read(size_t limit = ~size_t{0});
    void shutdown(uint32_t flags);
    void reset();
    void handle(const Packet& packet);

    bool is_open() const { return open_; }
    bool is_closed() const { return closed_; }  // an RST came or was sent
    uint32_t peer_shutdown() const { return peer_shutdown_; }
    size_t unread() const { return received_.size() - read_; }
    uint32_t credit() const { return peer_buffer_ - (sent_ - peer_forwarded_); }
    Port host_port() const { return host_port_; }

    void send_control(Op op, uint32_t flags = 0);

  private:
    Header header(Op op);

    FakeGuest& guest_;
    Port guest_port_;
    Port host_port_;
    Cid host_cid_;
    bool open_ = false;
    bool closed_ = false;
    uint32_t peer_shutdown_ = 0;
    uint32_t shutdown_ = 0;
    uint32_t peer_buffer_ = 0;
    uint32_t peer_forwarded_ = 0;
    uint32_t sent_ = 0;
    uint32_t forwarded_ = 0;
    uint32_t told_ = 0;
    Bytes received_;
    size_t read_ = 0;
};

// The guest's sockets: hands packets to streams, answers the rest.
class GuestSockets {
  public:
    explicit GuestSockets(FakeGuest& guest) : guest_(guest) {}

    GuestStream& connect(Port host_port, Cid host_cid = Cid::Parent);
    void listen(Port guest_port) { listening_.insert(guest_port); }
    // Streams that others opened, in order.
    const std::vector<GuestStream*>& accepted() const { return accepted_; }
    // Takes the packets there are; says how many.
    size_t poll();

  private:
    struct Key {
        Port guest_port;
        Port host_port;
        Cid host_cid;
        auto operator<=>(const Key&) const = default;
    };
    FakeGuest& guest_;
    uint32_t next_port_ = 50'000;
    std::map<Key, std::unique_ptr<GuestStream>> streams_;
    std::set<Port> listening_;
    std::vector<GuestStream*> accepted_;
};

// Host programs that listen: gives one end of a socket pair and keeps the other.
class FakeOpener : public PortOpener {
  public:
    enum class Answer { Accept, NotFound, Later };
    void open(Port port, Done done) override;

    Answer answer = Answer::Accept;
    std::vector<Fd> programs;   // the other ends, in order
    std::vector<Port> ports;    // what was asked for
    std::vector<Done> waiting;  // with Answer::Later
};

// All of it together, started. Options of the backend as wanted, but for the context id.
struct FakeVsock {
    explicit FakeVsock(HostBackend::Options options = {}, const VsockDevice::Timing& timing = {});

    // Runs loop and guest until neither has anything to do.
    void run();
    // The same until `done` says so; false when that takes longer than `limit`.
    bool run_until(const std::function<bool()>& done,
                   std::chrono::milliseconds limit = std::chrono::seconds(120));

    virtio::FakeMachine machine;
    FakeOpener opener;
    HostBackend backend;
    VsockDevice device;
    FakeGuest guest;
    GuestSockets sockets;
};

}  // namespace alcove::vsock

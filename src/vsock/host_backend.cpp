// SPDX-License-Identifier: Apache-2.0
#include "vsock/host_backend.hpp"

#include <algorithm>
#include <utility>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "support/system.hpp"
#include "vsock/packet.hpp"

namespace alcove::vsock {

namespace {

// Host ports are made up for host programs, far from those that anybody listens on.
constexpr uint32_t kFirstHostPort = 1U << 30;
constexpr uint32_t kLastHostPort = (1U << 31) - 1;
constexpr size_t kMaxStrayReplies = 256;
// Bytes a connection may move before it is another's turn, and when there is no other.
constexpr uint32_t kSharedTurn = 64 * 1024;
constexpr uint32_t kLonelyTurn = 256 * 1024;
constexpr std::chrono::milliseconds kDeadlineCheck{100};
constexpr uint32_t kAlwaysWatched = EPOLLIN | EPOLLRDHUP | EPOLLET;

ConnectionKey key_of(const Header& header) {
    return {.host_cid = to_cid(header.dst_cid),
            .host_port = to_port(header.dst_port),
            .guest_port = to_port(header.src_port)};
}

}  // namespace

size_t HostBackend::KeyHash::operator()(const ConnectionKey& key) const {
    // The guest chooses these. Collisions would slow down its own connections only, and those are capped.
    const uint64_t ports = (uint64_t{number(key.host_port)} << 32) | number(key.guest_port);
    return std::hash<uint64_t>()((ports ^ (number(key.host_cid) << 17)) * 0x9e3779b97f4a7c15ULL);
}

HostBackend::HostBackend(EventLoop& loop, PortOpener& opener, Options options)
    : loop_(loop),
      opener_(opener),
      options_(std::move(options)),
      budget_(options_.buffer_budget),
      context_{.guest_cid = options_.guest_cid, .patience = options_.patience, .counters = {}},
      next_host_port_(kFirstHostPort) {
    ALCOVE_CHECK(!options_.host_cids.empty(), "the host has a context id");
}

HostBackend::~HostBackend() {
    reset();
}

bool HostBackend::serves(Cid cid) const {
    return std::ranges::find(options_.host_cids, cid) != options_.host_cids.end();
}

bool HostBackend::serves(Cid cid, Port port) const {
    const auto& ports = options_.only_ports;
    return serves(cid) && (ports.empty() || std::ranges::find(ports, port) != ports.end());
}

void HostBackend::reset() {
    is_active_ = false;
    for (const auto& [serial, entry] : connections_)
        loop_.unwatch(entry->watch);
    by_key_.clear();
    control_line_.clear();
    data_line_.clear();
    stray_replies_.clear();
    for (const auto& [serial, entry] : connections_)
        budget_.give_back(entry->connection.window());
    connections_.clear();
    loop_.cancel(deadline_timer_);
    deadline_timer_ = 0;
}

// ---- from the guest

void HostBackend::receive(const Header& header, std::span<const memory::GuestSlice> payload) {
    const auto found = by_key_.find(key_of(header));
    if (found == by_key_.end()) return receive_stray(header);
    Entry& entry = *found->second;
    const uint64_t violations = context_.counters.violations;
    entry.connection.receive(header, payload);
    uint64_t suppressed = 0;
    if (context_.counters.violations != violations && violation_log_.allow(suppressed))
        log::warn(
            "vsock: the guest broke a stream's rules (operation {}, port {} to {}): connection reset "
            "({} similar messages left out)",
            uint16_t{header.op}, uint32_t{header.src_port}, uint32_t{header.dst_port}, suppressed);
    settle(entry);
}

void HostBackend::receive_stray(const Header& header) {
    const auto op = op_of(header);
    if (op == Op::REQUEST) return open_for_guest(key_of(header), header);
    ++counters_.stray_packets;
    if (op != Op::RST) reply_reset(header);
}

void HostBackend::open_for_guest(const ConnectionKey& key, const Header& request) {
    const bool for_root = std::ranges::find(options_.root_ports, key.host_port) != options_.root_ports.end();
    if (for_root && key.guest_port >= kFirstFreePort) {
        ++counters_.refused;
        return reply_reset(request);
    }
    // Requests that the guest took back still count until the opener has answered them.
    if (connections_.size() >= options_.max_connections || opens_under_way_ >= options_.max_connections) {
        ++counters_.refused;
        return reply_reset(request);
    }
    Entry& entry = insert(Connection(context_, key, budget_.lease(), request));
    const Serial serial = entry.serial;
    settle(entry);
    ++opens_under_way_;
    opener_.open(key.host_port, [this, alive = std::weak_ptr(alive_), serial](Result<Fd> socket) {
        if (!alive.expired()) opened(serial, std::move(socket));
    });
}

void HostBackend::opened(Serial serial, Result<Fd> socket) {
    --opens_under_way_;
    const auto found = connections_.find(serial);
    if (found == connections_.end()) return;
    Entry& entry = *found->second;
    if (socket && entry.connection.state() == Connection::State::Opening) {
        entry.connection.opened(std::move(socket).value());
        const auto adopted = adopt_socket(entry);
        if (adopted)
            ++counters_.accepted;
        else
            entry.connection.abandon();
    } else if (!socket) {
        ++counters_.refused;
        entry.connection.refused();
    }
    settle(entry);
    wake();
}

void HostBackend::reply_reset(const Header& to) {
    if (stray_replies_.size() >= kMaxStrayReplies) {
        ++counters_.replies_dropped;
        return;
    }
    ++context_.counters.resets_sent;
    stray_replies_.push_back(make_reset(to));
}

// ---- from host programs

Result<void> HostBackend::connect(Fd socket, Port guest_port) {
    if (!is_active_) return fail(ErrorCode::ConnectionLost, "the guest has no vsock driver at work");
    if (connections_.size() >= options_.max_connections)
        return fail(ErrorCode::LimitExceeded,
                    "the guest has " + std::to_string(connections_.size()) + " connections already");
    const Port host_port = TRY(free_host_port(guest_port));
    const ConnectionKey key{
        .host_cid = options_.host_cids.front(), .host_port = host_port, .guest_port = guest_port};
    Entry& entry = insert(Connection(context_, key, budget_.lease(), std::move(socket)));
    ++counters_.host_requests;
    const auto adopted = adopt_socket(entry);
    if (!adopted) {
        remove(entry);
        return adopted;
    }
    settle(entry);
    wake();
    return {};
}

Result<Port> HostBackend::free_host_port(Port guest_port) {
    // More tries than there are connections cannot all be taken.
    for (size_t tries = 0; tries <= connections_.size(); ++tries) {
        const Port port{next_host_port_};
        next_host_port_ = next_host_port_ == kLastHostPort ? kFirstHostPort : next_host_port_ + 1;
        if (!by_key_.contains(
                {.host_cid = options_.host_cids.front(), .host_port = port, .guest_port = guest_port}))
            return port;
    }
    return fail(ErrorCode::LimitExceeded, "no vsock port is free");
}

// ---- the table

HostBackend::Entry& HostBackend::insert(Connection connection) {
    const Serial serial = next_serial_++;
    auto entry = std::make_unique<Entry>(serial, std::move(connection));
    Entry& result = *entry;
    by_key_[result.connection.key()] = &result;
    connections_[serial] = std::move(entry);
    return result;
}

Result<void> HostBackend::adopt_socket(Entry& entry) {
    const Fd& socket = entry.connection.socket();
    TRY(sys::set_non_blocking(socket, true));
    // What the kernel may hold for us follows the window, so that both are bounded together.
    const int size = static_cast<int>(entry.connection.window());
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    const auto watch =
        TRY(loop_.watch(socket, kAlwaysWatched, [this, serial = entry.serial](uint32_t events) {
            Entry& its_entry = *connections_.at(serial);
            its_entry.connection.on_socket(events);
            settle(its_entry);
            wake();
        }));
    entry.watch = watch;
    return {};
}

// After anything happened to a connection: puts it where it now belongs. May remove it.
void HostBackend::settle(Entry& entry) {
    auto& connection = entry.connection;
    if (connection.is_socket_done()) {
        loop_.unwatch(std::exchange(entry.watch, 0));
        connection.close_socket();
    }
    if (connection.is_gone() && std::exchange(entry.is_indexed, false)) by_key_.erase(connection.key());
    line_up(control_line_, entry.control_turn, entry.serial, connection.has_control());
    line_up(data_line_, entry.data_turn, entry.serial, connection.has_data());
    if (connection.is_finished()) return remove(entry);

    const bool wants_writable = connection.wants_writable();
    if (entry.watch != 0 && wants_writable != entry.watches_writable) {
        // Edge-triggered also here: the kernel reports a socket that is writable already.
        const auto changed = loop_.change(entry.watch, kAlwaysWatched | (wants_writable ? EPOLLOUT : 0U));
        if (changed) entry.watches_writable = wants_writable;
    }
    if (connection.deadline()) arm_deadlines();
}

void HostBackend::line_up(Turns& line, std::optional<Turns::iterator>& place, Serial serial, bool wanted) {
    if (wanted && !place) {
        place = line.insert(line.end(), serial);
    } else if (!wanted && place) {
        line.erase(*place);
        place.reset();
    }
}

void HostBackend::remove(Entry& entry) {
    line_up(control_line_, entry.control_turn, entry.serial, false);
    line_up(data_line_, entry.data_turn, entry.serial, false);
    loop_.unwatch(entry.watch);
    if (entry.is_indexed) by_key_.erase(entry.connection.key());
    budget_.give_back(entry.connection.window());
    connections_.erase(entry.serial);
}

// ---- to the guest

bool HostBackend::has_packets() const {
    return !stray_replies_.empty() || !control_line_.empty() || !data_line_.empty();
}

Result<bool> HostBackend::send(RxRing& ring) {
    if (!stray_replies_.empty()) {
        const bool sent = TRY(ring.put(stray_replies_.front()));
        if (sent) stray_replies_.pop_front();
        return sent;
    }
    const bool is_control = !control_line_.empty();
    Turns& line = is_control ? control_line_ : data_line_;
    if (line.empty()) return true;
    Entry& entry = *connections_.at(line.front());
    if (is_control) {
        const bool sent = TRY(entry.connection.send_control(ring));
        settle(entry);
        return sent;
    }
    const uint32_t limit = line.size() > 1 ? kSharedTurn : kLonelyTurn;
    const bool sent = TRY(entry.connection.send_data(ring, limit));
    // To the end of the line, if it has still more.
    if (sent) line_up(data_line_, entry.data_turn, entry.serial, false);
    settle(entry);
    return sent;
}

// ---- deadlines

void HostBackend::arm_deadlines() {
    if (deadline_timer_ != 0) return;
    deadline_timer_ = loop_.after(kDeadlineCheck, [this] { check_deadlines(); });
}

void HostBackend::check_deadlines() {
    deadline_timer_ = 0;
    const auto now = Connection::Clock::now();
    std::vector<Serial> due;
    bool has_others = false;
    for (const auto& [serial, entry] : connections_) {
        const auto deadline = entry->connection.deadline();
        if (!deadline) continue;
        if (*deadline <= now)
            due.push_back(serial);
        else
            has_others = true;
    }
    for (const Serial serial : due) {
        Entry& entry = *connections_.at(serial);
        entry.connection.on_deadline();
        settle(entry);
    }
    if (has_others) arm_deadlines();
    if (!due.empty()) wake();
}

// ---- inspection

uint64_t HostBackend::buffered_bytes() const {
    uint64_t total = 0;
    for (const auto& [serial, entry] : connections_)
        total += entry->connection.buffered_bytes();
    return total;
}

}  // namespace alcove::vsock

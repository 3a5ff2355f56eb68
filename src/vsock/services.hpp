// SPDX-License-Identifier: Apache-2.0
//
// Two ports of the host that answer even when no program listens there:
//
// - 9000, the boot heartbeat of Nitro Enclaves: an enclave's init sends the byte 0xB7, expects it back, and
//   both close. An init that gets no answer ends the machine.
// - 9001, the end of the application: our init sends the line `exit <code>` or `signal <number>` before it
//   powers off. The connection is closed once the line was read.
//
// A program that listens there itself comes first: these services stand in only when the opener of host
// sockets says NotFound. Either way it is reported who answered.
//
// The services are ordinary programs at the other end of a socket pair, so streams know nothing of them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "support/event_loop.hpp"
#include "vsock/port_opener.hpp"

namespace alcove::vsock {

inline constexpr Port kHeartbeatPort{9000};
inline constexpr Port kStatusPort{9001};
inline constexpr uint8_t kHeartbeatByte = 0xb7;

struct ServiceReport {
    enum class Kind { Heartbeat, Status };
    enum class Answerer { HostProgram, BuiltIn };
    Kind kind;
    Answerer answerer;
    // Of the built-in ones: whether what came was of the right form. A host program is not listened to.
    bool is_valid = false;
    // Of a valid status line.
    enum class End { Exit, Signal };
    std::optional<End> end = std::nullopt;
    uint32_t number = 0;  // exit code or signal
};

// Of a line without its newline: `exit <0..255>` or `signal <1..127>`.
std::optional<std::pair<ServiceReport::End, uint32_t>> parse_status_line(std::string_view line);

class Services : public PortOpener {
  public:
    static constexpr std::chrono::seconds kTimeout{10};
    static constexpr size_t kMaxLine = 32;
    static constexpr size_t kMaxClients = 16;

    using Listener = std::function<void(const ServiceReport&)>;
    // Loop and `programs` (who connects to programs of the host) are borrowed. Reports come on the loop's
    // thread.
    Services(EventLoop& loop, PortOpener& programs, Listener report);
    ~Services() override;
    Services(const Services&) = delete;
    Services& operator=(const Services&) = delete;

    void open(Port port, Done done) override;

  private:
    using ClientId = uint64_t;
    struct Client {
        ServiceReport::Kind kind;
        Fd socket;
        std::string line;
        EventLoop::WatchId watch = 0;
        EventLoop::TimerId timer = 0;
    };

    Result<Fd> start(ServiceReport::Kind kind);
    void on_readable(ClientId id);
    void finish(ClientId id, const ServiceReport& report);

    EventLoop& loop_;
    PortOpener& programs_;
    Listener report_;
    ClientId next_client_ = 1;
    std::unordered_map<ClientId, Client> clients_;
    // Answers of `programs_` that come after our end find it expired.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace alcove::vsock

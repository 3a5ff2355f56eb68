// SPDX-License-Identifier: Apache-2.0
//
// A client of QEMU's machine protocol (QEMU docs/interop/qmp-spec): one JSON object a line over a Unix
// socket, a greeting, a capabilities exchange, then commands; events may come between. Blocking, with a
// deadline for each wait. QEMU serves one client at a time, so an object of this class is short-lived.
#pragma once

#include <chrono>
#include <deque>
#include <string>

#include <nlohmann/json.hpp>

#include "support/bytes.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::embedded {

class QmpClient {
  public:
    static constexpr size_t kMaxLine = 4 * 1024 * 1024;
    using Json = nlohmann::json;

    // ErrorCode::EmbeddedHostNotRunning when nobody listens there.
    static Result<QmpClient> connect(const std::string& socket_path, std::chrono::milliseconds timeout);

    // The command's return value. What QEMU refuses is ErrorCode::EmbeddedHostFailed with its description. A
    // descriptor, if any, travels with the command (add-fd).
    Result<Json> execute(const std::string& command, const Json& arguments = Json::object(),
                         const Fd* descriptor = nullptr);
    // Waits for an event of this name whose data has `key` == `value`; also finds one that came before, since
    // this client connected.
    Result<void> wait_event(const std::string& name, const std::string& key, const std::string& value,
                            std::chrono::milliseconds timeout);

    void set_timeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }  // of each command

  private:
    using Clock = std::chrono::steady_clock;
    static constexpr size_t kMaxEvents = 256;  // kept for wait_event; the oldest go

    QmpClient(Fd socket, std::chrono::milliseconds timeout) : socket_(std::move(socket)), timeout_(timeout) {}
    Result<Json> read_message(Clock::time_point deadline);
    // The next message that is no event; events are kept.
    Result<Json> read_reply(Clock::time_point deadline);
    Result<void> send_line(const std::string& line, const Fd* descriptor, Clock::time_point deadline);

    Fd socket_;
    std::chrono::milliseconds timeout_;
    std::string received_;
    std::deque<Json> events_;
};

}  // namespace alcove::embedded

// SPDX-License-Identifier: Apache-2.0
#include "cli/api_client.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>

#include <httplib.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "support/bits.hpp"
#include "support/error_catalog.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

// Why there was no connection: the library does not tell a missing file from a closed door.
Error connection_error(const std::string& path) {
    const auto socket = sys::unix_connect(path, SOCK_STREAM);
    if (socket) return Error(ErrorCode::Busy, "alcoved did not accept the connection");
    const auto code = socket.error().code();
    const bool is_told = code == ErrorCode::PathTooLong || code == ErrorCode::PermissionDenied;
    return Error(is_told ? code : ErrorCode::DaemonNotRunning, socket.error().to_string());
}

httplib::Client make_client(const std::string& path, std::chrono::seconds patience) {
    httplib::Client client(path);
    client.set_address_family(AF_UNIX);
    client.set_connection_timeout(std::chrono::seconds(5));
    client.set_read_timeout(patience);
    client.set_write_timeout(std::chrono::seconds(30));
    return client;
}

// One request from its beginning.
class Asked {
  public:
    Asked(const std::string& path, std::chrono::seconds patience)
        : path_(path), patience_(patience), client_(make_client(path, patience)) {}

    httplib::Client& client() { return client_; }
    Error no_answer(httplib::Error error) const {
        if (error == httplib::Error::Connection) return connection_error(path_);
        // The library calls an end of the connection the same as silence.
        const bool waited = Clock::now() - begun_ >= patience_;
        return Error(waited ? ErrorCode::Timeout : ErrorCode::ConnectionLost,
                     "alcoved gave no answer (" + httplib::to_string(error) + ")");
    }
    Result<std::string> body_of(const httplib::Result& result) const {
        if (!result) return Failure{no_answer(result.error())};
        if (result->status < 200 || result->status > 299)
            return Failure{api_error(result->status, result->body)};
        return result->body;
    }
    Result<Json> json_of(const httplib::Result& result) const {
        const auto body = TRY(body_of(result));
        return codec::json::parse(body, {.bytes = 16_MiB, .depth = 32});
    }

  private:
    using Clock = std::chrono::steady_clock;
    const std::string& path_;
    std::chrono::seconds patience_;
    Clock::time_point begun_ = Clock::now();
    httplib::Client client_;
};

// Breaks a request off when its time is over.
class TimeLimit {
  public:
    TimeLimit(httplib::Client& client, std::optional<std::chrono::seconds> limit) {
        if (!limit) return;
        thread_ = std::thread([this, &client, deadline = std::chrono::steady_clock::now() + *limit] {
            std::unique_lock lock(mutex_);
            if (wake_.wait_until(lock, deadline, [this] { return done_; })) return;
            over_ = true;
            client.stop();
        });
    }
    TimeLimit(const TimeLimit&) = delete;
    TimeLimit& operator=(const TimeLimit&) = delete;
    ~TimeLimit() {
        {
            const std::lock_guard lock(mutex_);
            done_ = true;
        }
        wake_.notify_all();
        if (thread_.joinable()) thread_.join();
    }
    bool is_over() const {
        const std::lock_guard lock(mutex_);
        return over_;
    }

  private:
    mutable std::mutex mutex_;  // guards the two below
    bool done_ = false;
    bool over_ = false;
    std::condition_variable wake_;
    std::thread thread_;
};

constexpr std::chrono::seconds kPatience{60};

}  // namespace

Error api_error(int http_status, std::string_view body) {
    Error unknown(ErrorCode::Internal, "alcoved answered with HTTP status " + std::to_string(http_status));
    const auto json = codec::json::parse(body);
    if (!json) return unknown;
    const auto error = codec::json::object_field(*json, "error");
    if (!error) return unknown;
    const auto code = codec::json::text_field(**error, "code");
    const auto message = codec::json::text_field(**error, "message");
    if (!code || !message) return unknown;
    const auto entry = find_error(*code);
    return Error(entry ? entry->code : ErrorCode::Internal, *message);
}

std::string path_part(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           c == '-' || c == '_' || c == '.';
        constexpr const char* kDigits = "0123456789ABCDEF";
        if (plain) {
            escaped += c;
        } else {
            escaped += '%';
            escaped += kDigits[static_cast<unsigned char>(c) >> 4];
            escaped += kDigits[static_cast<unsigned char>(c) & 15];
        }
    }
    return escaped;
}

Result<Json> ApiClient::get(const std::string& target, std::chrono::seconds patience) const {
    Asked asked(path_, patience);
    return asked.json_of(asked.client().Get(target));
}

Result<Json> ApiClient::post(const std::string& target, const Json& body) const {
    Asked asked(path_, kPatience);
    return asked.json_of(asked.client().Post(target, codec::json::dump(body), "application/json"));
}

Result<Json> ApiClient::remove(const std::string& target) const {
    Asked asked(path_, kPatience);
    return asked.json_of(asked.client().Delete(target));
}

Result<std::string> ApiClient::get_text(const std::string& target) const {
    Asked asked(path_, kPatience);
    return asked.body_of(asked.client().Get(target));
}

Result<void> ApiClient::stream(const std::string& target, const std::function<bool(std::string_view)>& take,
                               std::optional<std::chrono::seconds> limit) const {
    // A console may be silent for a long time.
    Asked asked(path_, std::chrono::hours(24 * 365));
    const TimeLimit time_limit(asked.client(), limit);
    int status = 0;
    std::string error_body;
    bool ended_by_us = false;
    const auto result = asked.client().Get(
        target,
        [&](const httplib::Response& response) {
            status = response.status;
            return true;
        },
        [&](const char* data, size_t size) {
            if (status != 200) {
                error_body.append(data, size);
                return error_body.size() < 64_KiB;
            }
            ended_by_us = !take(std::string_view(data, size));
            return !ended_by_us;
        });
    if (status != 0 && status != 200) return Failure{api_error(status, error_body)};
    if (!result && !ended_by_us && !time_limit.is_over()) return Failure{asked.no_answer(result.error())};
    return {};
}

}  // namespace alcove::cli

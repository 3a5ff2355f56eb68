// SPDX-License-Identifier: Apache-2.0
//
// The HTTP API of alcoved over a Unix socket (docs/api.md). An error that the daemon answers comes back as
// the Error it was there; a socket that nobody serves is ErrorCode::DaemonNotRunning.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "codec/json.hpp"
#include "support/result.hpp"

namespace alcove::cli {

using codec::json::Json;

class ApiClient {
  public:
    explicit ApiClient(std::string socket_path) : path_(std::move(socket_path)) {}

    // `patience`: until the answer is there; longer than any wait that the request asks for.
    Result<Json> get(const std::string& target,
                     std::chrono::seconds patience = std::chrono::seconds(60)) const;
    Result<Json> post(const std::string& target, const Json& body) const;
    Result<Json> remove(const std::string& target) const;
    Result<std::string> get_text(const std::string& target) const;
    // Pieces as they come, until the end, until `take` says false, or until `limit` is over.
    Result<void> stream(const std::string& target, const std::function<bool(std::string_view)>& take,
                        std::optional<std::chrono::seconds> limit = std::nullopt) const;

    const std::string& socket_path() const { return path_; }

  private:
    std::string path_;
};

// The Error in a JSON answer, or one made of the HTTP status when there is none.
Error api_error(int http_status, std::string_view body);

// A name or id as a part of a path.
std::string path_part(std::string_view text);

}  // namespace alcove::cli

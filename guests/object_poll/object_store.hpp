// SPDX-License-Identifier: Apache-2.0
//
// A bucket of an S3-like server, polled: what is in it, and one object, which is fetched anew only when it is
// another one (If-None-Match). Read without credentials.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "object_poll/http.hpp"

namespace alcove::object_poll {

// A fresh connection to the server, TLS and all.
using Connect = std::function<Result<std::unique_ptr<Stream>>()>;

struct Place {
    std::string authority;  // "storage.example:443", for the Host field
    std::string bucket;
    std::string key;
};

struct Seen {
    std::string etag;
    std::string body;
    std::vector<std::string> keys;  // of the bucket, the first thousand
    bool changed = false;           // by this poll
};

// One look: lists the bucket and asks for the object. What was seen stays when it fails.
Result<void> poll_once(const Connect& connect, const Place& place, Seen& seen);

// Opens a tunnel on a fresh connection to the host's egress (HTTP CONNECT).
Result<void> open_tunnel(Stream& stream, const std::string& authority);

// What stands between each <Key> and </Key> of a listing (ListObjectsV2), entities decoded; as many as
// `most`.
std::vector<std::string> keys_in(std::string_view listing, size_t most);

}  // namespace alcove::object_poll

// SPDX-License-Identifier: Apache-2.0
//
// The host that a command talks to: this machine's alcoved, or the embedded host, started when it is needed.
// Which one is decided here; behind this door the commands are the same for both.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "cli/api_client.hpp"
#include "cli/invocation.hpp"
#include "cli/output.hpp"
#include "embedded/embedded_host.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::cli {

// How an image is named in a launch request, and what has to be taken away afterwards.
struct HandedImage {
    Json reference;                 // {"token": ...} or {"disk": ..., "size": ...}
    std::function<void()> release;  // once the image has been copied; may be empty
};

class HostAccess {
  public:
    virtual ~HostAccess() = default;
    virtual std::string_view kind() const = 0;  // "local" or "embedded"
    virtual const ApiClient& api() const = 0;
    virtual Result<HandedImage> hand_over(const Fd& image) = 0;
    // A stream to a Unix socket of that host.
    virtual Result<Fd> open_socket(const std::string& path) = 0;
};

struct HostSelection {
    HostChoice choice = HostChoice::Auto;
    std::string local_socket;  // $ALCOVE_SOCKET, else /run/alcove/alcoved.sock
    bool socket_named = false;
    // Whether this machine's KVM can run an ordinary guest; empty: not asked, a daemon is answer enough.
    std::function<bool()> kvm_usable;
};

HostSelection select_from_environment(HostChoice choice);

// Auto: this machine when a daemon listens there (and its KVM is usable); the embedded host otherwise.
enum class Where { Local, Embedded };
struct Decision {
    Where where;
    std::string why;  // for people
};
Result<Decision> decide(const HostSelection& selection);

// Connects; starts the embedded host if it is needed and does not run, with progress.
Result<std::unique_ptr<HostAccess>> open_host(const HostSelection& selection, const Output& output);

std::unique_ptr<HostAccess> open_local_host(const std::string& socket_path);

// The embedded host of this user, not started.
Result<embedded::EmbeddedHost> open_embedded(std::optional<uint64_t> memory_mib = {});
// Until its alcoved serves and can start enclaves.
Result<void> start_embedded(embedded::EmbeddedHost& host, const Output& output);

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
//
// The host that a command talks to: this machine's alcoved, or the embedded host, started when it is needed.
// Which one is decided here; behind this door the commands are the same for both.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/api_client.hpp"
#include "cli/invocation.hpp"
#include "cli/output.hpp"
#include "embedded/embedded_host.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::cli {

// An image that was handed to the host for one launch. What the host got goes away with this object, so it
// lives until the image has been copied. Not longer than the HostAccess it came from.
class HandedImage {
  public:
    explicit HandedImage(Json reference, std::function<void()> take_away = nullptr)
        : reference_(std::move(reference)), take_away_(std::move(take_away)) {}
    HandedImage(HandedImage&& other) noexcept
        : reference_(std::move(other.reference_)), take_away_(std::exchange(other.take_away_, nullptr)) {}
    HandedImage& operator=(HandedImage&&) = delete;
    HandedImage(const HandedImage&) = delete;
    HandedImage& operator=(const HandedImage&) = delete;
    ~HandedImage() {
        if (take_away_) take_away_();
    }

    const Json& reference() const { return reference_; }  // {"token": ...} or {"disk": ..., "size": ...}
    // Whether it has to stay until it has been copied.
    bool is_needed() const { return take_away_ != nullptr; }

  private:
    Json reference_;
    std::function<void()> take_away_;
};

// A socket of the host at which programs connect to us.
class HostListener {
  public:
    virtual ~HostListener() = default;
    // Readable when accept() has something to do.
    virtual const Fd& fd() const = 0;
    // To be called until it gives nothing.
    virtual Result<std::optional<Fd>> accept() = 0;
    // False once nobody can connect any more, as when the VM of its folder has ended. Asked now and then.
    virtual bool is_in_place() const = 0;
};

enum class DiskUse { ReadOnly, ReadWrite };

// A stream of which the host has one end.
struct HandedStream {
    std::string token;
    Fd other_end;
};

class HostAccess {
  public:
    virtual ~HostAccess() = default;
    virtual std::string_view kind() const = 0;  // "local" or "embedded"
    virtual const ApiClient& api() const = 0;
    // Waits until the host can launch.
    virtual Result<HandedImage> hand_over(const Fd& image) = 0;
    // The same for a disk of a VM, open as the guest may use it, which stays for as long as the VM lives: the
    // reference as the API takes it. In the embedded host it is attached, and detached by detach_disks().
    virtual Result<Json> hand_over_disk(const Fd& disk, DiskUse use) = 0;
    // Those of VMs that are over, by the serials in their records. What cannot be detached is only logged.
    virtual void detach_disks(const std::vector<std::string>& serials) = 0;
    // A tap interface of that host, as a token for a launch.
    virtual Result<std::string> hand_over_tap(const std::string& name) = 0;
    virtual Result<HandedStream> hand_over_stream() = 0;
    // A stream to a Unix socket of that host.
    virtual Result<Fd> open_socket(const std::string& path) = 0;
    // AlreadyExists: a program listens there. Not longer than this object.
    virtual Result<std::unique_ptr<HostListener>> listen(const std::string& path) = 0;
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
// How far it has to be.
enum class Readiness {
    Answers,    // programs can be run inside
    Serves,     // so does its alcoved
    CanLaunch,  // and it can start enclaves
};
// Starts it if it does not run, with progress.
Result<void> start_embedded(embedded::EmbeddedHost& host, const Output& output, Readiness readiness);

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
#include "cli/host_access.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>

#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "api/descriptor_messages.hpp"
#include "cli/installation.hpp"
#include "cli/progress.hpp"
#include "cli/vm_access.hpp"
#include "codec/hex.hpp"
#include "crypto/random.hpp"
#include "embedded/handover.hpp"
#include "embedded/listening_socket.hpp"
#include "host/tap.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

constexpr const char* kDaemonSocket = "/run/alcove/alcoved.sock";  // also inside the embedded host
constexpr std::chrono::seconds kBootPatience{300};

std::string sibling(const std::string& path, const std::string& name) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? name : path.substr(0, slash + 1) + name;
}

// A socket in a folder of this machine.
class LocalListener final : public HostListener {
  public:
    explicit LocalListener(embedded::ListeningSocket socket) : socket_(std::move(socket)) {}
    const Fd& fd() const override { return socket_.fd(); }
    Result<std::optional<Fd>> accept() override { return socket_.accept(); }
    bool is_in_place() const override { return socket_.is_in_place(); }

  private:
    embedded::ListeningSocket socket_;
};

// One inside the embedded host (embedded/listen_endpoint.hpp): numbers come, connections are fetched.
class EmbeddedListener final : public HostListener {
  public:
    EmbeddedListener(embedded::EmbeddedHost& host, Fd numbers) : host_(host), numbers_(std::move(numbers)) {}
    const Fd& fd() const override { return numbers_; }
    Result<std::optional<Fd>> accept() override {
        const size_t end = text_.find('\n');
        if (end != std::string::npos) {
            const std::string number = text_.substr(0, end);
            text_.erase(0, end + 1);
            auto connection = host_.open_stream("accepted:" + number);
            if (connection) return std::optional<Fd>(std::move(*connection));
            // One is lost, the next ones need not be.
            log::warn("a connection was lost: {}", connection.error().to_string());
            return accept();
        }
        std::array<char, 512> piece{};
        const ssize_t count = ::recv(numbers_.get(), piece.data(), piece.size(), MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return std::optional<Fd>();
        if (count <= 0) {
            ended_ = true;
            return std::optional<Fd>();
        }
        text_.append(piece.data(), static_cast<size_t>(count));
        return accept();
    }
    bool is_in_place() const override { return !ended_; }

  private:
    embedded::EmbeddedHost& host_;
    Fd numbers_;
    std::string text_;  // lines, the last one perhaps not whole
    bool ended_ = false;
};

// alcoved serves before the broker is there; an enclave cannot be started until it is.
Result<void> wait_for_broker(const ApiClient& api) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (true) {
        const auto host = TRY(api.get("/v1/host"));
        const auto* broker = TRY(codec::json::object_field(host, "broker"));
        if (TRY(codec::json::boolean_field(*broker, "connected"))) return {};
        if (std::chrono::steady_clock::now() > deadline)
            return fail(ErrorCode::EmbeddedHostFailed, "alcove-broker does not start in the embedded host");
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
}

class LocalHost final : public HostAccess {
  public:
    explicit LocalHost(const std::string& socket_path) : api_(socket_path) {}
    std::string_view kind() const override { return "local"; }
    const ApiClient& api() const override { return api_; }
    Result<HandedImage> hand_over(const Fd& image) override {
        const auto token = TRY(offer(image).context("handing over the image"));
        return HandedImage(Json::object({{"token", token}}));
    }
    Result<Json> hand_over_disk(const Fd& disk, DiskUse use) override {
        const auto handed = TRY(hand_over(disk));
        Json reference = handed.reference();
        reference["read_only"] = use == DiskUse::ReadOnly;
        return reference;
    }
    void detach_disks(const std::vector<std::string>& /*serials*/) override {}
    Result<std::string> hand_over_tap(const std::string& name) override {
        const auto tap = TRY(host::open_tap(name));
        return offer(tap);
    }
    Result<HandedStream> hand_over_stream() override {
        auto ends = TRY(sys::socket_pair(SOCK_STREAM));
        auto token = TRY(offer(ends.second));
        return HandedStream{.token = std::move(token), .other_end = std::move(ends.first)};
    }
    Result<Fd> open_socket(const std::string& path) override { return sys::unix_connect(path, SOCK_STREAM); }
    Result<std::unique_ptr<HostListener>> listen(const std::string& path) override {
        auto socket = TRY(embedded::ListeningSocket::create(path));
        return std::unique_ptr<HostListener>(std::make_unique<LocalListener>(std::move(socket)));
    }

  private:
    Result<std::string> offer(const Fd& descriptor) {
        return api::descriptors::offer(sibling(api_.socket_path(), api::descriptors::kSocketName),
                                       descriptor);
    }

    ApiClient api_;
};

class EmbeddedAccess final : public HostAccess {
  public:
    explicit EmbeddedAccess(embedded::EmbeddedHost host)
        : host_(std::move(host)), api_(host_.socket_path("alcoved.sock")) {}
    std::string_view kind() const override { return "embedded"; }
    const ApiClient& api() const override { return api_; }
    Result<HandedImage> hand_over(const Fd& image) override {
        TRY(wait_for_broker(api_));
        const auto random = TRY(crypto::random_array<6>());
        const std::string serial = "img-" + codec::hex_encode(random);
        const auto attached = TRY(host_.attach_image(serial, image).context("attaching the image"));
        return HandedImage({{"disk", serial}, {"size", attached.size}}, [this, serial] {
            const auto detached = host_.detach_image(serial);
            // Nothing depends on it: it goes with the next stop of the host.
            if (!detached) log::warn("the image stays attached: {}", detached.error().to_string());
        });
    }
    Result<Json> hand_over_disk(const Fd& disk, DiskUse use) override {
        TRY(wait_for_broker(api_));
        const auto random = TRY(crypto::random_array<6>());
        const std::string serial = "vmd-" + codec::hex_encode(random);
        const bool read_only = use == DiskUse::ReadOnly;
        using Access = embedded::EmbeddedHost::DiskAccess;
        const auto attached = TRY(host_.attach(serial, disk, read_only ? Access::ReadOnly : Access::ReadWrite)
                                      .context("attaching a disk"));
        return Json({{"disk", serial}, {"size", attached.size}, {"read_only", read_only}});
    }
    void detach_disks(const std::vector<std::string>& serials) override {
        if (serials.empty()) return;
        const auto status = host_.status();
        for (const auto& serial : serials) {
            if (!status || std::ranges::find(status->images, serial) == status->images.end()) continue;
            const auto detached = host_.detach_image(serial);
            if (!detached) log::warn("a disk stays attached: {}", detached.error().to_string());
        }
    }
    Result<std::string> hand_over_tap(const std::string& name) override {
        const auto stream = TRY(host_.open_stream(embedded::tap_target(name)));
        return embedded::read_token(stream);
    }
    // The bridge carries the frames: what is plugged in here, outside, is the network of the VM inside.
    Result<HandedStream> hand_over_stream() override {
        auto stream = TRY(host_.open_stream(embedded::kStreamTarget));
        auto token = TRY(embedded::read_token(stream));
        return HandedStream{.token = std::move(token), .other_end = std::move(stream)};
    }
    Result<Fd> open_socket(const std::string& path) override { return host_.open_stream("unix:" + path); }
    Result<std::unique_ptr<HostListener>> listen(const std::string& path) override {
        auto numbers = TRY(host_.open_stream("listen:" + path));
        return std::unique_ptr<HostListener>(std::make_unique<EmbeddedListener>(host_, std::move(numbers)));
    }

  private:
    embedded::EmbeddedHost host_;
    ApiClient api_;
};

}  // namespace

HostSelection select_from_environment(HostChoice choice) {
    HostSelection selection{
        .choice = choice, .local_socket = kDaemonSocket, .socket_named = false, .kvm_usable = {}};
    const std::string named = environment("ALCOVE_SOCKET");
    if (!named.empty()) {
        selection.local_socket = named;
        selection.socket_named = true;
    }
    return selection;
}

Result<Decision> decide(const HostSelection& selection) {
    if (selection.choice == HostChoice::Local) return Decision{.where = Where::Local, .why = "--host local"};
    if (selection.choice == HostChoice::Embedded)
        return Decision{.where = Where::Embedded, .why = "--host embedded"};
    const auto socket = sys::unix_connect(selection.local_socket, SOCK_STREAM);
    if (!socket && selection.socket_named)
        return fail(ErrorCode::DaemonNotRunning, "ALCOVE_SOCKET: " + socket.error().to_string());
    // A daemon that is there and that this user may not ask is told, not gone around.
    if (!socket && socket.error().code() == ErrorCode::PermissionDenied)
        return fail(ErrorCode::PermissionDenied, socket.error().to_string());
    if (!socket) return Decision{.where = Where::Embedded, .why = "no alcoved on this machine"};
    if (!selection.socket_named && selection.kvm_usable && !selection.kvm_usable())
        return Decision{.where = Where::Embedded, .why = "this machine's KVM is not usable"};
    return Decision{.where = Where::Local, .why = "alcoved listens at " + selection.local_socket};
}

std::unique_ptr<HostAccess> open_local_host(const std::string& socket_path) {
    return std::make_unique<LocalHost>(socket_path);
}

Result<embedded::EmbeddedHost> open_embedded(std::optional<uint64_t> memory_mib) {
    embedded::HostConfig config;
    const std::string state = environment("ALCOVE_STATE_DIR");
    if (!state.empty()) config.folder = state + "/host";
    if (memory_mib) config.memory_mib = *memory_mib;
    // A host that runs already needs neither; starting one says what is missing.
    const auto root = find_host_root();
    if (root) {
        config.kernel = *root + "/kernel";
        config.initrd = *root + "/initrd";
    }
    return embedded::EmbeddedHost::open(std::move(config));
}

namespace {

// Whether ending the embedded host would end or disturb anything. A host that does not say so is left alone.
bool is_idle(embedded::EmbeddedHost& host) {
    const auto status = host.status();
    if (!status || !status->answering || !status->images.empty()) return false;
    const ApiClient api(host.socket_path("alcoved.sock"));
    for (const auto kind : {VmKind::Enclave, VmKind::Primary}) {
        const auto vms = list_vms(api, kind);
        if (!vms || !std::ranges::all_of(*vms, &VmView::is_over)) return false;
    }
    return true;
}

// After a rebuild the daemons of a host that still runs are the old ones.
Result<void> replace_outdated(embedded::EmbeddedHost& host, const Output& output) {
    const bool outdated = TRY(host.is_outdated());
    if (!outdated) return {};
    if (!is_idle(host)) {
        output.note(
            "the embedded host runs another build than this one; `alcove host stop`, which ends its VMs, "
            "makes way for the new one");
        return {};
    }
    const Progress progress(output, "stopping the embedded host of another build");
    const bool stopped = TRY(host.stop_if_outdated());
    if (stopped) output.note("the embedded host ran another build; it is started anew");
    return {};
}

}  // namespace

Result<void> start_embedded(embedded::EmbeddedHost& host, const Output& output, Readiness readiness) {
    TRY(replace_outdated(host, output));
    Progress progress(output, "starting the embedded host");
    const bool runs = TRY(host.runs());
    if (!runs) {
        TRY(find_host_root());
        TRY(host.start());
    }
    TRY(host.wait_ready(
        kBootPatience,
        [&progress](const std::string& what, std::chrono::milliseconds) { progress.update(what); },
        readiness == Readiness::Answers ? "status" : std::string("unix:") + kDaemonSocket));
    if (readiness != Readiness::CanLaunch) return {};
    progress.update("waiting for the broker of the embedded host");
    return wait_for_broker(ApiClient(host.socket_path("alcoved.sock")));
}

Result<std::unique_ptr<HostAccess>> open_host(const HostSelection& selection, const Output& output) {
    const auto decision = TRY(decide(selection));
    if (decision.where == Where::Local) return open_local_host(selection.local_socket);
    auto host = TRY(open_embedded());
    TRY(start_embedded(host, output, Readiness::Serves));
    return std::unique_ptr<HostAccess>(std::make_unique<EmbeddedAccess>(std::move(host)));
}

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
#include "cli/host_access.hpp"

#include <thread>

#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "cli/installation.hpp"
#include "cli/progress.hpp"
#include "codec/hex.hpp"
#include "crypto/random.hpp"
#include "daemon/descriptor_messages.hpp"
#include "support/channel.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

constexpr const char* kDaemonSocket = "/run/alcove/alcoved.sock";  // also inside the embedded host
constexpr std::chrono::seconds kBootPatience{300};

std::string sibling(const std::string& path, const std::string& name) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? name : path.substr(0, slash + 1) + name;
}

Result<std::string> offer_descriptor(const std::string& socket_path, const Fd& file) {
    namespace descriptors = daemon::descriptors;
    auto socket = TRY(sys::unix_connect(socket_path, SOCK_SEQPACKET));
    const Channel channel(std::move(socket));
    TRY(api::exchange_hello(channel, descriptors::kProtocol, descriptors::kVersions));
    TRY(channel.send(api::encode(descriptors::Offer{.request = 1, .reserved = {}}), {file.get()}));
    const auto answer = TRY(channel.receive_within(std::chrono::seconds(10)));
    const auto envelope = TRY(api::open_envelope(answer.data));
    if (envelope.type == api::Failed::kType) {
        auto failed = TRY(api::decode_failed(envelope));
        return Failure{std::move(failed.error)};
    }
    const auto token = TRY(api::decode<descriptors::Token>(envelope));
    const auto text = token.token.text();
    if (!text) return fail(ErrorCode::InvalidMessage, "alcoved gave no token");
    return std::string(*text);
}

class LocalHost final : public HostAccess {
  public:
    explicit LocalHost(const std::string& socket_path) : api_(socket_path) {}
    std::string_view kind() const override { return "local"; }
    const ApiClient& api() const override { return api_; }
    Result<HandedImage> hand_over(const Fd& image) override {
        const auto token =
            TRY(offer_descriptor(sibling(api_.socket_path(), daemon::descriptors::kSocketName), image)
                    .context("handing over the image"));
        return HandedImage{.reference = {{"token", token}}, .release = {}};
    }
    Result<Fd> open_socket(const std::string& path) override { return sys::unix_connect(path, SOCK_STREAM); }

  private:
    ApiClient api_;
};

class EmbeddedAccess final : public HostAccess {
  public:
    explicit EmbeddedAccess(embedded::EmbeddedHost host)
        : host_(std::move(host)), api_(host_.socket_path("alcoved.sock")) {}
    std::string_view kind() const override { return "embedded"; }
    const ApiClient& api() const override { return api_; }
    Result<HandedImage> hand_over(const Fd& image) override {
        const auto random = TRY(crypto::random_array<6>());
        const std::string serial = "img-" + codec::hex_encode(random);
        const auto attached = TRY(host_.attach_image(serial, image).context("attaching the image"));
        HandedImage handed{.reference = {{"disk", serial}, {"size", attached.size}}, .release = {}};
        // A disk that stays is gone with the next stop of the host; nothing depends on it.
        handed.release = [this, serial] { static_cast<void>(host_.detach_image(serial).has_value()); };
        return handed;
    }
    Result<Fd> open_socket(const std::string& path) override { return host_.open_stream("unix:" + path); }

  private:
    embedded::EmbeddedHost host_;
    ApiClient api_;
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

Result<void> start_embedded(embedded::EmbeddedHost& host, const Output& output) {
    const auto status = TRY(host.status());
    Progress progress(output, "starting the embedded host");
    if (!status.running) {
        TRY(find_host_root());
        TRY(host.start());
    }
    TRY(host.wait_ready(
        kBootPatience,
        [&progress](const std::string& what, std::chrono::milliseconds) { progress.update(what); },
        std::string("unix:") + kDaemonSocket));
    progress.update("waiting for the broker of the embedded host");
    return wait_for_broker(ApiClient(host.socket_path("alcoved.sock")));
}

Result<std::unique_ptr<HostAccess>> open_host(const HostSelection& selection, const Output& output) {
    const auto decision = TRY(decide(selection));
    if (decision.where == Where::Local) return open_local_host(selection.local_socket);
    auto host = TRY(open_embedded());
    TRY(start_embedded(host, output));
    return std::unique_ptr<HostAccess>(std::make_unique<EmbeddedAccess>(std::move(host)));
}

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
#include "daemon/api_routes.hpp"

#include <algorithm>
#include <charconv>
#include <thread>

#include <time.h>

#include <nlohmann/json.hpp>

#include "api/console_ring.hpp"
#include "daemon/api_json.hpp"
#include "daemon/attestor_client.hpp"
#include "daemon/loop_call.hpp"
#include "daemon/sgx_order.hpp"
#include "support/bits.hpp"
#include "support/error_catalog.hpp"
#include "support/system.hpp"

namespace alcove::daemon {

namespace {

constexpr uint64_t kEventsAtOnce = 500;
constexpr std::chrono::milliseconds kConsolePoll{100};

HttpResponse json_response(const codec::json::Json& json, int status = 200) {
    return {
        .status = status, .content_type = "application/json", .body = codec::json::dump(json), .stream = {}};
}

Result<uint64_t> query_number(const HttpRequest& request, const std::string& name, uint64_t otherwise,
                              uint64_t highest) {
    const auto found = request.query.find(name);
    if (found == request.query.end()) return otherwise;
    const auto& text = found->second;
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value > highest)
        return fail(ErrorCode::InvalidArgument,
                    "'" + name + "' is a number up to " + std::to_string(highest));
    return value;
}

std::vector<std::string> split_path(const std::string& path) {
    std::vector<std::string> parts;
    size_t begin = 1;
    while (begin <= path.size() && path.starts_with("/")) {
        const size_t end = std::min(path.find('/', begin), path.size());
        parts.push_back(path.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

uint64_t monotonic_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Who may only look changes nothing, and has no business with a VM's ports.
bool may_ask(const HttpRequest& request, Access access) {
    if (access == Access::Control) return true;
    const auto path = split_path(request.path);
    return request.method == "GET" && (path.size() != 4 || path[3] != "sockets");
}

// Gives its place back when the last copy of a stream ends.
class Seat {
  public:
    explicit Seat(std::shared_ptr<std::atomic<size_t>> taken) : taken_(std::move(taken)) {}
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    ~Seat() { --*taken_; }

  private:
    std::shared_ptr<std::atomic<size_t>> taken_;
};

std::string piece_text(api::ConsoleRingReader::Piece piece) {
    std::string text;
    if (piece.skipped > 0)
        text = "\n[" + std::to_string(piece.skipped) + " bytes of console output were lost]\n";
    text += as_text(piece.data);
    return text;
}

}  // namespace

Api::Api(Parts parts, Config config)
    : parts_(parts), config_(std::move(config)), console_readers_(std::make_shared<std::atomic<size_t>>(0)) {}

HttpResponse Api::handle(const HttpRequest& request, Access access) {
    Result<HttpResponse> response =
        may_ask(request, access)
            ? route(request)
            : fail(ErrorCode::PermissionDenied, "this socket is for looking only; this goes to alcoved.sock");
    if (response) return std::move(*response);
    return json_response(error_json(response.error()), http_status(response.error().code()));
}

std::string Api::error_body(int http_status) {
    ErrorCode code = ErrorCode::InvalidArgument;
    std::string message = "the request is not understood";
    if (http_status == 404) code = ErrorCode::NotFound, message = "there is nothing at this path";
    if (http_status == 405)
        code = ErrorCode::Unsupported, message = "only GET, POST and DELETE are known here";
    if (http_status == 413) code = ErrorCode::LimitExceeded, message = "the request's body is too large";
    if (http_status == 414) code = ErrorCode::LimitExceeded, message = "the request's path is too long";
    if (http_status == 415) message = "a body is plain JSON, with Content-Type: application/json";
    if (http_status >= 500) code = ErrorCode::Internal, message = "the daemon failed to answer";
    return codec::json::dump(error_json(Error(code, message)));
}

Result<HttpResponse> Api::route(const HttpRequest& request) {
    const auto path = split_path(request.path);
    const bool get = request.method == "GET";
    const auto nothing = [&] {
        return fail(ErrorCode::NotFound, "there is nothing at " + request.method + " " + request.path);
    };
    if (path.size() < 2 || path[0] != "v1") return nothing();
    if (path[1] == "enclaves") return route_vms(request, api::VmRole::Enclave);
    if (path[1] == "vms") return route_vms(request, api::VmRole::Primary);
    if (path.size() == 2 && path[1] == "host" && get) return get_host();
    if (path.size() == 3 && path[1] == "attestation" && path[2] == "root" && get) return get_root();
    if (path.size() == 2 && path[1] == "attestation" && get) return get_attestation();
    if (path.size() == 2 && path[1] == "version" && get) return get_version();
    if (path.size() == 2 && path[1] == "events" && get) return get_events(request);
    return nothing();
}

Result<HttpResponse> Api::route_vms(const HttpRequest& request, api::VmRole role) {
    const auto path = split_path(request.path);
    if (path.size() == 2 && request.method == "POST") return create(request, role);
    if (path.size() == 2 && request.method == "GET") return list(role);
    if (path.size() == 3 || path.size() == 4) {
        const auto record = TRY(find(path[2], role));
        return route_vm(request, record, path.size() == 4 ? path[3] : "");
    }
    return fail(ErrorCode::NotFound, "there is nothing at " + request.method + " " + request.path);
}

Result<HttpResponse> Api::route_vm(const HttpRequest& request, const VmRecord& record,
                                   const std::string& verb) {
    const bool is_get = request.method == "GET";
    if (is_get && verb.empty()) return get(request, record);
    if (is_get && verb == "inspect") return inspect(record);
    if (is_get && verb == "sockets") return get_sockets(record);
    if (is_get && verb == "console") return follow_console(record);
    if (is_get && verb == "logs") return read_logs(record);
    if (record.is_primary() && is_get && verb == "sgx") return sgx(record, api::vmm::SgxAction::Report);
    if (record.is_primary() && request.method == "POST" && verb == "drop-epc")
        return sgx(record, api::vmm::SgxAction::Drop);
    if (record.is_primary() && request.method == "POST" && verb == "sgx") return set_sgx(request, record);
    if (request.method == "POST" && verb == "stop") return stop(request, record);
    if (request.method == "POST" && verb == "policy" && record.is_primary())
        return set_policy(request, record);
    if (request.method == "DELETE" && verb.empty()) return remove(record);
    return fail(ErrorCode::NotFound, "there is nothing at " + request.method + " " + request.path);
}

Result<VmRecord> Api::find(const std::string& id_or_name, api::VmRole role) {
    return ask<VmRecord>(parts_.loop, config_.patience,
                         [supervisor = &parts_.supervisor, id_or_name, role](auto answer) {
                             answer(supervisor->find(id_or_name, role));
                         });
}

Result<Fd> Api::take_token(const HttpRequest& request, const std::string& token) {
    return ask<Fd>(parts_.loop, config_.patience,
                   [tokens = &parts_.tokens, token, user = request.user](auto answer) {
                       answer(tokens->take(token, user, std::chrono::steady_clock::now()));
                   });
}

Result<ImageSource> Api::open_image(const HttpRequest& request, const FileReference& image) {
    if (!image.disk.empty() && !config_.embedded)
        return fail(ErrorCode::PermissionDenied, "images are named by disk in the embedded host only");
    if (!image.disk.empty()) return image_from_disk(image.disk, image.bytes);
    auto descriptor = TRY(take_token(request, image.token));
    return image_from_descriptor(std::move(descriptor));
}

Result<LaunchDisk> Api::open_disk(const HttpRequest& request, const FileReference& disk) {
    if (!disk.disk.empty() && !config_.embedded)
        return fail(ErrorCode::PermissionDenied, "disks are named in the embedded host only");
    const auto use = disk.read_only ? FileUse::ReadOnly : FileUse::ReadWrite;
    ImageSource source;
    if (!disk.disk.empty()) {
        source = TRY(disk_from_attached(disk.disk, disk.bytes, use));
    } else {
        auto descriptor = TRY(take_token(request, disk.token));
        source = TRY(disk_from_descriptor(std::move(descriptor), use));
    }
    return LaunchDisk{.file = std::move(source.descriptor),
                      .record = {.bytes = source.bytes, .read_only = disk.read_only, .serial = disk.disk}};
}

// Nothing where EPC has no budget. Here and not in the loop's thread: a disk may take its time.
Result<Fd> Api::make_spill_file(const LaunchRequest& launch) const {
    if (!launch.sgx || !launch.sgx->has_budget()) return Fd();
    TRY(check_sgx(*launch.sgx, launch.memory_bytes));
    return config_.make_spill_file(launch.sgx->size_mib() * 1_MiB);
}

Result<HttpResponse> Api::create(const HttpRequest& request, api::VmRole role) {
    const uint64_t requested_ns = monotonic_ns();
    const auto body = TRY(parse_launch_body(request.body, role));
    auto image = TRY(open_image(request, body.image));
    LaunchRequest launch;
    launch.role = role;
    for (const auto& reference : body.disks) {
        auto disk = TRY(open_disk(request, reference));
        launch.disks.push_back(std::move(disk));
    }
    for (const auto& reference : body.networks) {
        auto link = TRY(take_token(request, reference.token));
        TRY(api::check_network(link, reference.kind));
        launch.networks.push_back({.link = std::move(link), .kind = reference.kind, .mac = reference.mac});
    }
    for (const auto& enclave : body.provisioned) {
        auto source = TRY(open_image(request, enclave.image));
        LaunchRequest one;
        one.name = enclave.name;
        one.image = std::move(source.descriptor);
        one.image_bytes = source.bytes;
        one.vcpus = enclave.vcpus;
        one.memory_bytes = enclave.memory_mib * 1_MiB;
        one.policy = enclave.policy;
        one.debug = enclave.debug;
        one.cid = enclave.cid;
        launch.provisioned.push_back(std::move(one));
    }
    launch.name = body.name;
    launch.image = std::move(image.descriptor);
    launch.image_bytes = image.bytes;
    launch.vcpus = body.vcpus;
    for (const uint32_t cpu : body.cpus)
        launch.cpus.push_back({cpu});
    launch.memory_bytes = body.memory_mib * 1_MiB;
    launch.pages = body.pages;
    launch.policy = body.policy;
    launch.debug = body.debug;
    launch.enclaves = body.enclaves;
    launch.enclave_policy = body.enclave_policy;
    launch.sgx = body.sgx;
    launch.cid = body.cid;
    launch.requested_ns = requested_ns;
    launch.spill = TRY(make_spill_file(launch));
    const auto record =
        TRY(ask<VmRecord>(parts_.loop, config_.patience,
                          [supervisor = &parts_.supervisor, launch = std::move(launch)](auto answer) mutable {
                              answer(supervisor->launch(std::move(launch)));
                          }));
    return json_response(to_json(record), 201);
}

Result<HttpResponse> Api::list(api::VmRole role) {
    const auto records = TRY(ask<std::vector<VmRecord>>(
        parts_.loop, config_.patience,
        [supervisor = &parts_.supervisor](auto answer) { answer(supervisor->list()); }));
    Json list = Json::array();
    for (const auto& record : records)
        if (record.role == role) list.push_back(to_json(record));
    return json_response({{role == api::VmRole::Primary ? "vms" : "enclaves", std::move(list)}});
}

Result<HttpResponse> Api::get(const HttpRequest& request, const VmRecord& first) {
    const auto wait = request.query.find("wait");
    if (wait == request.query.end()) return json_response(to_json(first));
    const bool for_running = wait->second == "running";
    // A primary VM tells nobody that it is ready.
    const bool for_ready = wait->second == "ready" && !first.is_primary();
    if (!for_running && !for_ready && wait->second != "stopped") {
        const std::string ready = first.is_primary() ? "" : ", \"ready\"";
        return fail(ErrorCode::InvalidArgument, "'wait' is \"running\"" + ready + " or \"stopped\"");
    }
    const auto longest = static_cast<uint64_t>(config_.longest_wait.count());
    const uint64_t seconds = TRY(query_number(request, "timeout", 30, longest));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    // A name may go on to another VM meanwhile: what was found first is what is waited for.
    while (true) {
        const uint64_t seen = parts_.changes.count();
        const auto record = TRY(find(first.id, first.role));
        const bool reached = is_over(record.state) || (for_running && record.state == VmState::Running) ||
                             (for_ready && record.ready);
        if (reached || !parts_.changes.wait_beyond(seen, deadline)) return json_response(to_json(record));
    }
}

Result<HttpResponse> Api::inspect(const VmRecord& asked) {
    auto inspection = TRY(ask<Inspection>(
        parts_.loop, config_.patience,
        [supervisor = &parts_.supervisor, id = asked.id, role = asked.role](auto answer) {
            auto record = supervisor->find(id, role);
            if (!record) return answer(Failure{std::move(record).error()});
            Inspection found{.record = std::move(*record),
                             .grant = {},
                             .directory = {},
                             .counters = {},
                             .counters_missing = {},
                             .enclaves = {},
                             .sgx = {}};
            for (auto& one : supervisor->list())
                if (one.parent == found.record.id && !is_over(one.state))
                    found.enclaves.push_back(std::move(one));
            found.grant = supervisor->grant(found.record.id);
            found.directory = supervisor->vm_directory(found.record.id);
            const auto add_sgx = [supervisor, answer](Inspection full) {
                if (!full.record.sgx) return answer(std::move(full));
                const std::string vm = full.record.id;
                supervisor->sgx(vm, api::vmm::SgxAction::Report,
                                [full = std::move(full), answer](Result<api::vmm::SgxState> state) {
                                    Inspection all = full;
                                    all.sgx = sgx_view(*all.record.sgx, std::move(state));
                                    answer(std::move(all));
                                });
            };
            supervisor->counters(found.record.id, [found, add_sgx](Result<Supervisor::Counters> counters) {
                Inspection full = found;
                if (counters) {
                    full.counters = std::move(*counters);
                } else {
                    full.counters_missing = counters.error().to_string();
                }
                add_sgx(std::move(full));
            });
        }));
    return json_response(to_json(inspection));
}

// What was asked for stands in the answer whether the VM runs or not; to do something it has to.
Result<HttpResponse> Api::sgx(const VmRecord& record, api::vmm::SgxAction action) {
    if (!record.sgx)
        return fail(ErrorCode::InvalidArgument, record.id + " has no SGX: give it EPC when it is started");
    auto state =
        ask<api::vmm::SgxState>(parts_.loop, config_.patience,
                                [supervisor = &parts_.supervisor, id = record.id, action](auto answer) {
                                    supervisor->sgx(id, action, std::move(answer));
                                });
    if (!state && action != api::vmm::SgxAction::Report) return Failure{std::move(state).error()};
    return json_response(to_json(sgx_view(*record.sgx, std::move(state))));
}

Result<HttpResponse> Api::set_sgx(const HttpRequest& request, const VmRecord& record) {
    const auto change = TRY(parse_sgx_change(request.body));
    const auto view =
        TRY(ask<SgxView>(parts_.loop, config_.patience,
                         [supervisor = &parts_.supervisor, id = record.id, change](auto answer) {
                             const auto changed = [supervisor, id, answer](Result<api::vmm::SgxState> state) {
                                 if (!state) return answer(Failure{std::move(state).error()});
                                 const auto now = supervisor->find(id, api::VmRole::Primary);
                                 if (!now) return answer(Failure{now.error()});
                                 answer(sgx_view(*now->sgx, std::move(state)));
                             };
                             if (change.budget_mib)
                                 return supervisor->set_epc_budget(id, *change.budget_mib, changed);
                             supervisor->set_epc_balloon(id, *change.balloon_mib, changed);
                         }));
    return json_response(to_json(view));
}

Result<HttpResponse> Api::get_sockets(const VmRecord& record) {
    if (is_over(record.state)) return fail(ErrorCode::EnclaveNotReady, record.id + " has ended");
    auto directory = TRY(ask<std::string>(parts_.loop, config_.patience,
                                          [supervisor = &parts_.supervisor, vm = record.id](auto answer) {
                                              answer(supervisor->vm_directory(vm));
                                          }));
    Json json = sockets_json(directory);
    json["id"] = record.id;
    return json_response(json);
}

Result<HttpResponse> Api::set_policy(const HttpRequest& request, const VmRecord& asked) {
    const auto policy = TRY(parse_policy_body(request.body));
    const auto record = TRY(ask<VmRecord>(
        parts_.loop, config_.patience, [supervisor = &parts_.supervisor, id = asked.id, policy](auto answer) {
            answer(supervisor->set_enclave_policy(id, policy));
        }));
    return json_response(to_json(record));
}

Result<HttpResponse> Api::stop(const HttpRequest& request, const VmRecord& asked) {
    std::chrono::milliseconds force_after{5000};
    if (!request.body.empty()) {
        const auto body = TRY(codec::json::parse(request.body, {.bytes = 4096, .depth = 2}));
        const auto value = TRY(codec::json::optional_unsigned_field(body, "force_after_ms"));
        if (value && *value > 60'000)
            return fail(ErrorCode::InvalidArgument, "'force_after_ms' is at most 60000");
        if (value) force_after = std::chrono::milliseconds(*value);
    }
    const auto record = TRY(ask<VmRecord>(parts_.loop, config_.patience,
                                          [supervisor = &parts_.supervisor, id = asked.id, force_after](
                                              auto answer) { answer(supervisor->stop(id, force_after)); }));
    return json_response(to_json(record), is_over(record.state) ? 200 : 202);
}

Result<HttpResponse> Api::remove(const VmRecord& asked) {
    const auto record = TRY(ask<VmRecord>(
        parts_.loop, config_.patience,
        [supervisor = &parts_.supervisor, id = asked.id](auto answer) { answer(supervisor->remove(id)); }));
    return json_response(to_json(record), is_over(record.state) ? 200 : 202);
}

Result<Fd> Api::console_ring(const std::string& id) {
    return ask<Fd>(parts_.loop, config_.patience,
                   [supervisor = &parts_.supervisor, id](auto answer) { supervisor->console(id, answer); });
}

Result<HttpResponse> Api::follow_console(const VmRecord& record) {
    auto ring = TRY(console_ring(record.id));
    auto reader = TRY(api::ConsoleRingReader::open(ring));
    if (++*console_readers_ > config_.console_readers) {
        --*console_readers_;
        return fail(ErrorCode::LimitExceeded,
                    "at most " + std::to_string(config_.console_readers) + " consoles are read at a time");
    }
    const auto seat = std::make_shared<Seat>(console_readers_);
    const auto shared = std::make_shared<api::ConsoleRingReader>(std::move(reader));
    HttpResponse response{
        .status = 200, .content_type = "application/octet-stream", .body = {}, .stream = {}};
    response.stream = [this, seat, shared, id = record.id,
                       role = record.role]() -> std::optional<std::string> {
        // The end is looked for before the last read, so that nothing is lost between the two.
        const auto now = find(id, role);
        const bool over = !now || is_over(now->state) || parts_.changes.is_over();
        auto text = piece_text(shared->read());
        if (!text.empty()) return text;
        if (over) return std::nullopt;
        std::this_thread::sleep_for(kConsolePoll);
        return text;
    };
    return response;
}

Result<HttpResponse> Api::read_logs(const VmRecord& record) {
    const auto ring = TRY(console_ring(record.id));
    auto reader = TRY(api::ConsoleRingReader::open(ring));
    return HttpResponse{.status = 200,
                        .content_type = "application/octet-stream",
                        .body = piece_text(reader.read()),
                        .stream = {}};
}

Result<HttpResponse> Api::get_host() {
    HostView view;
    view.topology = TRY(host::read_topology());
    view.memory = TRY(host::read_host_memory());
    auto weaknesses = host::read_vulnerabilities();
    if (weaknesses) view.vulnerabilities = std::move(*weaknesses);
    view.sgx = host::read_sgx(view.topology.nodes);
    view.core_scheduling = host::probe_core_scheduling();
    view.shared_policy_safe = parts_.ledger.capacity().shared_policy_safe;
    view.account = parts_.ledger.account();
    view.broker_trouble =
        TRY(ask<std::string>(parts_.loop, config_.patience, [supervisor = &parts_.supervisor](auto answer) {
            answer(supervisor->broker_trouble());
        }));
    return json_response(to_json(view));
}

Result<HttpResponse> Api::get_root() {
    const auto root = TRY(ask_for_root(config_.attestor_socket));
    return HttpResponse{
        .status = 200, .content_type = "application/x-pem-file", .body = root.pem, .stream = {}};
}

Result<HttpResponse> Api::get_attestation() {
    const auto status = TRY(ask_for_status(config_.attestor_socket));
    return json_response(to_json(status));
}

Result<HttpResponse> Api::get_version() {
    return json_response({{"version", ALCOVE_VERSION},
                          {"api", 1},
                          {"instance_id", config_.instance_id},
                          {"embedded", config_.embedded}});
}

Result<HttpResponse> Api::get_events(const HttpRequest& request) {
    const uint64_t since = TRY(query_number(request, "since", 0, INT64_MAX));
    const uint64_t limit = TRY(query_number(request, "limit", kEventsAtOnce, kEventsAtOnce));
    const auto events = TRY(ask<std::vector<Event>>(
        parts_.loop, config_.patience,
        [store = &parts_.store, since, limit](auto answer) { answer(store->events(since, limit)); }));
    Json list = Json::array();
    for (const auto& event : events)
        list.push_back(to_json(event));
    return json_response({{"events", std::move(list)}});
}

}  // namespace alcove::daemon

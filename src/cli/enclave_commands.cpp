// SPDX-License-Identifier: Apache-2.0
//
// alcove enclave ...
#include <algorithm>

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/enclave_view.hpp"
#include "cli/progress.hpp"
#include "cli/relay.hpp"
#include "cli/tree.hpp"
#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kLeastMemoryMib = 256;
constexpr std::chrono::seconds kPoll{2};

std::string enclave_path(const std::string& enclave) {
    return "/v1/enclaves/" + path_part(enclave);
}

// Four times the image is what AWS's tool asks for: the image itself, what its ramdisks unpack to, and room.
uint64_t default_memory_mib(uint64_t image_bytes) {
    const uint64_t mib = align_up<uint64_t>(image_bytes / 1_MiB * 4 + 4, 2);
    return std::max(mib, kLeastMemoryMib);
}

// Calls back with each answer until it says that it is enough.
template <typename Enough>
Result<Json> follow(const ApiClient& api, const std::string& id, const std::string& wait,
                    Clock::time_point deadline, Enough enough) {
    while (true) {
        const auto left = std::chrono::ceil<std::chrono::seconds>(deadline - Clock::now());
        const auto seconds = std::clamp(left, std::chrono::seconds(0), kPoll);
        auto json =
            TRY(api.get(enclave_path(id) + "?wait=" + wait + "&timeout=" + std::to_string(seconds.count())));
        const auto view = TRY(read_enclave(json));
        if (enough(view) || Clock::now() >= deadline) return json;
    }
}

struct Launched {
    Json json;
    EnclaveView view;
};

Result<Launched> launch(const EnclaveRun& command, HostAccess& host, Progress& progress) {
    const auto image = TRY(sys::open(command.image, O_RDONLY));
    const uint64_t bytes = TRY(sys::file_size(image).context(command.image));
    auto handed = TRY(host.hand_over(image));
    Json body = {{"image", handed.reference},
                 {"vcpus", command.vcpus},
                 {"memory_mib", command.memory_mib.value_or(default_memory_mib(bytes))},
                 {"pages", command.pages},
                 {"policy", command.policy},
                 {"debug", command.debug}};
    if (!command.name.empty()) body["name"] = command.name;
    if (command.cid) body["cid"] = *command.cid;
    const auto release = [&] {
        if (handed.release) handed.release();
    };
    const auto created = host.api().post("/v1/enclaves", body);
    if (!created) {
        release();
        return Failure{created.error()};
    }
    const auto first = TRY(read_enclave(*created));
    // An image that has to be taken away is needed until it has been copied, whether anybody waits or not.
    const bool must_wait = command.wait || handed.release;
    if (!must_wait) return Launched{.json = *created, .view = first};
    const auto deadline = Clock::now() + command.timeout;
    auto json = follow(host.api(), first.id, "ready", deadline, [&](const EnclaveView& view) {
        progress.update(progress_text(view));
        const bool copied = view.state != "reserving" && view.state != "measuring";
        return view.is_over() || view.ready || (!command.wait && copied);
    });
    release();
    if (!json) return Failure{std::move(json).error()};
    auto view = TRY(read_enclave(*json));
    return Launched{.json = std::move(*json), .view = std::move(view)};
}

Result<void> stop_one(const EnclaveStop& command, const std::string& enclave, const ApiClient& api,
                      Json& results) {
    auto json = TRY(api.post(enclave_path(enclave) + "/stop", {{"force_after_ms", command.force_after_ms}}));
    const auto view = TRY(read_enclave(json));
    if (command.wait && !view.is_over()) {
        const auto deadline =
            Clock::now() + std::chrono::milliseconds(command.force_after_ms) + std::chrono::seconds(30);
        json = TRY(
            follow(api, view.id, "stopped", deadline, [](const EnclaveView& now) { return now.is_over(); }));
        const auto after = TRY(read_enclave(json));
        if (!after.is_over()) return fail(ErrorCode::Timeout, view.id + " is still " + after.state);
    }
    results.push_back(std::move(json));
    return {};
}

Result<std::vector<EnclaveView>> list_all(const ApiClient& api) {
    const auto json = TRY(api.get("/v1/enclaves"));
    const auto* array = TRY(codec::json::array_field(json, "enclaves"));
    std::vector<EnclaveView> enclaves;
    for (const auto& item : *array) {
        auto view = TRY(read_enclave(item));
        enclaves.push_back(std::move(view));
    }
    return enclaves;
}

// A guest's bytes for whoever reads standard output.
std::string console_text(const Output& output, bool raw, std::string_view bytes) {
    return output.streams().out_is_terminal && !raw ? for_terminal(bytes) : std::string(bytes);
}

}  // namespace

Result<Exit> run(const EnclaveRun& command, const Context& context) {
    auto host = TRY(context.open_host());
    std::optional<Launched> launched;
    {
        Progress progress(context.output, "starting the enclave");
        launched = TRY(launch(command, *host, progress));
    }
    const auto& view = launched->view;
    if (view.is_over()) {
        context.output.error(ending_error(view));
        return Exit::EnclaveEnded;
    }
    Json json = launched->json;
    json["host"] = std::string(host->kind());
    context.output.result(json, render_enclave(view));
    if (!command.wait || view.ready) return Exit::Ok;
    context.output.note("no heartbeat after " + elapsed_text(command.timeout) + "; the enclave runs on");
    return Exit::TimedOut;
}

Result<Exit> run(const EnclaveList&, const Context& context) {
    auto host = TRY(context.open_host());
    if (context.output.json()) {
        const auto json = TRY(host->api().get("/v1/enclaves"));
        context.output.object(json);
        return Exit::Ok;
    }
    const auto enclaves = TRY(list_all(host->api()));
    context.output.text(render_list(enclaves));
    return Exit::Ok;
}

Result<Exit> run(const EnclaveInspect& command, const Context& context) {
    auto host = TRY(context.open_host());
    const auto tree = TRY(host->api().get(enclave_path(command.enclave) + "/inspect"));
    const auto* part = TRY(find_part(tree, command.path));
    context.output.result(*part, render_tree(*part));
    return Exit::Ok;
}

Result<Exit> run(const EnclaveConsole& command, const Context& context) {
    auto host = TRY(context.open_host());
    TRY(host->api().stream(enclave_path(command.enclave) + "/console", [&](std::string_view piece) {
        context.output.text(console_text(context.output, command.raw, piece));
        return true;
    }));
    return Exit::Ok;
}

Result<Exit> run(const EnclaveLogs& command, const Context& context) {
    auto host = TRY(context.open_host());
    const auto text = TRY(host->api().get_text(enclave_path(command.enclave) + "/logs"));
    context.output.result({{"console", text}}, console_text(context.output, command.raw, text));
    return Exit::Ok;
}

Result<Exit> run(const EnclaveStop& command, const Context& context) {
    if (command.all != command.enclaves.empty())
        return fail(ErrorCode::InvalidArgument, "name the enclaves to stop, or say --all");
    auto host = TRY(context.open_host());
    std::vector<std::string> enclaves = command.enclaves;
    if (command.all) {
        const auto all = TRY(list_all(host->api()));
        for (const auto& view : all)
            if (!view.is_over()) enclaves.push_back(view.id);
    }
    Json results = Json::array();
    {
        Progress progress(context.output, "stopping");
        for (const auto& enclave : enclaves) {
            progress.update("stopping " + enclave);
            TRY(stop_one(command, enclave, host->api(), results));
        }
    }
    std::string text;
    for (const auto& result : results) {
        const auto view = TRY(read_enclave(result));
        text += view.id + "  " + state_text(view) + "\n";
    }
    context.output.result({{"enclaves", results}}, text);
    return Exit::Ok;
}

Result<Exit> run(const EnclaveRemove& command, const Context& context) {
    auto host = TRY(context.open_host());
    const auto json = TRY(host->api().remove(enclave_path(command.enclave)));
    const auto view = TRY(read_enclave(json));
    context.output.result(json, view.id + "  removed\n");
    return Exit::Ok;
}

Result<Exit> run(const EnclaveConnect& command, const Context& context) {
    auto host = TRY(context.open_host());
    const auto tree = TRY(host->api().get(enclave_path(command.enclave) + "/inspect"));
    const auto* sockets = TRY(codec::json::optional_object_field(tree, "sockets"));
    if (sockets == nullptr) return fail(ErrorCode::EnclaveNotReady, "the enclave does not run");
    const auto path = TRY(codec::json::text_field(*sockets, "connect"));
    auto stream = TRY(host->open_socket(path));
    TRY(connect_port(stream, command.port));
    TRY(relay(stream, STDIN_FILENO, STDOUT_FILENO));
    return Exit::Ok;
}

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/daemon_host.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include <nlohmann/json.hpp>

#include "cli/enclave_launch.hpp"
#include "cli/vm_access.hpp"
#include "nitro_cli/enclave_image.hpp"
#include "nitro_cli/failure_code.hpp"

namespace alcove::nitro_cli {

namespace {

namespace json = codec::json;

constexpr auto kKind = cli::VmKind::Enclave;

struct Equivalent {
    ErrorCode ours;
    FailureCode theirs;
};
constexpr std::array kEquivalents{
    Equivalent{ErrorCode::InvalidArgument, FailureCode::InvalidArgument},
    Equivalent{ErrorCode::SystemCall, FailureCode::FileOperation},
    Equivalent{ErrorCode::NotFound, FailureCode::Socket},
    Equivalent{ErrorCode::EnclaveNotFound, FailureCode::Socket},
    Equivalent{ErrorCode::NoFreeCores, FailureCode::InsufficientCpus},
    Equivalent{ErrorCode::NoFreeMemory, FailureCode::InsufficientMemoryAvailable},
    Equivalent{ErrorCode::NoHugePages, FailureCode::InsufficientMemoryAvailable},
    Equivalent{ErrorCode::RamdiskTooLarge, FailureCode::InsufficientMemoryRequested},
    Equivalent{ErrorCode::ImageMalformed, FailureCode::EifParsing},
    Equivalent{ErrorCode::ImageVersion, FailureCode::EifParsing},
    Equivalent{ErrorCode::ImageCrc, FailureCode::EifParsing},
    Equivalent{ErrorCode::ImageSection, FailureCode::EifParsing},
    Equivalent{ErrorCode::KernelInvalid, FailureCode::EifParsing},
    Equivalent{ErrorCode::CommandLineInvalid, FailureCode::EifParsing},
    Equivalent{ErrorCode::ImageSignature, FailureCode::SignatureChecker},
    Equivalent{ErrorCode::ImageCertificateExpired, FailureCode::SignatureChecker},
    Equivalent{ErrorCode::EnclaveNotDebug, FailureCode::ConsoleConnection},
    Equivalent{ErrorCode::EnclaveLaunchFailed, FailureCode::EnclaveBoot},
    Equivalent{ErrorCode::EnclaveDied, FailureCode::EnclaveBoot},
    Equivalent{ErrorCode::EnclaveNotReady, FailureCode::EnclaveBoot},
    Equivalent{ErrorCode::Cancelled, FailureCode::EnclaveBoot},
};

// An error of alcoved, or of the way to it, with a code of this tool.
template <typename T>
Result<T> translated(Result<T> result) {
    if (result || code_of(result.error()) != FailureCode::Unspecified) return result;
    const auto* found = std::ranges::find(kEquivalents, result.error().code(), &Equivalent::ours);
    const auto code = found == kEquivalents.end() ? FailureCode::ProcessConnection : found->theirs;
    return coded(code, std::move(result));
}

// Where CPUs were chosen, what is wrong with cores is wrong with the choice.
Result<cli::Launched> of_chosen_cpus(Result<cli::Launched> launched) {
    if (launched) return launched;
    const auto code = launched.error().code();
    if (code == ErrorCode::NoFreeCores) return coded(FailureCode::NoSuchCpuInPool, std::move(launched));
    if (code == ErrorCode::InvalidArgument)
        return coded(FailureCode::InvalidCpuConfiguration, std::move(launched));
    return launched;
}

// A name that comes from a file's may have what no name has.
std::string usable_name(std::string name) {
    std::ranges::replace_if(
        name, [](unsigned char c) { return std::isalnum(c) == 0 && c != '.' && c != '_' && c != '-'; }, '_');
    if (name.empty() || name.starts_with("-") || name.starts_with("i-")) name.insert(0, "_");
    return name.substr(0, 60);
}

State state_of(const cli::VmView& view) {
    if (view.state == "running") return State::Running;
    return view.state == "stopping" ? State::Terminating : State::Empty;
}

Result<std::vector<uint32_t>> cpus_of(const Json& inspection) {
    std::vector<uint32_t> cpus;
    const auto* lease = TRY(json::optional_object_field(inspection, "lease"));
    if (lease == nullptr) return cpus;
    const auto* array = TRY(json::array_field(*lease, "cpus"));
    for (const auto& item : *array)
        if (item.is_number_unsigned()) cpus.push_back(item.get<uint32_t>());
    return cpus;
}

// What describe-eif says of the image, as far as alcoved knows it.
Json image_json(const cli::VmView& view, const Json& inspection) {
    Json measurements = Json::object();
    measurements["HashAlgorithm"] = "Sha384 { ... }";
    for (const auto& [name, value] : view.pcrs)
        measurements[name] = value;
    Json image = Json::object();
    if (!view.pcrs.empty()) image["Measurements"] = std::move(measurements);
    const auto told = inspection.value("image", Json(nullptr));
    if (!told.is_object()) return image;
    image["ImageName"] = told.value("name", Json(nullptr));
    image["ImageVersion"] = told.value("version", Json(nullptr));
    image["Metadata"] = told.value("metadata", Json(nullptr));
    return image;
}

Result<EnclaveView> view_of(const cli::VmView& vm, const Json& inspection) {
    EnclaveView view{.name = vm.name,
                     .id = vm.id,
                     .process_id = 0,
                     .cid = vm.cid,
                     .cpu_count = vm.vcpus,
                     .cpu_ids = {},
                     .memory_mib = vm.memory_mib,
                     .state = state_of(vm),
                     .debug = vm.debug};
    view.cpu_ids = TRY(translated(cpus_of(inspection)));
    const auto* vmm = TRY(translated(json::object_field(inspection, "vmm")));
    const auto pid = TRY(translated(json::optional_unsigned_field(*vmm, "pid")));
    view.process_id = pid.value_or(0);
    return view;
}

}  // namespace

Result<std::vector<cli::VmView>> DaemonHost::enclaves() const {
    const auto answer = TRY(translated(host_->api().get(cli::vms_path(kKind))));
    const auto* array = TRY(translated(json::array_field(answer, cli::vms_field(kKind))));
    std::vector<cli::VmView> enclaves;
    for (const auto& item : *array) {
        auto view = TRY(translated(cli::read_vm(item, kKind)));
        // One that a primary VM has carved is that machine's, and its nitro-cli shows it there.
        const auto parent = TRY(translated(json::optional_text_field(item, "parent")));
        if (!view.is_over() && !parent) enclaves.push_back(std::move(view));
    }
    return enclaves;
}

Result<cli::VmView> DaemonHost::find(const EnclaveChoice& enclave) const {
    const auto all = TRY(enclaves());
    const char* field = enclave.name ? "name" : "id";
    const auto& wanted = enclave.name ? *enclave.name : enclave.id.value_or("");
    for (const auto& vm : all)
        if (!wanted.empty() && (enclave.name ? vm.name : vm.id) == wanted) return vm;
    return fail(enclave.name ? FailureCode::Naming : FailureCode::Socket,
                "no enclave has the " + std::string(field) + " `" + wanted + "`");
}

Result<Json> DaemonHost::inspect(const cli::VmView& vm) const {
    return translated(host_->api().get(cli::vm_path(kKind, vm.id) + "/inspect"));
}

Result<EnclaveHost::Started> DaemonHost::run(const RunRequest& request) {
    const auto image = TRY(EnclaveImage::open(request.eif_path));
    TRY(image.check_memory(request.memory_bytes()));
    const auto running = TRY(enclaves());
    std::vector<std::string> names;
    for (const auto& vm : running)
        if (!vm.name.empty()) names.push_back(vm.name);
    auto named = request;
    if (!named.name) named.name = usable_name(choose_name(request, {}));

    cli::EnclaveRun command;
    command.image = request.eif_path;
    command.cpus = request.cpu_ids;
    command.vcpus =
        request.cpu_ids.empty() ? request.cpu_count : static_cast<uint32_t>(request.cpu_ids.size());
    command.memory_mib = request.memory_mib + request.memory_mib % 2;
    command.debug = request.debug;
    command.name = choose_name(named, names);
    if (request.cid != 0) command.cid = request.cid;
    command.timeout = boot_patience(image.size(), request.memory_bytes());
    const cli::Output output(streams_, false, false);
    std::optional<cli::Launched> launched;
    {
        auto interruption = TRY(coded(FailureCode::SignalMasking, cli::Interruption::create()));
        cli::Progress progress(output, "starting the enclave");
        auto attempt = cli::launch_enclave(command, *host_, interruption, progress);
        launched =
            TRY(translated(command.cpus.empty() ? std::move(attempt) : of_chosen_cpus(std::move(attempt))));
    }
    if (launched->view.is_over()) return translated<Started>(Failure{cli::ending_error(launched->view)});
    if (!launched->view.ready) {
        const auto stopped = stop(launched->view);
        return fail(
            FailureCode::EnclaveBoot,
            "the enclave ran, but sent no heartbeat within " + cli::elapsed_text(command.timeout) +
                (stopped ? "; it was ended" : "; it could not be ended: " + stopped.error().to_string()));
    }
    const auto inspection = TRY(inspect(launched->view));
    const auto view = TRY(view_of(launched->view, inspection));
    return Started{.json = run_json(view), .id = view.id};
}

Result<EnclaveHost::Listed> DaemonHost::describe(Metadata metadata) {
    const auto all = TRY(enclaves());
    Listed listed{.list = Json::array()};
    for (const auto& vm : all) {
        const auto inspection = inspect(vm);
        if (!inspection) continue;  // over meanwhile
        const auto view = TRY(view_of(vm, *inspection));
        listed.list.push_back(describe_json(view, image_json(vm, *inspection), metadata));
    }
    return listed;
}

Result<Json> DaemonHost::stop(const cli::VmView& vm) const {
    cli::VmStop command;
    command.kind = kKind;
    command.force_after_ms = 0;
    TRY(translated(cli::stop_vm(command, vm.id, *host_)));
    streams_.err("Successfully terminated enclave " + vm.id + ".\n");
    return terminate_json(vm.name, vm.id);
}

Result<Json> DaemonHost::terminate(const EnclaveChoice& enclave) {
    const auto found = TRY(find(enclave));
    return stop(found);
}

Result<EnclaveHost::Listed> DaemonHost::terminate_all() {
    const auto all = TRY(enclaves());
    Listed listed{.list = Json::array()};
    for (const auto& vm : all) {
        auto stopped = stop(vm);
        if (stopped) {
            listed.list.push_back(std::move(*stopped));
        } else {
            streams_.err(failure_text(stopped.error()));
            ++listed.silent;
        }
    }
    return listed;
}

Result<void> DaemonHost::show_console(const EnclaveChoice& enclave,
                                      std::optional<std::chrono::seconds> limit) {
    const auto vm = TRY(find(enclave));
    if (!vm.debug) return fail(FailureCode::ConsoleConnection, vm.id + " was started without --debug-mode");
    streams_.out("Connecting to the console for enclave " + std::to_string(vm.cid) + "...\n");
    streams_.out("Successfully connected to the console.\n");
    return translated(host_->api().stream(
        cli::vm_path(kKind, vm.id) + "/console",
        [&](std::string_view piece) {
            streams_.out(streams_.shown(piece));
            return true;
        },
        limit));
}

}  // namespace alcove::nitro_cli

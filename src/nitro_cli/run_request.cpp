// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/run_request.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include <nlohmann/json.hpp>

#include "codec/json.hpp"
#include "nitro_cli/failure_code.hpp"
#include "support/bits.hpp"
#include "support/checked.hpp"
#include "support/system.hpp"

namespace alcove::nitro_cli {

namespace {

namespace json = codec::json;

constexpr uint64_t kMaxConfiguration = 64_KiB;
constexpr uint64_t kMaxMemoryMib = uint64_t{1} << 30;  // 1 PiB: what is not in any machine
constexpr uint64_t kMaxCpu = std::numeric_limits<uint32_t>::max();

// Context ids that are somebody's already (vsock(7)); 0 is none, 3 the machine that carves.
Result<uint64_t> checked_cid(uint64_t cid) {
    if (cid >= 1 && cid <= 3)
        return fail(FailureCode::InvalidArgument, "`enclave-cid` " + std::to_string(cid) +
                                                      " is a reserved context id; enclaves have 4 and above");
    if (cid >= std::numeric_limits<uint32_t>::max())
        return fail(FailureCode::InvalidArgument,
                    "`enclave-cid` " + std::to_string(cid) + " is more than a context id can be");
    return cid;
}

Result<void> check_cpus(bool count, bool ids) {
    if (count && ids)
        return fail(FailureCode::ConflictingArgument, "`cpu_count` and `cpu_ids` are both there");
    if (!count && !ids) return fail(FailureCode::MissingArgument, "`cpu_count` or `cpu_ids`");
    return {};
}

Result<std::vector<uint32_t>> cpu_ids_of(const json::Json& array) {
    std::vector<uint32_t> ids;
    for (const auto& item : array) {
        const bool fits = item.is_number_unsigned() && item.get<uint64_t>() <= kMaxCpu;
        if (!fits) return fail(FailureCode::Serde, "`cpu_ids` is no list of CPU numbers");
        ids.push_back(item.get<uint32_t>());
    }
    return ids;
}

Result<RunRequest> read_fields(const json::Json& object) {
    RunRequest request;
    request.eif_path = TRY(json::text_field(object, "eif_path"));
    request.memory_mib = TRY(json::unsigned_field(object, "memory_mib"));
    if (request.memory_mib > kMaxMemoryMib)
        return fail(FailureCode::Serde, "`memory_mib` is more than any machine has");
    const auto cid = TRY(json::optional_unsigned_field(object, "enclave_cid"));
    request.cid = cid.value_or(0);
    const auto attach = TRY(json::optional_boolean_field(object, "attach_console"));
    const auto debug = TRY(json::optional_boolean_field(object, "debug_mode"));
    request.attach_console = attach.value_or(false);
    request.debug = debug.value_or(false) || request.attach_console;
    request.name = TRY(json::optional_text_field(object, "enclave_name"));
    const auto count = TRY(json::optional_unsigned_field(object, "cpu_count"));
    const auto* ids = TRY(json::optional_array_field(object, "cpu_ids"));
    TRY(check_cpus(count.has_value(), ids != nullptr));
    if (ids != nullptr) request.cpu_ids = TRY(cpu_ids_of(*ids));
    if (count.value_or(0) > kMaxCpu) return fail(FailureCode::Serde, "`cpu_count` is too large");
    request.cpu_count = static_cast<uint32_t>(count.value_or(request.cpu_ids.size()));
    return request;
}

}  // namespace

Result<uint64_t> number_of(std::string_view name, std::string_view text, uint64_t most) {
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number > most)
        return fail(FailureCode::InvalidArgument,
                    "`" + std::string(name) + "` is not a usable number: `" + std::string(text) + "`");
    return number;
}

Result<uint64_t> memory_of(std::string_view text) {
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto number = TRY(number_of("memory", text.substr(0, digits), kMaxMemoryMib));
    const auto unit = text.substr(digits);
    std::optional<uint64_t> mib;
    if (unit.empty() || unit == "M" || unit == "m") mib = number;
    if (unit == "G" || unit == "g") mib = checked_mul<uint64_t>(number, 1024);
    if (unit == "T" || unit == "t") mib = checked_mul<uint64_t>(number, 1024 * 1024);
    if (!mib || *mib > kMaxMemoryMib)
        return fail(FailureCode::InvalidArgument,
                    "`memory` is not a usable size: `" + std::string(text) + "`; sizes end in M, G or T");
    return *mib;
}

Result<RunRequest> request_of_json(std::string_view text) {
    const auto object = TRY(coded(FailureCode::Serde, json::parse(text)));
    auto request = read_fields(object);
    if (!request && code_of(request.error()) == FailureCode::Unspecified)
        return coded(FailureCode::Serde, std::move(request));
    if (request) TRY(checked_cid(request->cid));
    return request;
}

Result<RunRequest> read_request(const RunEnclave& arguments) {
    if (arguments.config) {
        const auto text =
            TRY(coded(FailureCode::FileOperation, sys::read_file(*arguments.config, kMaxConfiguration)));
        auto request = TRY(request_of_json(as_text(text)).context(*arguments.config));
        request.attach_console = request.attach_console || arguments.attach_console;
        request.debug = request.debug || request.attach_console;
        return request;
    }
    RunRequest request;
    request.eif_path = arguments.eif_path;
    request.memory_mib = TRY(memory_of(arguments.memory));
    for (const auto& text : arguments.cpu_ids) {
        const auto id = TRY(number_of("cpu-ids", text, kMaxCpu));
        request.cpu_ids.push_back(static_cast<uint32_t>(id));
    }
    request.cpu_count = static_cast<uint32_t>(request.cpu_ids.size());
    if (arguments.cpu_count) {
        const auto count = TRY(number_of("cpu-count", *arguments.cpu_count, kMaxCpu));
        request.cpu_count = static_cast<uint32_t>(count);
    }
    if (arguments.enclave_cid) {
        const auto cid =
            TRY(number_of("enclave-cid", *arguments.enclave_cid, std::numeric_limits<uint64_t>::max()));
        request.cid = TRY(checked_cid(cid));
    }
    request.attach_console = arguments.attach_console;
    request.debug = arguments.debug_mode || arguments.attach_console;
    request.name = arguments.enclave_name;
    return request;
}

std::string choose_name(const RunRequest& request, const std::vector<std::string>& taken) {
    std::string base = request.name.value_or(request.eif_path.substr(request.eif_path.rfind('/') + 1));
    if (!request.name && base.ends_with(".eif")) base.resize(base.size() - 4);
    std::string name = base;
    for (unsigned i = 1; std::ranges::find(taken, name) != taken.end(); ++i)
        name = base + "_" + std::to_string(i);
    return name;
}

std::chrono::seconds boot_patience(uint64_t image_bytes, uint64_t memory_bytes) {
    constexpr uint64_t kImageStep = 6_GiB;
    constexpr uint64_t kMemoryStep = 100_GiB;
    constexpr uint64_t kSeconds = 90;
    const auto started = [](uint64_t bytes, uint64_t step) {
        return bytes == 0 ? 1 : (bytes - 1) / step + 1;
    };
    return std::chrono::seconds(kSeconds *
                                (started(image_bytes, kImageStep) + started(memory_bytes, kMemoryStep)));
}

}  // namespace alcove::nitro_cli

// SPDX-License-Identifier: Apache-2.0
#include "cli/kvm_trial.hpp"

#include <filesystem>
#include <optional>
#include <system_error>

#include <nlohmann/json.hpp>

#include "cli/installation.hpp"
#include "codec/json.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

using codec::json::Json;

constexpr size_t kMaxFile = 64 * 1024;
constexpr int kFormat = 2;

// Another kernel, other modules or another setting of them come with another boot, or with reloaded modules.
std::string circumstances() {
    std::string text;
    for (const char* file : {"/proc/sys/kernel/random/boot_id", "/sys/module/kvm_amd/parameters/npt",
                             "/sys/module/kvm_intel/parameters/ept"}) {
        const auto content = sys::read_file(file, 256);
        text += content ? std::string(as_text(*content)) : "-";
    }
    return text;
}

Json optional_time(const std::optional<std::chrono::nanoseconds>& time) {
    return time ? Json(time->count()) : Json(nullptr);
}

std::optional<std::chrono::nanoseconds> time_field(const Json& json, const char* name) {
    const auto value = json.find(name);
    if (value == json.end() || !value->is_number_integer()) return std::nullopt;
    return std::chrono::nanoseconds(value->get<int64_t>());
}

std::optional<host::GuestTrial> read_trial(const std::string& file) {
    const auto content = sys::read_file(file, kMaxFile);
    if (!content) return std::nullopt;
    const auto json = codec::json::parse(as_text(*content));
    if (!json || !json->is_object()) return std::nullopt;
    const auto format = codec::json::unsigned_field(*json, "format");
    const auto where = codec::json::text_field(*json, "circumstances");
    const auto ran = codec::json::boolean_field(*json, "ran");
    const auto step = codec::json::text_field(*json, "failed_step");
    const auto reason = codec::json::text_field(*json, "reason");
    if (!format || *format != kFormat || !where || *where != circumstances() || !ran || !step || !reason)
        return std::nullopt;
    return host::GuestTrial{.ran = *ran ? host::Answer::Yes : host::Answer::No,
                            .failed_step = *step,
                            .reason = *reason,
                            .timed_loop = time_field(*json, "timed_loop_ns"),
                            .plain_exit = time_field(*json, "plain_exit_ns")};
}

void write_trial(const std::string& file, const host::GuestTrial& trial) {
    const Json json = {{"format", kFormat},
                       {"circumstances", circumstances()},
                       {"ran", trial.ran == host::Answer::Yes},
                       {"failed_step", trial.failed_step},
                       {"reason", trial.reason},
                       {"timed_loop_ns", optional_time(trial.timed_loop)},
                       {"plain_exit_ns", optional_time(trial.plain_exit)}};
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(file).parent_path(), error);
    static_cast<void>(sys::replace_file(file, as_byte_view(codec::json::dump(json)), 0600).has_value());
}

}  // namespace

std::string kvm_trial_file() {
    const std::string cache = environment("XDG_CACHE_HOME");
    if (!cache.empty()) return cache + "/alcove/kvm-trial.json";
    const std::string home = environment("HOME");
    return home.empty() ? "" : home + "/.cache/alcove/kvm-trial.json";
}

host::GuestTrial try_and_remember(const GuestTrialFunction& try_guest, const std::string& file) {
    auto trial = try_guest();
    if (!file.empty() && trial.ran != host::Answer::NotTried) write_trial(file, trial);
    return trial;
}

host::GuestTrial remembered_trial(const GuestTrialFunction& try_guest, const std::string& file) {
    if (!file.empty()) {
        auto known = read_trial(file);
        if (known) return *known;
    }
    return try_and_remember(try_guest, file);
}

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/places.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/installation.hpp"
#include "nitro_cli/failure_code.hpp"
#include "support/system.hpp"

namespace alcove::nitro_cli {

namespace {

constexpr std::string_view kNoInstance = "i-0000000000000000";
constexpr std::string_view kMark = "-enc";
constexpr const char* kGroup = "ne";
constexpr uint64_t kMaxTag = 256;

void take_from(const char* variable, std::string& into) {
    if (auto value = cli::environment(variable); !value.empty()) into = std::move(value);
}

Result<void> make_folder(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0) return {};
    TRY(sys::make_directories(path, 0755));
    if (::geteuid() != 0) return {};
    // The program has one thread here. Without the group, root alone starts enclaves.
    const struct group* group = ::getgrnam(kGroup);  // NOLINT(concurrency-mt-unsafe)
    if (group == nullptr) return {};
    if (::chown(path.c_str(), 0, group->gr_gid) != 0 || ::chmod(path.c_str(), 0775) != 0)
        return fail_errno(errno, "giving " + path + " to the group " + kGroup);
    return {};
}

}  // namespace

Places Places::of_environment() {
    Places places;
    take_from("NITRO_CLI_SOCKETS_PATH", places.sockets);
    take_from("NITRO_CLI_LOGS_PATH", places.logs);
    return places;
}

Result<std::string> Places::socket_of(std::string_view enclave_id) const {
    const size_t mark = enclave_id.rfind(kMark);
    const auto slot = mark == std::string_view::npos ? enclave_id : enclave_id.substr(mark + kMark.size());
    const bool is_id =
        !slot.empty() && std::ranges::all_of(slot, [](unsigned char c) { return std::isxdigit(c); });
    if (!is_id) return fail(FailureCode::Socket, "`" + std::string(enclave_id) + "` is no enclave's id");
    return sockets + "/" + std::string(slot) + ".sock";
}

std::string Places::enclave_id(uint64_t slot_uid) const {
    std::string instance(kNoInstance);
    if (const auto tag = sys::read_file(asset_tag, kMaxTag)) {
        instance = std::string(as_text(*tag));
        std::erase_if(instance, [](unsigned char c) { return std::isspace(c); });
    }
    std::array<char, 16> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), slot_uid, 16).ptr;
    return instance + std::string(kMark) + std::string(digits.data(), end);
}

Result<void> Places::prepare() const {
    TRY(coded(FailureCode::ReadFromDisk, make_folder(sockets)));
    return coded(FailureCode::Logger, make_folder(logs));
}

}  // namespace alcove::nitro_cli

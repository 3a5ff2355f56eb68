// SPDX-License-Identifier: Apache-2.0
#include "cli/installation.hpp"

#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

#include <unistd.h>

namespace alcove::cli {

namespace {

std::string program_directory() {
    std::error_code error;
    const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
    return error ? "" : path.parent_path().string();
}

// The first of the places at which `probe` exists below it ("" asks for the place itself).
Result<std::string> find_file(const char* variable, const std::vector<std::string>& places,
                              const std::string& probe, const std::string& what) {
    const std::string named = environment(variable);
    if (!named.empty()) {
        if (::access((named + probe).c_str(), R_OK) == 0) return named;
        return fail(ErrorCode::MissingDependency,
                    what + ": " + named + probe + ", named by " + variable + ", is not there");
    }
    for (const auto& place : places)
        if (::access((place + probe).c_str(), R_OK) == 0) return place;
    return fail(ErrorCode::MissingDependency,
                what + " is not installed; " + variable + " can name another place");
}

}  // namespace

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

Result<std::string> find_init() {
    const std::string here = program_directory();
    return find_file("ALCOVE_INIT",
                     {here + "/../guests/init", here + "/../lib/alcove/init", "/usr/lib/alcove/init"}, "",
                     "the enclave's init program");
}

Result<std::string> find_kernel_root() {
    const std::string here = program_directory();
    return find_file("ALCOVE_KERNEL_ROOT",
                     {here + "/../kernel", here + "/../../deps/kernel", here + "/../lib/alcove/kernel",
                      "/usr/lib/alcove/kernel"},
                     "/boot", "Debian's enclave kernel");
}

Result<std::string> find_check_guest() {
    const std::string here = program_directory();
    return find_file(
        "ALCOVE_CHECK_GUEST",
        {here + "/../guests/check.elf", here + "/../lib/alcove/check.elf", "/usr/lib/alcove/check.elf"}, "",
        "the guest that tries KVM");
}

Result<std::string> find_host_root() {
    const std::string here = program_directory();
    return find_file("ALCOVE_HOST_ROOT",
                     {here + "/../host", here + "/../lib/alcove/host", "/usr/lib/alcove/host"}, "/initrd",
                     "the embedded host");
}

Result<std::string> find_egress() {
    const std::string here = program_directory();
    return find_file("ALCOVE_EGRESS",
                     {here + "/alcove-egress", here + "/../libexec/alcove/alcove-egress",
                      "/usr/libexec/alcove/alcove-egress", "/usr/bin/alcove-egress"},
                     "", "alcove-egress");
}

}  // namespace alcove::cli

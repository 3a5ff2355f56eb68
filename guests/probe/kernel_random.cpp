// SPDX-License-Identifier: Apache-2.0
#include "probe/kernel_random.hpp"

#include <array>
#include <sstream>
#include <string>

#include <fcntl.h>

#include "support/system.hpp"

namespace alcove::probe {

namespace {

constexpr char kAvailable[] = "/sys/class/misc/hw_random/rng_available";
constexpr char kCurrent[] = "/sys/class/misc/hw_random/rng_current";
constexpr char kDevice[] = "/dev/hwrng";
constexpr uint64_t kSysfsLimit = 4096;

Result<std::string> read_setting(const char* path) {
    const Fd file = TRY(sys::open(path, O_RDONLY));
    Bytes text(kSysfsLimit);
    const sys::Transfer got = TRY(sys::read_some(file, text));
    text.resize(got.bytes);
    while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
        text.pop_back();
    return std::string(as_text(text));
}

Result<void> choose(std::string_view source) {
    const Fd file = TRY(sys::open(kCurrent, O_WRONLY));
    return sys::write_all(file, as_byte_view(source));
}

// The first source whose name begins so: a driver may put a number behind it.
Result<std::string> find_source(std::string_view prefix) {
    const std::string available = TRY(read_setting(kAvailable));
    std::istringstream names(available);
    for (std::string name; names >> name;)
        if (name.starts_with(prefix)) return name;
    return fail(ErrorCode::InvalidMessage, "the kernel's sources are: " + available);
}

Result<void> read_twice() {
    const Fd device = TRY(sys::open(kDevice, O_RDONLY));
    std::array<uint8_t, 64> first{};
    std::array<uint8_t, 64> second{};
    TRY(sys::read_exact(device, first));
    TRY(sys::read_exact(device, second));
    if (first == second) return fail(ErrorCode::InvalidMessage, "the same bytes came twice");
    return {};
}

Result<void> check_source(std::string_view prefix) {
    const std::string source = TRY(find_source(prefix));
    const std::string before = TRY(read_setting(kCurrent));
    TRY(choose(source));
    const std::string now = TRY(read_setting(kCurrent));
    if (now != source) return fail(ErrorCode::InvalidMessage, "the current source is " + now);
    const Result<void> outcome = read_twice();
    if (before != source && before != "none") TRY(choose(before));
    return outcome;
}

}  // namespace

std::vector<CheckResult> check_kernel_random() {
    return {result_of("hwrng", check_source("nsm-hwrng")),
            result_of("virtio_rng", check_source("virtio_rng"))};
}

}  // namespace alcove::probe

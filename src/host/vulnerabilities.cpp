// SPDX-License-Identifier: Apache-2.0
#include "host/vulnerabilities.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "support/system.hpp"

namespace alcove::host {

Exposure classify_vulnerability(std::string_view kernel_text) {
    if (kernel_text.starts_with("Not affected")) return Exposure::NotAffected;
    // "Mitigation: Clear CPU buffers; SMT vulnerable" is open exactly where two owners could share a core.
    if (kernel_text.starts_with("Vulnerable") || kernel_text.find("SMT vulnerable") != std::string_view::npos)
        return Exposure::Vulnerable;
    // itlb_multihit words it the other way round: "KVM: Vulnerable", "KVM: Mitigation: ...".
    if (kernel_text.starts_with("KVM: Vulnerable")) return Exposure::Vulnerable;
    if (kernel_text.starts_with("Mitigation") || kernel_text.starts_with("KVM: Mitigation"))
        return Exposure::Mitigated;
    return Exposure::Unknown;
}

std::string_view to_string(Exposure exposure) {
    switch (exposure) {
        case Exposure::NotAffected:
            return "not-affected";
        case Exposure::Mitigated:
            return "mitigated";
        case Exposure::Vulnerable:
            return "vulnerable";
        case Exposure::Unknown:
            break;
    }
    return "unknown";
}

Result<std::vector<Vulnerability>> read_vulnerabilities(const std::string& root) {
    const std::string directory = root + "/sys/devices/system/cpu/vulnerabilities";
    std::vector<Vulnerability> result;
    std::error_code error;
    std::filesystem::directory_iterator it(directory, error);
    if (error) return fail(ErrorCode::Unsupported, "this kernel does not list CPU vulnerabilities");
    for (const std::filesystem::directory_iterator end; !error && it != end; it.increment(error)) {
        const auto content = sys::read_file(it->path().string(), 4096);
        if (!content) continue;
        std::string text(as_text(*content));
        while (!text.empty() && text.back() == '\n')
            text.pop_back();
        const auto exposure = classify_vulnerability(text);
        result.push_back(
            {.name = it->path().filename().string(), .text = std::move(text), .exposure = exposure});
    }
    std::ranges::sort(result, {}, &Vulnerability::name);
    return result;
}

}  // namespace alcove::host

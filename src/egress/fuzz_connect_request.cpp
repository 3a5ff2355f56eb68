// SPDX-License-Identifier: Apache-2.0
//
// An enclave's bytes as the head of a request, and as a name that is held against rules. Whatever comes: a
// target within its limits or a refusal, and no address that is neither public nor given.
#include <cstdlib>

#include "egress/dialer.hpp"

namespace {

using namespace alcove;

void require(bool condition) {
    if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const std::vector<std::string> kTexts = {"a.example:443", "*.b.example:1-65535",
                                                    "c.example:80=10.0.0.1", "10.1.0.0/16:8000-8010",
                                                    "[2001:db8::/32]:443"};
    static const auto rules = egress::Rules::parse(kTexts).value();
    const ByteView bytes(data, size);
    const auto length = egress::head_length(bytes);
    require(!length || *length <= size);
    const auto parsed = egress::parse_connect(as_text(length ? bytes.first(*length) : bytes));
    const auto* target = std::get_if<egress::ConnectTarget>(&parsed);
    if (target == nullptr) {
        require(std::get<egress::Status>(parsed) != egress::Status::Established);
        return 0;
    }
    require(length && !target->host.empty() && target->host.size() <= egress::kMaxHost && target->port != 0);
    // The name's owner chooses its addresses.
    const auto resolve = [&](const std::string&) -> Result<std::vector<egress::IpAddress>> {
        std::vector<egress::IpAddress> found;
        for (const char* const text :
             {"127.0.0.1", "10.0.0.1", "10.1.2.3", "93.184.216.34", "::1", "fe80::1"})
            found.push_back(*egress::IpAddress::parse(text));
        return found;
    };
    const auto pinned = egress::IpAddress::parse("10.0.0.1");
    for (const auto& address : egress::judge(rules, *target, resolve).addresses)
        require(is_public(address) || rules.gives(address, target->port) ||
                (address == pinned && target->port == 80));
    return 0;
}

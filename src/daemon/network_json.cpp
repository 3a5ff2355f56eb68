// SPDX-License-Identifier: Apache-2.0
#include "daemon/network_json.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "codec/hex.hpp"
#include "crypto/digest.hpp"
#include "support/bits.hpp"

namespace alcove::daemon {

using codec::json::Json;

namespace {

constexpr std::string_view kTap = "tap";
constexpr std::string_view kStream = "stream";

std::string_view kind_name(api::NetworkKind kind) {
    return kind == api::NetworkKind::Tap ? kTap : kStream;
}

}  // namespace

Json to_json(const std::vector<NetworkRecord>& networks) {
    Json list = Json::array();
    for (const auto& network : networks)
        list.push_back({{"kind", kind_name(network.kind)}, {"mac", mac_text(network.mac)}});
    return list;
}

Result<std::vector<NetworkRecord>> parse_networks(std::string_view text) {
    const auto list = TRY(codec::json::parse(text, {.bytes = 64_KiB, .depth = 3}));
    if (!list.is_array()) return fail(ErrorCode::JsonMalformed, "a list of networks is expected");
    std::vector<NetworkRecord> networks;
    for (const auto& item : list) {
        const auto kind = TRY(codec::json::text_field(item, "kind"));
        const auto mac = TRY(codec::json::text_field(item, "mac"));
        NetworkRecord network;
        network.kind = TRY(parse_network_kind(kind));
        network.mac = TRY(parse_mac(mac));
        networks.push_back(network);
    }
    return networks;
}

Result<api::NetworkKind> parse_network_kind(std::string_view text) {
    if (text == kTap) return api::NetworkKind::Tap;
    if (text == kStream) return api::NetworkKind::Stream;
    return fail(ErrorCode::InvalidArgument, "a network's 'kind' is \"tap\" or \"stream\"");
}

Result<api::MacAddress> parse_mac(std::string_view text) {
    constexpr size_t kByteText = 3;  // two digits and a colon
    const auto wrong = [text] {
        return fail(ErrorCode::InvalidArgument,
                    "'" + std::string(text) + "' is no machine's MAC address: 02:00:00:00:00:01");
    };
    api::MacAddress mac{};
    if (text.size() != mac.size() * kByteText - 1) return wrong();
    for (size_t i = 0; i < mac.size(); ++i) {
        const auto byte = codec::hex_decode(text.substr(i * kByteText, 2));
        if (!byte || (i > 0 && text[i * kByteText - 1] != ':')) return wrong();
        mac.at(i) = byte->front();
    }
    if (!api::is_station(mac)) return wrong();
    return mac;
}

std::string mac_text(const api::MacAddress& mac) {
    std::string text;
    for (const uint8_t byte : mac)
        text += (text.empty() ? "" : ":") + codec::hex_encode(ByteView(&byte, 1));
    return text;
}

api::MacAddress mac_of(const std::string& vm_id, size_t index) {
    const auto digest = crypto::sha256(as_byte_view(vm_id + " network " + std::to_string(index)));
    api::MacAddress mac{};
    std::copy_n(digest.begin(), mac.size(), mac.begin());
    mac[0] = static_cast<uint8_t>((mac[0] & 0xfc) | 0x02);  // one machine's; locally administered
    return mac;
}

}  // namespace alcove::daemon

// SPDX-License-Identifier: Apache-2.0
#include "api/vm_id.hpp"

#include <algorithm>

namespace alcove::api {

Result<VmId> VmId::parse(std::string_view text) {
    const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
    if (text.empty() || text.size() > 64 || !std::ranges::all_of(text, allowed))
        return fail(ErrorCode::InvalidArgument, "a VM's id has 1 to 64 of a-z, 0-9 and '-'");
    return VmId(std::string(text));
}

Result<VmId> VmId::parse(const Field& field) {
    const auto text = field.text();
    if (!text) return fail(ErrorCode::InvalidMessage, "bytes after the end of a VM's id");
    auto id = parse(*text);
    if (!id) return fail(ErrorCode::InvalidMessage, id.error().message());
    return id;
}

}  // namespace alcove::api

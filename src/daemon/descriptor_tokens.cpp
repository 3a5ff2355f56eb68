// SPDX-License-Identifier: Apache-2.0
#include "daemon/descriptor_tokens.hpp"

#include <algorithm>

#include "codec/hex.hpp"
#include "crypto/random.hpp"

namespace alcove::daemon {

Result<std::string> DescriptorTokens::put(Fd descriptor, uid_t user, Time now) {
    expire(now);
    const auto of_user =
        std::ranges::count_if(entries_, [&](const auto& e) { return e.second.user == user; });
    if (entries_.size() >= kMaxWaiting || static_cast<size_t>(of_user) >= kMaxOfOneUser)
        return fail(ErrorCode::LimitExceeded, "too many descriptors wait for their requests");
    const auto random = TRY(crypto::random_array<16>());
    std::string token = codec::hex_encode(random);
    entries_.emplace(token,
                     Entry{.descriptor = std::move(descriptor), .user = user, .until = now + kValidFor});
    return token;
}

Result<Fd> DescriptorTokens::take(const std::string& token, uid_t user, Time now) {
    expire(now);
    const auto found = entries_.find(token);
    if (found == entries_.end() || found->second.user != user)
        return fail(ErrorCode::NotFound, "the descriptor's token is unknown, used or expired");
    Fd descriptor = std::move(found->second.descriptor);
    entries_.erase(found);
    return descriptor;
}

void DescriptorTokens::expire(Time now) {
    std::erase_if(entries_, [now](const auto& entry) { return entry.second.until <= now; });
}

}  // namespace alcove::daemon

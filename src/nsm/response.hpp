// SPDX-License-Identifier: Apache-2.0
//
// What the Nitro Secure Module answers, encoded as serde would (nitro.md 4.2 and 4.3): fields in the listed
// order, definite lengths, shortest integers. Linux parses the first bytes of GetRandom's answer by hand.
#pragma once

#include <string_view>

#include "api/attestor_messages.hpp"
#include "support/bytes.hpp"

namespace alcove::nsm::response {

using api::attestor::NsmStatus;
using api::attestor::PcrValue;

// AWS and QEMU give as many; Linux mishandles less than 24.
inline constexpr size_t kRandomSize = 256;

Bytes describe_pcr(bool lock, const PcrValue& data);
Bytes extend_pcr(const PcrValue& data);
Bytes lock_pcr();
Bytes lock_pcrs();
Bytes describe_nsm(std::string_view module_id, uint32_t max_pcrs,
                   uint32_t locked_pcrs);  // a bit for each PCR
Bytes attestation(ByteView document);
Bytes get_random(ByteView random);
Bytes error(NsmStatus status);  // not Success

}  // namespace alcove::nsm::response

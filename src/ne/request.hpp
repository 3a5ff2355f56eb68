// SPDX-License-Identifier: Apache-2.0
//
// A command's request as one value, taken out of SEND_DATA, and the replies that refuse one. A request that
// was parsed has been checked for nothing but its number: the rules are rules.hpp and slot_table.hpp.
#pragma once

#include <optional>
#include <string_view>
#include <variant>

#include "ne/ids.hpp"
#include "ne/spec.hpp"
#include "support/bytes.hpp"
#include "support/error.hpp"

namespace alcove::ne {

using Request = std::variant<EnclaveStart, EnclaveGetSlot, EnclaveStop, SlotAlloc, SlotFree, SlotAddMem,
                             SlotAddVcpu, SlotCount, NextSlot, SlotInfo, SlotAddBulkVcpus>;

// Nothing when there is no such command, or fewer bytes than it has.
std::optional<Request> parse_request(uint32_t command, ByteView send_data);
Command command_of(const Request& request);
std::string_view command_name(Command command);  // "SLOT_ADD_MEM", for logs

std::optional<SlotState> slot_state_from(uint16_t value);

// What a reply may say: 0 and above, or a negative errno that user space can tell from the driver's own
// codes, which are -256 to -275 (uapi/linux/nitro_enclaves.h, NE_ERR_*).
constexpr bool is_valid_rc(int32_t rc) {
    return rc >= -4095 && (rc > -256 || rc < -275);
}
constexpr int32_t rc_of(const Reply& reply) {
    return static_cast<int32_t>(static_cast<uint32_t>(reply.rc));
}
// `errno_value` is positive, as in EINVAL. All other fields are zero.
Reply refusal(int errno_value);
// The errno for a command that the host could not carry out.
int errno_of(const Error& error);
// A success without other fields than this.
Reply success(SlotUid slot);

}  // namespace alcove::ne

// SPDX-License-Identifier: Apache-2.0
#include "ne/request.hpp"

#include <cerrno>

#include "support/check.hpp"

namespace alcove::ne {

namespace {

template <typename T>
bool parse_as(uint32_t command, ByteView send_data, std::optional<Request>& request) {
    if (command != static_cast<uint32_t>(T::kCommand)) return false;
    if (const auto body = read_object<T>(send_data)) request.emplace(*body);
    return true;
}

template <typename... Ts>
std::optional<Request> parse_any(std::variant<Ts...>*, uint32_t command, ByteView send_data) {
    std::optional<Request> request;
    (parse_as<Ts>(command, send_data, request) || ...);
    return request;
}

}  // namespace

std::optional<Request> parse_request(uint32_t command, ByteView send_data) {
    return parse_any(static_cast<Request*>(nullptr), command, send_data);
}

Command command_of(const Request& request) {
    return std::visit([](const auto& body) { return body.kCommand; }, request);
}

std::string_view command_name(Command command) {
    switch (command) {
        case Command::ENCLAVE_START:
            return "ENCLAVE_START";
        case Command::ENCLAVE_GET_SLOT:
            return "ENCLAVE_GET_SLOT";
        case Command::ENCLAVE_STOP:
            return "ENCLAVE_STOP";
        case Command::SLOT_ALLOC:
            return "SLOT_ALLOC";
        case Command::SLOT_FREE:
            return "SLOT_FREE";
        case Command::SLOT_ADD_MEM:
            return "SLOT_ADD_MEM";
        case Command::SLOT_ADD_VCPU:
            return "SLOT_ADD_VCPU";
        case Command::SLOT_COUNT:
            return "SLOT_COUNT";
        case Command::NEXT_SLOT:
            return "NEXT_SLOT";
        case Command::SLOT_INFO:
            return "SLOT_INFO";
        case Command::SLOT_ADD_BULK_VCPUS:
            return "SLOT_ADD_BULK_VCPUS";
    }
    return "unknown";
}

std::optional<SlotState> slot_state_from(uint16_t value) {
    switch (static_cast<SlotState>(value)) {
        case SlotState::INIT:
        case SlotState::RUNNING:
        case SlotState::STOPPED:
            return static_cast<SlotState>(value);
    }
    return std::nullopt;
}

Reply refusal(int errno_value) {
    ALCOVE_CHECK(errno_value > 0 && is_valid_rc(-errno_value), "a refusal is an errno of the system's");
    Reply reply{};
    reply.rc = static_cast<uint32_t>(-errno_value);
    return reply;
}

int errno_of(const Error& error) {
    switch (error.code()) {
        case ErrorCode::OutOfMemory:
        case ErrorCode::NoFreeMemory:
        case ErrorCode::NoHugePages:
            return ENOMEM;
        case ErrorCode::NoSpace:
        case ErrorCode::LimitExceeded:
            return ENOSPC;
        case ErrorCode::Busy:
        case ErrorCode::NoFreeCores:
            return EBUSY;
        case ErrorCode::Unsupported:
            return EOPNOTSUPP;
        default:
            break;
    }
    // What the kernel said to us may mean something else in the primary (EPERM, ENOENT): only what is about
    // memory goes through.
    return error.errno_value() == ENOMEM || error.errno_value() == ENOSPC ? ENOMEM : EIO;
}

Reply success(SlotUid slot) {
    Reply reply{};
    reply.slot_uid = number(slot);
    return reply;
}

}  // namespace alcove::ne

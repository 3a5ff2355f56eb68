// SPDX-License-Identifier: Apache-2.0
#include "ne/message_codec.hpp"

namespace alcove::ne {

namespace wire = api::ne;

namespace {

wire::CommandBody to_wire(uint32_t id, const EnclaveStart& body) {
    return wire::EnclaveStart{.request = id,
                              .reserved = {},
                              .slot_uid = body.slot_uid,
                              .enclave_cid = body.enclave_cid,
                              .flags = body.flags};
}
wire::CommandBody to_wire(uint32_t id, const EnclaveGetSlot& body) {
    return wire::EnclaveGetSlot{.request = id, .reserved = {}, .enclave_cid = body.enclave_cid};
}
wire::CommandBody to_wire(uint32_t id, const EnclaveStop& body) {
    return wire::EnclaveStop{.request = id, .reserved = {}, .slot_uid = body.slot_uid};
}
wire::CommandBody to_wire(uint32_t id, const SlotAlloc&) {
    return wire::SlotAlloc{.request = id, .reserved = {}};
}
wire::CommandBody to_wire(uint32_t id, const SlotFree& body) {
    return wire::SlotFree{.request = id, .reserved = {}, .slot_uid = body.slot_uid};
}
wire::CommandBody to_wire(uint32_t id, const SlotAddMem& body) {
    return wire::SlotAddMem{
        .request = id, .reserved = {}, .slot_uid = body.slot_uid, .paddr = body.paddr, .size = body.size};
}
wire::CommandBody to_wire(uint32_t id, const SlotAddVcpu& body) {
    return wire::SlotAddVcpu{.request = id, .vcpu_id = body.vcpu_id, .slot_uid = body.slot_uid};
}
wire::CommandBody to_wire(uint32_t id, const SlotCount&) {
    return wire::SlotCount{.request = id, .reserved = {}};
}
wire::CommandBody to_wire(uint32_t id, const NextSlot& body) {
    return wire::NextSlot{.request = id, .reserved = {}, .slot_uid = body.slot_uid};
}
wire::CommandBody to_wire(uint32_t id, const SlotInfo& body) {
    return wire::SlotInfo{.request = id, .reserved = {}, .slot_uid = body.slot_uid};
}
wire::CommandBody to_wire(uint32_t id, const SlotAddBulkVcpus& body) {
    return wire::SlotAddBulkVcpus{
        .request = id, .reserved = {}, .slot_uid = body.slot_uid, .nr_vcpus = body.nr_vcpus};
}

Request from_wire(const wire::EnclaveStart& body) {
    return EnclaveStart{.slot_uid = body.slot_uid, .enclave_cid = body.enclave_cid, .flags = body.flags};
}
Request from_wire(const wire::EnclaveGetSlot& body) {
    return EnclaveGetSlot{.enclave_cid = body.enclave_cid};
}
Request from_wire(const wire::EnclaveStop& body) {
    return EnclaveStop{.slot_uid = body.slot_uid};
}
Request from_wire(const wire::SlotAlloc&) {
    return SlotAlloc{.unused = 0};
}
Request from_wire(const wire::SlotFree& body) {
    return SlotFree{.slot_uid = body.slot_uid};
}
Request from_wire(const wire::SlotAddMem& body) {
    return SlotAddMem{.slot_uid = body.slot_uid, .paddr = body.paddr, .size = body.size};
}
Request from_wire(const wire::SlotAddVcpu& body) {
    return SlotAddVcpu{.slot_uid = body.slot_uid, .vcpu_id = body.vcpu_id, .padding = {}};
}
Request from_wire(const wire::SlotCount&) {
    return SlotCount{.unused = 0};
}
Request from_wire(const wire::NextSlot& body) {
    return NextSlot{.slot_uid = body.slot_uid};
}
Request from_wire(const wire::SlotInfo& body) {
    return SlotInfo{.slot_uid = body.slot_uid};
}
Request from_wire(const wire::SlotAddBulkVcpus& body) {
    return SlotAddBulkVcpus{.slot_uid = body.slot_uid, .nr_vcpus = body.nr_vcpus};
}

}  // namespace

Bytes encode_request(uint32_t id, const Request& request) {
    return wire::encode_command(std::visit([id](const auto& body) { return to_wire(id, body); }, request));
}

Result<NumberedRequest> decode_request(const api::Envelope& envelope) {
    const auto command = TRY(wire::decode_command(envelope));
    return NumberedRequest{.id = wire::request_of(command),
                           .request = std::visit([](const auto& body) { return from_wire(body); }, command)};
}

Bytes encode_reply(uint32_t id, const Reply& reply) {
    return api::encode(wire::Reply{.request = id,
                                   .rc = reply.rc,
                                   .slot_uid = reply.slot_uid,
                                   .enclave_cid = reply.enclave_cid,
                                   .slot_count = reply.slot_count,
                                   .mem_regions = reply.mem_regions,
                                   .mem_size = reply.mem_size,
                                   .nr_vcpus = reply.nr_vcpus,
                                   .flags = reply.flags,
                                   .state = reply.state,
                                   .reserved = {}});
}

Result<NumberedReply> decode_reply(const api::Envelope& envelope) {
    const auto body = TRY(api::decode<wire::Reply>(envelope));
    const Reply reply{.rc = body.rc,
                      .padding0 = {},
                      .slot_uid = body.slot_uid,
                      .enclave_cid = body.enclave_cid,
                      .slot_count = body.slot_count,
                      .mem_regions = body.mem_regions,
                      .mem_size = body.mem_size,
                      .nr_vcpus = body.nr_vcpus,
                      .flags = body.flags,
                      .state = body.state,
                      .padding1 = {}};
    if (!is_valid_rc(rc_of(reply)))
        return fail(ErrorCode::InvalidMessage, "a reply with an rc that is no errno");
    if (!slot_state_from(reply.state))
        return fail(ErrorCode::InvalidMessage, "a reply with an unknown state");
    return NumberedReply{.id = body.request, .reply = reply};
}

}  // namespace alcove::ne

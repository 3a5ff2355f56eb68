// SPDX-License-Identifier: Apache-2.0
#include "api/sgx_messages.hpp"

#include <algorithm>
#include <span>

namespace alcove::api::vmm {

namespace {

template <typename Entry>
void append(Bytes& tail, std::span<const Entry> entries) {
    for (const auto& entry : entries) {
        const auto bytes = object_bytes(entry);
        tail.insert(tail.end(), bytes.begin(), bytes.end());
    }
}

// Takes `count` entries from the front of `tail`, which is long enough.
template <typename Entry>
std::vector<Entry> take(ByteView& tail, size_t count) {
    std::vector<Entry> entries;
    for (size_t i = 0; i < count; ++i)
        entries.push_back(*read_object<Entry>(tail, i * sizeof(Entry)));
    tail = tail.subspan(count * sizeof(Entry));
    return entries;
}

bool is_leaf_name(const SgxLeafEntry& leaf) {
    const auto name = leaf.name.text();
    return name && !name->empty() && std::ranges::all_of(*name, [](char c) { return c >= 'A' && c <= 'Z'; });
}

}  // namespace

std::optional<SgxAction> sgx_action_of(const SgxRequest& request) {
    if (request.action > static_cast<uint32_t>(SgxAction::SetBalloon)) return std::nullopt;
    const auto action = static_cast<SgxAction>(uint32_t{request.action});
    const bool fits =
        action == SgxAction::SetBalloon || (action == SgxAction::SetBudget) == (request.mib != 0);
    return fits ? std::optional(action) : std::nullopt;
}

Bytes encode_sgx_report(uint32_t request, const SgxState& state) {
    ALCOVE_CHECK(
        state.sections.size() <= SgxReport::kMaxSections && state.leaves.size() <= SgxReport::kMaxLeaves,
        "no machine has more");
    const auto enclaves =
        std::span(state.enclaves).first(std::min(state.enclaves.size(), SgxReport::kMaxEnclaves));
    const auto balloon = state.balloon.value_or(SgxBalloon{});
    const SgxReport body{.request = request,
                         .sections = static_cast<uint32_t>(state.sections.size()),
                         .leaves = static_cast<uint32_t>(state.leaves.size()),
                         .enclaves = static_cast<uint32_t>(enclaves.size()),
                         .enclaves_in_all = state.enclaves_in_all,
                         .valid_pages = state.valid_pages,
                         .resident_pages = state.resident_pages,
                         .evicted_pages = state.evicted_pages,
                         .budget_pages = state.budget_pages,
                         .has_balloon = state.balloon ? 1U : 0U,
                         .evictions = state.evictions,
                         .loads = state.loads,
                         .overdrafts = state.overdrafts,
                         .balloon_target = balloon.target,
                         .balloon_held = balloon.held,
                         .balloon_reported = balloon.reported,
                         .asynchronous_exits = state.asynchronous_exits};
    Bytes tail;
    append(tail, std::span<const SgxSectionEntry>(state.sections));
    append(tail, std::span<const SgxLeafEntry>(state.leaves));
    append(tail, enclaves);
    return encode(body, tail);
}

Result<SgxReply> decode_sgx_report(const Envelope& envelope) {
    const auto report = TRY(decode_with_tail<SgxReport>(envelope));
    const auto& body = report.body;
    const bool in_range = body.sections <= SgxReport::kMaxSections && body.leaves <= SgxReport::kMaxLeaves &&
                          body.enclaves <= SgxReport::kMaxEnclaves;
    if (!in_range || report.tail.size() != body.sections * sizeof(SgxSectionEntry) +
                                               body.leaves * sizeof(SgxLeafEntry) +
                                               body.enclaves * sizeof(SgxEnclaveEntry))
        return fail(ErrorCode::InvalidMessage, "a report on SGX of another length than it says");
    SgxReply reply{.request = body.request,
                   .state = {.enclaves_in_all = body.enclaves_in_all,
                             .valid_pages = body.valid_pages,
                             .resident_pages = body.resident_pages,
                             .evicted_pages = body.evicted_pages,
                             .budget_pages = body.budget_pages,
                             .evictions = body.evictions,
                             .loads = body.loads,
                             .overdrafts = body.overdrafts,
                             .asynchronous_exits = body.asynchronous_exits}};
    if (body.has_balloon != 0)
        reply.state.balloon = SgxBalloon{
            .target = body.balloon_target, .held = body.balloon_held, .reported = body.balloon_reported};
    ByteView tail = report.tail;
    reply.state.sections = take<SgxSectionEntry>(tail, body.sections);
    reply.state.leaves = take<SgxLeafEntry>(tail, body.leaves);
    reply.state.enclaves = take<SgxEnclaveEntry>(tail, body.enclaves);
    if (!std::ranges::all_of(reply.state.leaves, is_leaf_name))
        return fail(ErrorCode::InvalidMessage, "a report on SGX with a leaf function that is none");
    return reply;
}

}  // namespace alcove::api::vmm

// SPDX-License-Identifier: Apache-2.0
#include "enclave/lifecycle.hpp"

#include <csignal>
#include <cstring>
#include <utility>

namespace alcove::enclave {

using api::StopReason;
using api::shim::Phase;
using api::shim::SignatureState;
using api::shim::State;

namespace {

constexpr uint16_t kNoVcpu = 0xffff;

std::string describe(ProcessEnd end, std::string_view last_words) {
    std::string text = end.by_signal
                           ? "the VMM was ended by signal " + std::to_string(end.value) + " (" +
                                 std::string(::strsignal(end.value)) + ")"
                           : "the VMM exited with code " + std::to_string(end.value) + " without a word";
    if (!last_words.empty()) text += "; its log ends with: " + std::string(last_words);
    return text;
}

}  // namespace

Lifecycle::Lifecycle(const api::VmId& vm_id, Traits traits, uint32_t vmm_pid, uint64_t now_ns)
    : traits_(traits) {
    state_.vm_id = vm_id.field();
    state_.flags = traits.debug ? State::kDebug : 0;
    state_.vmm_pid = vmm_pid;
    state_.begun_ns = now_ns;
    state_.vcpu = kNoVcpu;
    enter(traits.carved ? Phase::Gathering : Phase::Copying);
}

bool Lifecycle::is_preparing() const {
    return phase_ == Phase::Gathering || phase_ == Phase::Copying || phase_ == Phase::Reserving;
}

void Lifecycle::enter(Phase phase) {
    phase_ = phase;
    state_.phase = static_cast<uint32_t>(phase);
}

void Lifecycle::decide(StopReason reason, std::string detail) {
    if (is_decided()) return;
    state_.reason = static_cast<uint16_t>(reason);
    detail_ = std::move(detail);
}

Effects Lifecycle::begin(Mode mode) {
    if (phase_ != Phase::Gathering) return {};
    if (mode == Mode::Debug) state_.flags = state_.flags | State::kDebug;
    enter(Phase::Copying);
    return {.take_image = true};
}

Effects Lifecycle::image_accepted(const ImageFacts& facts, uint64_t now_ns) {
    if (phase_ != Phase::Copying) return {};
    if (is_primary()) {
        attested_ = true;  // nobody asks what a primary VM was started from
        enter(Phase::Reserving);
        return launch_if_complete();
    }
    state_.pcr0 = facts.pcr0;
    state_.pcr1 = facts.pcr1;
    state_.pcr2 = facts.pcr2;
    state_.pcr8 = facts.pcr8;
    state_.flags = state_.flags | State::kMeasured;
    state_.signature =
        static_cast<uint32_t>(facts.is_signed ? SignatureState::Valid : SignatureState::Unsigned);
    state_.certificate_subject = decltype(state_.certificate_subject)::of(
        std::string_view(facts.certificate_subject).substr(0, sizeof state_.certificate_subject));
    state_.certificate_not_before = facts.certificate_not_before;
    state_.certificate_not_after = facts.certificate_not_after;
    state_.measured_ns = now_ns;
    enter(Phase::Reserving);
    return {.clear_memory = is_carved(), .attest = true};
}

Effects Lifecycle::attested() {
    attested_ = true;
    return launch_if_complete();
}

Effects Lifecycle::memory_usable() {
    memory_usable_ = true;
    return launch_if_complete();
}

Effects Lifecycle::memory_reserved() {
    memory_reserved_ = true;
    auto effects = memory_usable();
    run_if_complete();
    effects.ask_for_ne_line = is_ne_line_wanted();
    return effects;
}

// Whoever waits for a VM to run may believe that all its memory is its own.
void Lifecycle::run_if_complete() {
    if (phase_ != Phase::Starting || !vmm_started_ || !memory_reserved_) return;
    enter(state_.ready_answered_by == 0 ? Phase::Running : Phase::Ready);
}

Effects Lifecycle::launch_if_complete() {
    if (phase_ != Phase::Reserving || !attested_ || !memory_usable_ || resetting_) return {};
    enter(Phase::Starting);
    return {.launch = true};
}

Effects Lifecycle::fail_launch(const Error& error) {
    if (!is_decided()) state_.error_code = static_cast<uint32_t>(error.code());
    decide(state_.restarts == 0 ? StopReason::LaunchFailed : StopReason::RestartFailed, error.to_string());
    enter(Phase::Stopping);
    return {.stop_preparing = true, .kill = true};
}

Effects Lifecycle::preparation_failed(const Error& error) {
    // Starting is among them: Launch itself may fail to be sent.
    if (!is_preparing() && phase_ != Phase::Starting) return {};
    return fail_launch(error);
}

Effects Lifecycle::started(const api::vmm::Started& message) {
    if (phase_ == Phase::Stopping) return {};  // crossed with our Stop
    if (phase_ != Phase::Starting || std::exchange(vmm_started_, true))
        return protocol_broken(Error(ErrorCode::InvalidMessage, "Started out of turn"));
    state_.launch_received_ns = message.launch_received_ns;
    state_.image_loaded_ns = message.image_loaded_ns;
    state_.first_instruction_ns = message.first_instruction_ns;
    run_if_complete();
    return {.complete_memory = is_carved()};
}

Effects Lifecycle::ready(const api::vmm::Ready& message) {
    // The guest brings it about, and can do so again: the first counts.
    if (phase_ == Phase::Stopping || state_.ready_answered_by != 0) return {};
    const uint32_t by = message.answered_by;
    if (!has_started() || by < 1 || by > 2 || is_primary())
        return protocol_broken(Error(ErrorCode::InvalidMessage, "Ready out of turn or out of range"));
    state_.ready_ns = message.time_ns;
    state_.ready_answered_by = by;
    if (phase_ == Phase::Running) enter(Phase::Ready);
    return {};
}

Effects Lifecycle::app_exited(const api::vmm::AppExit& message) {
    const uint32_t kind = message.kind;
    const bool in_turn = has_started() || phase_ == Phase::Stopping;
    if (!in_turn || kind < 1 || kind > 2 || is_primary())
        return protocol_broken(Error(ErrorCode::InvalidMessage, "AppExit out of turn or out of range"));
    if (state_.app_exit_kind != 0) return {};  // the guest said it again: the first counts
    state_.app_exit_kind = kind;
    state_.app_exit_value = message.value;
    return {};
}

Effects Lifecycle::stopped(const api::vmm::Stopped& message, std::string_view detail) {
    const auto reason = api::stop_reason_from_vmm(message.reason);
    if (!reason || (*reason == StopReason::HostRequest && !stop_requested_) || is_preparing())
        return protocol_broken(Error(ErrorCode::InvalidMessage, "Stopped out of turn or out of range"));
    if (is_primary() && api::is_reset(*reason) && has_started()) {
        resetting_ = true;
        enter(Phase::Reserving);
        return {.kill_after = kExitGrace};
    }
    if (!is_decided()) state_.vcpu = message.vcpu;
    decide(*reason, std::string(detail));
    enter(Phase::Stopping);
    return {.kill_after = kExitGrace};
}

Effects Lifecycle::attestor_lost() {
    if (phase_ == Phase::Stopping) return {};
    // Once for each line it gets, so that it can not have us knock at the attestor at its own pace.
    if (!has_started() || is_primary() || std::exchange(attestor_lost_, true))
        return protocol_broken(Error(ErrorCode::InvalidMessage, "AttestorLost out of turn"));
    return {.resume_at_attestor = true};
}

Effects Lifecycle::ne_line_wanted() {
    if (phase_ == Phase::Stopping) return {};
    // Once for each line it gets, so that it can not have us call alcoved at its own pace.
    const bool in_turn = has_enclaves() && (phase_ == Phase::Starting || is_running());
    if (!in_turn || std::exchange(ne_line_wanted_, true))
        return protocol_broken(Error(ErrorCode::InvalidMessage, "NeLineWanted out of turn"));
    return {.ask_for_ne_line = is_ne_line_wanted()};
}

Effects Lifecycle::launch_refused(const Error& error) {
    if (phase_ == Phase::Stopping) return {};
    if (phase_ != Phase::Starting)
        return protocol_broken(Error(ErrorCode::InvalidMessage, "Failed out of turn"));
    return fail_launch(error);
}

Effects Lifecycle::protocol_broken(const Error& error) {
    decide(StopReason::VmmCrashed, "the VMM broke the protocol: " + error.to_string());
    enter(Phase::Stopping);
    return {.stop_preparing = true, .kill = true};
}

Effects Lifecycle::channel_lost() {
    if (has_ended() || resetting_) return {};
    // Its end tells more than a closed channel does, so there is no reason yet.
    enter(Phase::Stopping);
    return {.stop_preparing = true, .kill_after = kExitGrace};
}

Effects Lifecycle::vmm_gone(ProcessEnd end, std::string_view last_words, uint64_t now_ns) {
    if (has_ended()) return {};
    decide(StopReason::VmmCrashed, describe(end, last_words));
    take_exit(end);
    state_.ended_ns = now_ns;
    enter(Phase::Ended);
    return {.stop_preparing = true, .leave_attestor = true};
}

// Of several processes that end with a VM, the first tells.
void Lifecycle::take_exit(ProcessEnd end) {
    if (std::exchange(exit_known_, true)) return;
    state_.exit_status = static_cast<uint32_t>(end.by_signal ? 128 + end.value : end.value);
}

Effects Lifecycle::life_begun(uint32_t vmm_pid) {
    state_.vmm_pid = vmm_pid;
    return {};
}

Effects Lifecycle::life_ended(ProcessEnd end, std::string_view last_words) {
    if (has_ended()) return {};
    if (resetting_ && phase_ == Phase::Reserving) {
        resetting_ = false;
        memory_usable_ = false;
        memory_reserved_ = false;
        vmm_started_ = false;
        ne_line_wanted_ = false;
        state_.restarts = state_.restarts + 1;
        return {.begin_anew = true};
    }
    decide(StopReason::VmmCrashed, describe(end, last_words));
    take_exit(end);
    enter(Phase::Stopping);
    return {.stop_preparing = true, .end_lives = true, .kill_after = kExitGrace};
}

Effects Lifecycle::stop_requested(std::chrono::milliseconds force_after) {
    if (has_ended()) return {};
    const bool waits_for_launch = is_preparing();
    stop_requested_ = true;
    enter(Phase::Stopping);
    if (!waits_for_launch)
        return {.send_stop = true, .kill_after = std::max(force_after, std::chrono::milliseconds(1))};
    // Nothing ran yet and the VMM only waits: there is nothing to end in order.
    decide(StopReason::HostRequest,
           state_.restarts == 0 && !resetting_ ? "stopped before it was started" : "stopped during a reset");
    return {.stop_preparing = true, .kill = true};
}

Effects Lifecycle::memory_wanted_back() {
    if (has_ended()) return {};
    if (is_preparing()) decide(StopReason::HostRequest, "stopped before it was started");
    decide(StopReason::Killed, "its memory was wanted back");
    enter(Phase::Stopping);
    return {.stop_preparing = true, .kill = true};
}

Effects Lifecycle::overdue() {
    if (has_ended()) return {};
    if (stop_requested_) decide(StopReason::Killed, "it did not stop in the time it was given");
    return {.kill = true};
}

}  // namespace alcove::enclave

// SPDX-License-Identifier: Apache-2.0
//
// The life of one VM, event by event: what the broker answers, what the shim tells, and what is done
// about it. Everything takes the VM's id and looks it up, because answers come late.
#include <algorithm>

#include "api/stop_reason.hpp"
#include "daemon/sgx_order.hpp"
#include "daemon/supervisor.hpp"
#include "eif/metadata.hpp"
#include "eif/pcr.hpp"
#include "support/error_catalog.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::daemon {

namespace {

// A shim's socket that breaks is tried again this often before the VM is given up.
constexpr int kMaxLinkLosses = 3;

VmState state_of(api::shim::Phase phase) {
    switch (phase) {
        case api::shim::Phase::Gathering:
            return VmState::Gathering;
        case api::shim::Phase::Copying:
            return VmState::Measuring;
        case api::shim::Phase::Reserving:
        case api::shim::Phase::Starting:
            return VmState::Starting;
        case api::shim::Phase::Running:
        case api::shim::Phase::Ready:
            return VmState::Running;
        case api::shim::Phase::Stopping:
        case api::shim::Phase::Ended:
            break;
    }
    return VmState::Stopping;
}

void take_measurements(VmRecord& record, const api::shim::State& told) {
    if ((told.flags & api::shim::State::kMeasured) == 0) return;
    record.measurements =
        Measurements{.pcr0 = told.pcr0, .pcr1 = told.pcr1, .pcr2 = told.pcr2, .pcr8 = told.pcr8};
    if (told.signature == static_cast<uint32_t>(api::shim::SignatureState::Valid)) {
        const auto subject = told.certificate_subject.text();
        record.signature = ImageSignature{
            .subject = subject ? api::printable(as_byte_view(*subject)) : "",
            .not_before = static_cast<int64_t>(std::min<uint64_t>(told.certificate_not_before, INT64_MAX)),
            .not_after = static_cast<int64_t>(std::min<uint64_t>(told.certificate_not_after, INT64_MAX))};
    }
}

void take_timings(Timings& timings, const api::shim::State& told) {
    timings.begun = told.begun_ns;
    timings.measured = told.measured_ns;
    timings.launch_received = told.launch_received_ns;
    timings.image_loaded = told.image_loaded_ns;
    timings.first_instruction = told.first_instruction_ns;
    timings.ready = told.ready_ns;
    timings.ended = told.ended_ns;
}

void take_facts(VmRecord& record, const api::shim::State& told) {
    take_measurements(record, told);
    take_timings(record.timings, told);
    record.vmm_pid = told.vmm_pid;
    record.restarts = told.restarts;
    if (told.app_exit_kind != 0) {
        record.app_exit = AppExit{
            .signalled = told.app_exit_kind == static_cast<uint32_t>(api::vmm::AppExitKind::Signalled),
            .value = told.app_exit_value};
    }
    if (told.ready_ns != 0 && record.heartbeat == HeartbeatAnswer::None) {
        const bool ours = told.ready_answered_by == static_cast<uint32_t>(api::vmm::ReadyAnsweredBy::Alcove);
        record.heartbeat = ours ? HeartbeatAnswer::Alcove : HeartbeatAnswer::HostProgram;
        record.ready_ms = wall_clock_ms();
    }
}

ErrorCode known_code(uint32_t number) {
    for (const auto& entry : error_catalog())
        if (static_cast<uint32_t>(entry.code) == number) return entry.code;
    return ErrorCode::EnclaveLaunchFailed;
}

}  // namespace

api::broker::Launch Supervisor::launch_order(const Vm& vm) const {
    const auto& record = vm.record;
    api::broker::Launch order{};
    if (record.is_carved()) {
        order.flags = api::broker::Launch::kCarved;
    } else {
        order.flags = (record.debug ? api::broker::Launch::kDebug : 0U) |
                      (record.policy == host::CpuPolicy::Dedicated ? api::broker::Launch::kDedicated : 0U) |
                      (record.enclaves ? api::broker::Launch::kEnclaves : 0U) |
                      (record.has_parent() ? api::broker::Launch::kProvisioned : 0U);
        order.threads_per_core = record.is_primary() ? shape_of(vm).threads_per_core : 1;
    }
    order.vm_id = vm_id(record.id).field();
    order.vcpu_count = record.vcpus;
    order.page_size = static_cast<uint32_t>(host::page_bytes(record.pages));
    order.vmm_slot = record.vmm_slot;
    order.memory_bytes =
        record.is_carved() ? vms_.at(record.parent).record.memory_bytes : record.memory_bytes;
    order.image_size = record.image_bytes;
    order.guest_cid = record.cid;
    for (const auto cpu : record.is_carved() ? ledger_.reserve_cpus() : vm.lease.grant().cpus)
        if (cpu.value < api::kMaxHostCpus) order.host_cpus.add(cpu.value);
    order.role = static_cast<uint32_t>(record.role);
    order.disk_count = static_cast<uint32_t>(record.disks.size());
    for (size_t i = 0; i < record.networks.size(); ++i)
        order.networks.at(i) = {.mac = record.networks[i].mac,
                                .kind = static_cast<uint8_t>(record.networks[i].kind)};
    if (record.sgx) {
        order.sgx = sgx_order(*record.sgx);
        if (order.sgx.has_root())
            order.sgx_root_owner =
                api::TextField<80>::of(sgx_root_owner(record.sgx->key_root, record.id, record.name));
    }
    if (!record.is_primary()) {
        order.module_id = api::TextField<128>::of(record.id);
        order.pcr4 = eif::pcr_of_text(record.has_parent() ? record.parent : store_.instance_id());
    }
    return order;
}

void Supervisor::order_launch(Vm& vm, std::vector<Fd> files) {
    vm.launching = true;
    broker_.launch(
        launch_order(vm), std::move(files),
        [this, id = vm.record.id](Result<BrokerLink::Launched> answer) { launched(id, std::move(answer)); });
}

void Supervisor::launched(const std::string& id, Result<BrokerLink::Launched> answer) {
    const auto found = vms_.find(id);
    if (found == vms_.end()) return;
    Vm& vm = found->second;
    vm.launching = false;
    if (!answer && vm.hold == Hold::Memory && answer.error().code() == ErrorCode::ConnectionLost)
        return launch_carved_again(id);
    if (vm.hold == Hold::GivingBack) vm.hold = Hold::Nothing;  // it was freed meanwhile, and has nothing
    if (!answer) {
        log::warn("{}: the broker did not launch it: {}", id, answer.error().to_string());
        return end(vm, std::string(api::stop_reason_name(api::StopReason::LaunchFailed)), {},
                   StoredError{.code = answer.error().code(), .message = answer.error().to_string()});
    }
    note_cores(vm, answer->note);
    const bool unwanted = vm.record.is_carved() && vm.hold != Hold::Memory;  // freed, or its primary is over
    if (unwanted || vm.record.state == VmState::Stopping)  // stopped while the broker was at it
        return end(vm, std::string(api::stop_reason_name(api::StopReason::Killed)), {}, std::nullopt);
    watch_shim(vm, std::move(answer->shim_pidfd));
    connect_shim(id);
}

// It runs all the same; whoever asked for cores of its own has to see that it has not quite got them.
void Supervisor::note_cores(Vm& vm, const std::string& note) {
    if (vm.record.core_note == note) return;
    vm.record.core_note = note;
    if (!note.empty()) log::warn("{}: its cores are not exclusive: {}", vm.record.id, note);
    commit_or_retry(vm, "cores", note.empty() ? "exclusive" : "not exclusive: " + note);
}

void Supervisor::watch_shim(Vm& vm, Fd pidfd) {
    vm.shim_pidfd = std::move(pidfd);
    auto watch = loop_.watch(vm.shim_pidfd, EPOLLIN, [this, id = vm.record.id](uint32_t) {
        const auto found = vms_.find(id);
        if (found == vms_.end()) return;
        loop_.unwatch(std::exchange(found->second.shim_watch, 0));
        // Its last words may still be in the socket: the link's end, which follows, decides.
        if (found->second.link == nullptr)
            shim_closed(id, Error(ErrorCode::ConnectionLost, "its shim ended"));
    });
    if (watch) vm.shim_watch = *watch;
}

void Supervisor::connect_shim(const std::string& id) {
    const auto found = vms_.find(id);
    if (found == vms_.end() || found->second.cleaning || is_over(found->second.record.state)) return;
    VmLink::Handlers handlers;
    handlers.state = [this, id](const VmLink::State& state) { shim_told(id, state); };
    handlers.metadata = [this, id](ByteView section) { take_metadata(id, section); };
    handlers.progress = [this, id](uint64_t done, uint64_t total) {
        const auto vm = vms_.find(id);
        if (vm != vms_.end()) vm->second.record.progress = Progress{.done = done, .total = total};
    };
    handlers.ne_line_wanted = [this, id](uint32_t restarts) { ne_line_wanted(id, restarts); };
    handlers.closed = [this, id](const Error& error) { shim_closed(id, error); };
    auto link = VmLink::connect(loop_, vm_directory(id) + "/" + api::shim::kSocketName, std::move(handlers));
    if (!link) return shim_closed(id, link.error());
    found->second.link = std::move(*link);
}

void Supervisor::shim_told(const std::string& id, const VmLink::State& state) {
    const auto found = vms_.find(id);
    if (found == vms_.end() || found->second.cleaning) return;
    Vm& vm = found->second;
    if (state.told.vm_id.text() != std::optional<std::string_view>(id))
        return shim_closed(id, Error(ErrorCode::InvalidMessage, "the shim speaks for another VM"));
    vm.link_losses = 0;
    const bool adopted = std::exchange(vm.adopting, false);
    const VmState before = vm.record.state;
    const bool was_ready = vm.record.ready;
    const uint32_t restarts = vm.record.restarts;
    take_facts(vm.record, state.told);
    const VmState now = state_of(state.phase);
    if (may_follow(before, now)) vm.record.state = now;
    if (now != VmState::Measuring) vm.record.progress.reset();
    vm.record.ready = vm.record.state == VmState::Running && state.phase == api::shim::Phase::Ready;
    if (state.phase == api::shim::Phase::Starting || now == VmState::Running) fetch_console(vm);

    if (state.phase == api::shim::Phase::Ended) {
        const auto reason = api::stop_reason_from(state.told.reason).value_or(api::StopReason::VmmCrashed);
        std::optional<StoredError> error;
        if (reason == api::StopReason::LaunchFailed)
            error = StoredError{.code = known_code(state.told.error_code), .message = state.detail};
        vm.record.exit_status = state.told.exit_status;
        return end(vm, std::string(api::stop_reason_name(reason)), state.detail, std::move(error));
    }
    if (adopted) commit_or_retry(vm, "adopted", std::string(state_name(vm.record.state)));
    if (vm.record.state != before) {
        commit_or_retry(vm, "state", std::string(state_name(vm.record.state)));
    } else if (vm.record.ready != was_ready) {
        commit_or_retry(vm, "ready");
    } else if (vm.record.restarts != restarts) {
        commit_or_retry(vm, "restarted", std::to_string(vm.record.restarts));
    } else if (!adopted) {
        commit_or_retry(vm, "");
    }
    if (vm.record.is_carved()) carved_changed(vm);
    if (vm.record.restarts != restarts) unjoin_provisioned(id);
    join_provisioned(vm.record.is_primary() ? id : vm.record.parent);
    follow_balloon(id);
    // Asked to stop before its shim could be told, or by the daemon's earlier life.
    if (before == VmState::Stopping && now != VmState::Stopping && !vm.stop_sent)
        send_stop(vm, std::chrono::milliseconds(0));
}

// For people: what an image says of itself may be anything.
void Supervisor::take_metadata(const std::string& id, ByteView section) {
    const auto found = vms_.find(id);
    const auto metadata = eif::Metadata::parse(section);
    if (found == vms_.end() || !metadata) return;
    const auto text = metadata->encode();
    if (!text || as_text(*text) == found->second.record.image_metadata) return;
    found->second.record.image_metadata = as_text(*text);
    commit_or_retry(found->second, "");
}

void Supervisor::shim_closed(const std::string& id, const Error& error) {
    const auto found = vms_.find(id);
    if (found == vms_.end()) return;
    Vm& vm = found->second;
    VmLink::retire(loop_, std::move(vm.link));
    if (vm.cleaning || is_over(vm.record.state)) return;
    const bool nobody_there = error.code() == ErrorCode::NotFound || error.errno_value() != 0;
    if (!nobody_there && ++vm.link_losses <= kMaxLinkLosses) {
        loop_.after(std::chrono::milliseconds(200 * vm.link_losses), [this, id] { connect_shim(id); });
        return;
    }
    log::warn("{}: its shim is lost: {}", id, error.to_string());
    if (vm.adopting && vm.hold == Hold::Memory && vm.record.state == VmState::Reserving) {
        vm.adopting = false;  // alcoved ended in the middle of its launch
        return launch_carved_again(id);
    }
    if (vm.adopting) {
        std::optional<StoredError> failure;
        if (vm.record.state < VmState::Running)
            failure = StoredError{.code = ErrorCode::EnclaveLaunchFailed,
                                  .message = "alcoved ended while it was being launched"};
        return end(vm, VmRecord::kLost, "nothing of it was left when alcoved came back", std::move(failure));
    }
    end(vm, std::string(api::stop_reason_name(api::StopReason::VmmCrashed)),
        "its shim is lost: " + error.to_string(), std::nullopt);
}

void Supervisor::fetch_console(Vm& vm) {
    if (!vm.record.has_console() || vm.console_ring.is_open() || vm.link == nullptr) return;
    vm.link->console([this, id = vm.record.id](Result<Fd> ring) {
        const auto found = vms_.find(id);
        if (found == vms_.end()) return;
        if (ring && !found->second.console_ring.is_open()) found->second.console_ring = std::move(*ring);
    });
}

void Supervisor::send_stop(Vm& vm, std::chrono::milliseconds force_after) {
    const std::string id = vm.record.id;
    force_after = std::clamp(force_after, std::chrono::milliseconds(0), std::chrono::milliseconds(60'000));
    if (vm.launching) return;  // launched() sees the state
    if (vm.link != nullptr) {
        vm.stop_sent = true;
        vm.link->stop(force_after, [id](const Result<void>& answer) {
            if (!answer)
                log::warn("{}: its shim did not take the order to stop: {}", id, answer.error().to_string());
        });
    }
    if (vm.force_timer != 0) return;
    vm.force_timer = loop_.after(force_after + config_.force_margin, [this, id] {
        const auto found = vms_.find(id);
        if (found == vms_.end() || found->second.cleaning) return;
        found->second.force_timer = 0;
        end(found->second, std::string(api::stop_reason_name(api::StopReason::Killed)),
            "its shim did not stop it in time", std::nullopt);
    });
}

// The VM has ended, or is to be treated so. What is left: its shim, its cgroup, its folder.
void Supervisor::end(Vm& vm, std::string reason, std::string detail, std::optional<StoredError> error) {
    if (vm.cleaning || is_over(vm.record.state)) return;
    const std::string id = vm.record.id;
    if (!has_ended(vm)) {
        loop_.cancel(std::exchange(vm.force_timer, 0));
        vm.record.state = VmState::Stopping;
        vm.record.ready = false;
        vm.record.progress.reset();
        vm.record.reason = std::move(reason);
        vm.record.detail = std::move(detail);
        vm.record.error = std::move(error);
        vm.record.ended_ms = wall_clock_ms();
        commit_or_retry(vm, "state", "stopping: " + vm.record.reason);
        if (vm.record.is_carved()) carved_changed(vm);
        if (vm.record.has_parent() && !vm.record.is_carved()) leave_fabric(vm);
        if (vm.record.is_primary()) abandon_enclaves(id);
    }
    if (vm.hold != Hold::Nothing) return;
    vm.cleaning = true;
    clean(id);
}

void Supervisor::clean(const std::string& id) {
    const auto found = vms_.find(id);
    if (found == vms_.end()) return;
    Vm& vm = found->second;
    if (vm.link != nullptr && vm.record.has_console() && !vm.console_ring.is_open()) {
        // The last chance: the ring goes with the shim.
        vm.link->console([this, id](Result<Fd> ring) {
            const auto again = vms_.find(id);
            if (again == vms_.end()) return;
            if (ring) again->second.console_ring = std::move(*ring);
            release_shim(id);
        });
        return;
    }
    release_shim(id);
}

// It has things of its own to end in order, at the attestor for one, and its VM before, where that has not
// ended by itself (its primary is over, or the end is forced). Remove kills a shim that can not.
void Supervisor::release_shim(const std::string& id) {
    const auto found = vms_.find(id);
    if (found == vms_.end()) return;
    Vm& vm = found->second;
    if (vm.link == nullptr) return remove_from_host(id);
    vm.link->stop(std::chrono::milliseconds(0), [](const Result<void>&) {});
    vm.link->release([this, id](const Result<void>&) { remove_from_host(id); });
}

void Supervisor::remove_from_host(const std::string& id) {
    broker_.remove(vm_id(id), [this, id](const Result<void>& removed) {
        if (removed) return gone(id);
        log::warn("{}: the broker did not remove it: {}", id, removed.error().to_string());
        loop_.after(config_.retry_after, [this, id] { remove_from_host(id); });
    });
}

void Supervisor::gone(const std::string& id) {
    const auto found = vms_.find(id);
    if (found == vms_.end() || is_over(found->second.record.state)) return;
    Vm& vm = found->second;
    VmLink::retire(loop_, std::move(vm.link));
    loop_.unwatch(std::exchange(vm.shim_watch, 0));
    vm.shim_pidfd.reset();
    vm.record.state = vm.record.error ? VmState::Failed : VmState::Stopped;
    vm.cleaning = false;
    // Free before it is told: a client that hears of the end may ask for the same cores at once.
    if (vm.record.has_parent()) return_lease(vm);
    vm.lease.give_back();
    const std::string detail = std::string(state_name(vm.record.state)) + ": " + vm.record.reason;
    commit_or_retry(vm, "state", detail);
    log::info("{}: {}", id, detail);
    for (const auto& done : std::exchange(vm.when_gone, {}))
        done();
    if (vm.forget) {
        const auto removed = remove(id);
        if (!removed) log::error("{}: its record cannot be removed: {}", id, removed.error().to_string());
    }
    prune();
}

void Supervisor::adopt(Store::Saved saved) {
    const std::string id = saved.record.id;
    Vm& vm = vms_[id];
    vm.record = std::move(saved.record);
    if (is_over(vm.record.state)) return;
    vm.adopting = true;
    if (!saved.grant.nodes.empty() || vm.record.is_carved()) {
        auto lease = ledger_.adopt(saved.grant);
        if (lease) {
            vm.lease = std::move(*lease);
        } else {
            log::error("{}: what it holds cannot be booked: {}", id, lease.error().to_string());
        }
    }
    if (vm.record.is_carved()) vm.hold = Hold::Memory;
    if (has_ended(vm) && vm.hold == Hold::Nothing) {
        // It had ended, and the cleaning was not done.
        vm.cleaning = true;
        return clean(id);
    }
    connect_shim(id);
}

void Supervisor::remove_leftovers() {
    broker_.list([this](Result<std::vector<api::broker::ListEntry>> listing) {
        if (!listing) {
            log::warn("the broker's VMs cannot be listed: {}", listing.error().to_string());
            return;
        }
        for (const auto& entry : *listing) {
            const auto vm = api::VmId::parse(entry.vm_id);
            if (!vm) continue;
            const auto found = vms_.find(vm->text());
            if (found != vms_.end() && !is_over(found->second.record.state)) continue;
            log::warn("{}: left over from an earlier time; removed", vm->text());
            broker_.remove(*vm, [text = vm->text()](const Result<void>& removed) {
                if (!removed) log::error("{}: cannot be removed: {}", text, removed.error().to_string());
            });
        }
    });
}

}  // namespace alcove::daemon

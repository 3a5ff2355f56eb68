// SPDX-License-Identifier: Apache-2.0
#include "daemon/supervisor.hpp"

#include <algorithm>
#include <cstdio>
#include <set>

#include "api/limits.hpp"
#include "crypto/random.hpp"
#include "daemon/network_json.hpp"
#include "daemon/sgx_backend.hpp"
#include "daemon/sgx_order.hpp"
#include "host/capacity.hpp"
#include "support/bits.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::daemon {

namespace {

constexpr size_t kMaxName = 64;

Result<void> check_name(const std::string& name) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
               c == '_' || c == '-';
    };
    if (name.size() > kMaxName || !std::ranges::all_of(name, allowed))
        return fail(ErrorCode::InvalidArgument, "a name has 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'");
    // An id must never be mistaken for another enclave's name.
    if (name.starts_with("i-") || name.starts_with("-"))
        return fail(ErrorCode::InvalidArgument, "a name begins neither with 'i-' nor with '-'");
    return {};
}

Failure nobody(const std::string& id_or_name, api::VmRole role = api::VmRole::Enclave) {
    const std::string what = role == api::VmRole::Primary ? "VM" : "enclave";
    return fail(ErrorCode::EnclaveNotFound, "no " + what + " is called '" + id_or_name + "'");
}

}  // namespace

Supervisor::Supervisor(EventLoop& loop, Store& store, host::Ledger& ledger, Changes& changes, Config config)
    : loop_(loop),
      store_(store),
      ledger_(ledger),
      changes_(changes),
      config_(std::move(config)),
      broker_(loop, config_.run_directory + "/broker.sock", [this] { remove_leftovers(); }) {}

Supervisor::~Supervisor() {
    for (auto& [id, vm] : vms_) {
        loop_.unwatch(vm.shim_watch);
        loop_.cancel(vm.force_timer);
    }
}

Result<void> Supervisor::start() {
    auto saved = TRY(store_.load());
    for (auto& one : saved)
        adopt(std::move(one));
    for (auto& [id, vm] : vms_) {
        if (!vm.record.is_primary()) continue;
        // Its end was stored, that of its enclaves perhaps not.
        if (has_ended(vm)) abandon_enclaves(id);
        if (is_over(vm.record.state) || vm.cleaning) continue;
        restore_provisioned(id);
        if (!vm.record.enclaves) continue;
        const auto restored = restore_carving(vm);
        if (!restored)
            log::error("{}: its enclaves can not be taken up: {}", id, restored.error().to_string());
    }
    broker_.start();
    return {};
}

std::string Supervisor::vm_directory(const std::string& id) const {
    return config_.run_directory + "/vm/" + id;
}

Result<void> Supervisor::check_name_is_free(const std::string& name) const {
    if (name.empty()) return {};
    TRY(check_name(name));
    for (const auto& [id, vm] : vms_)
        if (!is_over(vm.record.state) && vm.record.name == name)
            return fail(ErrorCode::EnclaveNameTaken, "'" + name + "' is the name of " + id);
    return {};
}

Result<void> Supervisor::check(const LaunchRequest& request) const {
    TRY(check_name_is_free(request.name));
    if (request.vcpus == 0 || request.vcpus > api::kMaxVcpus)
        return fail(ErrorCode::InvalidArgument, "a VM has 1 to " + std::to_string(api::kMaxVcpus) + " vCPUs");
    if (!is_aligned<uint64_t>(request.memory_bytes, 2_MiB) ||
        !api::is_memory_size(request.memory_bytes, static_cast<uint32_t>(host::page_bytes(request.pages))))
        return fail(ErrorCode::InvalidArgument, "memory is a multiple of 2 MiB, at most " +
                                                    std::to_string(api::kMaxMemoryBytes / 1_GiB) + " GiB");
    if (request.image_bytes == 0 || request.image_bytes > api::kMaxImageBytes)
        return fail(ErrorCode::InvalidArgument, "the image is empty, or larger than " +
                                                    std::to_string(api::kMaxImageBytes / 1_GiB) + " GiB");
    if (live_count() + request.provisioned.size() >= config_.max_enclaves)
        return fail(ErrorCode::LimitExceeded,
                    "this host runs at most " + std::to_string(config_.max_enclaves) + " VMs");
    for (const auto& [id, vm] : vms_) {
        if (is_over(vm.record.state)) continue;
        if (request.cid && vm.record.cid == *request.cid && !vm.record.has_parent())
            return fail(ErrorCode::AlreadyExists,
                        "CID " + std::to_string(*request.cid) + " belongs to " + id);
    }
    if (!api::is_disk_count_of(request.role, static_cast<uint32_t>(request.disks.size())))
        return fail(ErrorCode::InvalidArgument,
                    "a VM has at most " + std::to_string(api::kMaxDisks) + " disks, an enclave none");
    if (request.role == api::VmRole::Enclave && request.enclaves)
        return fail(ErrorCode::InvalidArgument, "only a VM carves enclaves out of itself");
    if (request.networks.size() > (request.role == api::VmRole::Primary ? api::kMaxNetworks : 0))
        return fail(ErrorCode::InvalidArgument,
                    "a VM has at most " + std::to_string(api::kMaxNetworks) + " networks, an enclave none");
    if (request.enclave_policy && !request.enclaves)
        return fail(ErrorCode::InvalidArgument, "only a VM that carves enclaves has a CPU policy for them");
    if (request.enclave_policy) TRY(check_enclave_policy(request.policy, *request.enclave_policy));
    if (request.role == api::VmRole::Primary && (request.cid || request.debug))
        return fail(ErrorCode::InvalidArgument, "a context id and debug mode are of enclaves");
    if (request.sgx && request.role != api::VmRole::Primary)
        return fail(ErrorCode::InvalidArgument, "only a VM has SGX, an enclave has none");
    if (request.sgx) TRY(check_sgx(*request.sgx, request.memory_bytes));
    ALCOVE_CHECK(request.spill.is_open() == (request.sgx && request.sgx->has_budget()),
                 "a budget and a spill file go together");
    if (request.cid && !api::is_guest_cid(*request.cid))
        return fail(ErrorCode::InvalidArgument, "a CID is between " + std::to_string(api::kMinGuestCid) +
                                                    " and " + std::to_string(api::kMaxGuestCid));
    if (!broker_.is_connected())
        return fail(ErrorCode::ConnectionLost, "alcove-broker cannot be reached: " + broker_.trouble());
    return {};
}

Result<uint64_t> Supervisor::choose_cid(const LaunchRequest& request) {
    if (request.role == api::VmRole::Primary) return api::kParentCid;
    if (request.cid) return *request.cid;
    std::set<uint64_t> used;
    for (const auto& [id, vm] : vms_)
        if (!is_over(vm.record.state) && !vm.record.has_parent()) used.insert(vm.record.cid);
    while (true) {
        const uint64_t cid = TRY(store_.next_cid(config_.first_cid));
        if (!api::is_guest_cid(cid)) return fail(ErrorCode::LimitExceeded, "every context id has been given");
        if (!used.contains(cid)) return cid;
    }
}

Result<std::string> Supervisor::make_id(api::VmRole role) const {
    while (role == api::VmRole::Primary) {
        std::string id = TRY(make_instance_id());
        if (id != store_.instance_id() && !vms_.contains(id)) return id;
    }
    // Ordered by time, as the slot ids that AWS gives: milliseconds, then 16 random bits.
    while (true) {
        const auto random = TRY(crypto::random_array<2>());
        const uint64_t number = (static_cast<uint64_t>(wall_clock_ms()) << 16) |
                                static_cast<uint64_t>(random[0] << 8 | random[1]);
        std::string id = enclave_id(store_.instance_id(), ne::to_slot_uid(number));
        if (!vms_.contains(id)) return id;
    }
}

std::string Supervisor::enclave_id(const std::string& instance, ne::SlotUid uid) {
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(ne::number(uid)));
    return instance + "-enc" + digits;
}

uint32_t Supervisor::free_slot(std::set<uint32_t> used) const {
    for (const auto& [id, vm] : vms_)
        if (!is_over(vm.record.state)) used.insert(vm.record.vmm_slot);
    uint32_t slot = 0;
    while (used.contains(slot))
        ++slot;
    return slot;  // max_enclaves is below the number of slots
}

size_t Supervisor::live_count() const {
    return static_cast<size_t>(
        std::ranges::count_if(vms_, [](const auto& entry) { return !is_over(entry.second.record.state); }));
}

const Supervisor::Vm* Supervisor::find_vm(const std::string& id_or_name,
                                          std::optional<api::VmRole> role) const {
    const auto is_asked_for = [&](const Vm& vm) { return !role || vm.record.role == *role; };
    const auto found = vms_.find(id_or_name);
    if (found != vms_.end()) return is_asked_for(found->second) ? &found->second : nullptr;
    if (id_or_name.empty()) return nullptr;
    const Vm* best = nullptr;
    for (const auto& [id, vm] : vms_) {
        if (vm.record.name != id_or_name || !is_asked_for(vm)) continue;
        const bool newer = best == nullptr || vm.record.created_ms >= best->record.created_ms;
        if (!is_over(vm.record.state) || (newer && (best == nullptr || is_over(best->record.state))))
            best = &vm;
    }
    return best;
}

Supervisor::Vm* Supervisor::find_vm(const std::string& id_or_name) {
    return const_cast<Vm*>(std::as_const(*this).find_vm(id_or_name));
}

Result<void> Supervisor::commit(Vm& vm, std::string_view event_kind, std::string detail) {
    Event event{.sequence = 0,
                .time_ms = wall_clock_ms(),
                .vm = vm.record.id,
                .kind = std::string(event_kind),
                .detail = std::move(detail)};
    TRY(is_over(vm.record.state) ? store_.save_and_free(vm.record, event) : store_.save(vm.record, event));
    vm.unsaved = false;
    changes_.bump();
    return {};
}

void Supervisor::commit_or_retry(Vm& vm, std::string_view event_kind, const std::string& detail) {
    auto saved = commit(vm, event_kind, detail);
    if (saved) return;
    log::error("{}: the change to '{}' is not stored: {}", vm.record.id, state_name(vm.record.state),
               saved.error().to_string());
    changes_.bump();
    if (vm.unsaved) return;  // a retry is under way, and saves whatever is true then
    vm.unsaved = true;
    loop_.after(config_.retry_after, [this, id = vm.record.id, kind = std::string(event_kind), detail] {
        const auto found = vms_.find(id);
        if (found == vms_.end() || !found->second.unsaved) return;
        found->second.unsaved = false;
        commit_or_retry(found->second, kind, detail);
    });
}

Result<VmRecord> Supervisor::launch(LaunchRequest request) {
    TRY(check(request));
    const auto share = TRY(share_of(request));
    if (request.sgx)
        request.sgx->backend =
            TRY(choose_backend(*request.sgx, config_.sgx, ledger_.free_hardware_epc_bytes()));
    const uint64_t epc = request.sgx ? epc_memory(*request.sgx) : 0;
    const uint64_t hardware_epc = request.sgx ? epc_of_hardware(*request.sgx) : 0;
    if (config_.memory_now) {
        const auto memory = config_.memory_now();
        if (memory) TRY(host::check_memory_now(*memory, request.memory_bytes, request.pages));
        if (memory && epc != 0)
            TRY(host::check_memory_now(*memory, epc, host::PageSize::Size4K).context("EPC"));
    }
    VmRecord record;
    record.id = TRY(make_id(request.role));
    record.role = request.role;
    auto lease = TRY(ledger_.reserve({.owner = record.id,
                                      .vcpus = request.vcpus,
                                      .memory_bytes = request.memory_bytes,
                                      .epc_bytes = epc,
                                      .hardware_epc_bytes = hardware_epc,
                                      .pages = request.pages,
                                      .policy = request.policy,
                                      .cpus = request.cpus}));
    record.cid = TRY(choose_cid(request));
    record.name = request.name;
    record.vcpus = share.vcpus;
    record.memory_bytes = share.memory_bytes;
    record.pages = request.pages;
    record.policy = request.policy;
    record.debug = request.debug;
    record.enclaves = request.enclaves;
    record.enclave_policy = request.enclave_policy.value_or(request.policy);
    record.image_bytes = request.image_bytes;
    record.sgx = request.sgx;
    for (const auto& disk : request.disks)
        record.disks.push_back(disk.record);
    for (const auto& network : request.networks)
        record.networks.push_back(
            {.kind = network.kind, .mac = network.mac.value_or(mac_of(record.id, record.networks.size()))});
    record.vmm_slot = free_slot();
    record.created_ms = wall_clock_ms();
    record.timings.requested = request.requested_ns;
    auto enclaves = TRY(provision(record, lease, request));
    std::vector<Store::Saved> all = {{.record = record, .grant = lease.grant()}};
    for (const auto& enclave : enclaves)
        all.push_back({.record = enclave.record, .grant = enclave.lease.grant()});
    TRY(store_.add(all));
    Vm& vm = vms_[record.id];
    vm.record = record;
    vm.lease = std::move(lease);
    std::vector<Fd> files;
    files.push_back(std::move(request.image));
    for (auto& disk : request.disks)
        files.push_back(std::move(disk.file));
    for (auto& network : request.networks)
        files.push_back(std::move(network.link));
    if (request.spill.is_open()) files.push_back(std::move(request.spill));
    order_launch(vm, std::move(files));
    for (auto& enclave : enclaves)
        launch_provisioned(std::move(enclave));
    changes_.bump();
    return record;
}

std::vector<VmRecord> Supervisor::list() const {
    std::vector<VmRecord> records;
    for (const auto& [id, vm] : vms_)
        records.push_back(vm.record);
    // An enclave's id ascends with time, a primary VM's does not.
    std::ranges::stable_sort(records, {}, &VmRecord::created_ms);
    return records;
}

Result<VmRecord> Supervisor::find(const std::string& id_or_name, api::VmRole role) const {
    const auto* vm = find_vm(id_or_name, role);
    if (vm == nullptr) return nobody(id_or_name, role);
    return vm->record;
}

Result<VmRecord> Supervisor::stop(const std::string& id_or_name, std::chrono::milliseconds force_after) {
    auto* vm = find_vm(id_or_name);
    if (vm == nullptr) return nobody(id_or_name);
    if (is_over(vm->record.state) || vm->record.state == VmState::Stopping) return vm->record;
    const auto before = vm->record;
    vm->record.state = VmState::Stopping;
    vm->record.ready = false;
    auto saved = commit(*vm, "state", "stopping: a client asked for it");
    if (!saved) {
        vm->record = before;
        return Failure{std::move(saved).error()};
    }
    send_stop(*vm, force_after);
    return vm->record;
}

Result<VmRecord> Supervisor::remove(const std::string& id_or_name) {
    auto* vm = find_vm(id_or_name);
    if (vm == nullptr) return nobody(id_or_name);
    const auto record = vm->record;
    if (!is_over(record.state)) {
        vm->forget = true;
        return stop(record.id, std::chrono::milliseconds(0));
    }
    TRY(store_.remove(
        record.id,
        {.sequence = 0, .time_ms = wall_clock_ms(), .vm = record.id, .kind = "removed", .detail = {}}));
    vms_.erase(record.id);
    changes_.bump();
    return record;
}

void Supervisor::counters(const std::string& id_or_name, Answer<Counters> answer) {
    auto* vm = find_vm(id_or_name);
    if (vm == nullptr) return answer(nobody(id_or_name));
    if (vm->link == nullptr) return answer(fail(ErrorCode::EnclaveNotReady, "its VMM cannot be asked now"));
    vm->link->statistics(std::move(answer));
}

void Supervisor::console(const std::string& id_or_name, Answer<Fd> answer) {
    auto* vm = find_vm(id_or_name);
    if (vm == nullptr) return answer(nobody(id_or_name));
    if (!vm->record.has_console())
        return answer(
            fail(ErrorCode::EnclaveNotDebug, "the enclave does not run in debug mode: it has no console"));
    if (vm->console_ring.is_open()) {
        auto ring = sys::duplicate(vm->console_ring.get());
        return answer(std::move(ring));
    }
    if (vm->link == nullptr)
        return answer(fail(ErrorCode::EnclaveNotReady, is_over(vm->record.state)
                                                           ? "its console is not kept any more"
                                                           : "its console does not exist yet"));
    vm->link->console(std::move(answer));
}

std::optional<host::Grant> Supervisor::grant(const std::string& id) const {
    const auto found = vms_.find(id);
    if (found == vms_.end() || !found->second.lease.holds()) return std::nullopt;
    return found->second.lease.grant();
}

void Supervisor::prune() {
    size_t over = 0;
    size_t consoles = 0;
    std::vector<std::string> old;
    const auto records = list();
    for (auto it = records.rbegin(); it != records.rend(); ++it) {
        if (!is_over(it->state)) continue;
        if (++over > config_.kept_records) old.push_back(it->id);
        auto& ring = vms_.at(it->id).console_ring;
        if (ring.is_open() && ++consoles > config_.kept_consoles) ring.reset();
    }
    for (const auto& id : old) {
        const auto removed = store_.remove(id, {});
        if (!removed) {
            log::error("{}: the old record cannot be removed: {}", id, removed.error().to_string());
            continue;
        }
        vms_.erase(id);
    }
}

}  // namespace alcove::daemon

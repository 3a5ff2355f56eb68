// SPDX-License-Identifier: Apache-2.0
#include "tests/machine/ne_host.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include "ne/slot_uid.hpp"
#include "support/bits.hpp"
#include "support/log.hpp"
#include "support/system.hpp"
#include "tests/machine/test_machine.hpp"

namespace alcove::tests {

namespace {

// guests/ne_client/enclave_memory.hpp
constexpr uint64_t kPatternMark = 0x416c636f;
constexpr uint64_t kReadAtOnce = 2_MiB;

ne::Parent parent_of(Primary& primary) {
    ne::Parent parent;
    for (const auto& mapped : primary.machine().memory()->mapped_regions())
        parent.ram.push_back(mapped.region.range);
    for (uint32_t i = 0; i < primary.machine().vcpus().size(); ++i)
        parent.core_of_vcpu.push_back(i);
    return parent;
}

Bytes read_at(const Fd& file, uint64_t offset, size_t length) {
    Bytes bytes(length, 0xff);
    static_cast<void>(sys::read_exact_at(file, bytes, offset).has_value());
    return bytes;
}

}  // namespace

NeHost::NeHost(Primary& primary)
    : primary_(primary),
      // The parent is made of a machine that exists.
      table_(ne::SlotTable::create(parent_of(primary), ne::system_slot_uids()).value()) {}

NeHost::~NeHost() = default;

void NeHost::execute(const ne::Request& request, Done done) {
    ++findings_.commands;
    const auto outcome = table_.begin(request);
    if (const auto* reply = std::get_if<ne::Reply>(&outcome)) return done(*reply);
    done_ = std::move(done);
    std::visit([this](const auto& work) { carry_out(work); }, std::get<ne::Work>(outcome));
}

void NeHost::finish(int32_t rc) {
    sample();
    const auto reply = table_.finish(rc);
    if (const auto done = std::exchange(done_, {})) done(reply);
    // A release that came meanwhile.
    if (released_) release_next();
}

void NeHost::carry_out(const ne::work::AddMemory& work) {
    auto& enclave = enclaves_[work.slot];
    enclave.size = work.enclave_offset + work.region.size;
    if (!enclave.file.is_open()) enclave.file = sys::memfd("enclave-ram").value();
    const bool refused = work.enclave_offset == 0 && !table_.find(work.slot)->vcpus.empty();
    const uint64_t room = refused ? work.region.size / 2 : enclave.size;
    if (!sys::truncate(enclave.file, room) ||
        (refused && ::fcntl(enclave.file.get(), F_ADD_SEALS, F_SEAL_GROW) != 0))
        ++findings_.failures;
    primary_.carver().take(
        work.region, {enclave.file, work.enclave_offset}, [this, work](Result<void> taken) {
            if (!taken) return finish(-ne::errno_of(taken.error()));
            for (const auto& mapped : primary_.machine().memory()->mapped_regions()) {
                if (!mapped.region.range.contains(work.region.base)) continue;
                const uint64_t at =
                    mapped.region.file_offset + (work.region.base.value() - mapped.region.range.base.value());
                const off_t data = ::lseek(primary_.ram().get(), static_cast<off_t>(at), SEEK_DATA);
                if (data >= 0 && static_cast<uint64_t>(data) < at + work.region.size)
                    findings_.bytes_left += at + work.region.size - static_cast<uint64_t>(data);
            }
            finish(0);
        });
}

// Cores have no owners in one process.
void NeHost::carry_out(const ne::work::AddVcpus&) {
    finish(0);
}

void NeHost::carry_out(const ne::work::Start& work) {
    ++findings_.starts;
    finish(0);
    // The command was answered; what becomes of the enclave now is an event.
    primary_.loop().post([this, uid = work.slot] {
        const auto found = enclaves_.find(uid);
        if (found == enclaves_.end()) return;
        check_order(found->second);
        const auto started = start_machine(uid, found->second);
        if (!started) {
            log::error("an enclave of the test: {}", started.error().to_string());
            ++findings_.failures;
        }
        const auto running = std::ranges::count_if(
            enclaves_, [](const auto& entry) { return entry.second.machine != nullptr; });
        findings_.most_running = std::max(findings_.most_running, static_cast<uint64_t>(running));
        sample();
    });
}

Result<void> NeHost::start_machine(ne::SlotUid uid, Enclave& enclave) {
    const auto* slot = table_.find(uid);
    const auto kernel = TRY(map_test_file(slot->is_debug() ? "halt.elf" : "hello.elf"));
    machine::MachinePlan plan;
    plan.kvm = TRY(sys::open("/dev/kvm", O_RDWR));
    plan.ram = TRY(sys::duplicate(enclave.file.get()));
    plan.memory_bytes = enclave.size;
    plan.vcpu_count = static_cast<uint32_t>(slot->vcpus.size());
    enclave.machine = TRY(machine::Machine::create(std::move(plan), primary_.loop()));
    boot::BootInputs inputs;
    inputs.kernel = kernel.bytes();
    TRY(enclave.machine->load(std::move(inputs)));
    return enclave.machine->start([this, uid](const machine::MachineEnd&) {
        if (table_.enclave_ended(uid)) device_->slot_changed();
    });
}

void NeHost::carry_out(const ne::work::Stop& work) {
    const auto found = enclaves_.find(work.slot);
    if (found != enclaves_.end()) found->second.machine.reset();
    finish(0);
}

void NeHost::carry_out(const ne::work::Free& work) {
    free(work.slot, [this] { finish(0); });
}

void NeHost::free(ne::SlotUid uid, std::function<void()> done) {
    const auto found = enclaves_.find(uid);
    const auto regions = table_.find(uid)->regions;
    if (found == enclaves_.end() || regions.empty()) {
        enclaves_.erase(uid);
        return done();
    }
    found->second.machine.reset();
    primary_.carver().give_back(regions, {found->second.file, 0},
                                [this, uid, regions, done = std::move(done)](Result<void> given) {
                                    if (!given) ++findings_.failures;
                                    for (const auto& range : regions)
                                        check_zero(range);
                                    enclaves_.erase(uid);
                                    done();
                                });
}

void NeHost::release_all(std::function<void()> released) {
    released_ = std::move(released);
    done_ = {};  // the command in hand is not answered
    if (!table_.in_hand()) release_next();
}

void NeHost::release_next() {
    if (!table_.is_releasing()) table_.begin_release();
    const auto slots = table_.slots();
    const auto next =
        std::ranges::find_if(slots, [this](const auto* slot) { return enclaves_.contains(slot->uid); });
    if (next != slots.end()) return free((*next)->uid, [this] { release_next(); });
    table_.finish_release();
    std::exchange(released_, {})();
}

// Regions concatenate in the order in which they were added.
void NeHost::check_order(const Enclave& enclave) {
    for (uint64_t at = 0; at < enclave.size; at += kReadAtOnce) {
        const auto bytes = read_at(enclave.file, at, kReadAtOnce);
        for (uint64_t page = 0; page < kReadAtOnce / 4_KiB; ++page) {
            uint64_t word = 0;
            std::memcpy(&word, bytes.data() + page * 4_KiB, sizeof word);
            const bool in_place = word == (kPatternMark << 32 | (at / 4_KiB + page));
            ++(in_place ? findings_.pages_in_place : findings_.pages_misplaced);
        }
    }
}

void NeHost::check_zero(const memory::GuestRange& range) {
    Bytes bytes(4_KiB);
    for (uint64_t at = range.base.value(); at < range.end(); at += bytes.size()) {
        const bool read =
            primary_.machine().memory()->read_bytes(memory::GuestAddress(at), bytes).has_value();
        if (!read || std::ranges::any_of(bytes, [](uint8_t byte) { return byte != 0; }))
            ++findings_.pages_not_zero;
    }
}

void NeHost::sample() {
    uint64_t bytes = bytes_in_use(primary_.ram());
    for (const auto& [uid, enclave] : enclaves_)
        if (enclave.file.is_open()) bytes += bytes_in_use(enclave.file);
    findings_.peak_bytes = std::max(findings_.peak_bytes, bytes);
    findings_.least_bytes = std::min(findings_.least_bytes, bytes);
}

}  // namespace alcove::tests

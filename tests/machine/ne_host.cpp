// SPDX-License-Identifier: Apache-2.0
#include "tests/machine/ne_host.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/ne_messages.hpp"
#include "ne/message_codec.hpp"
#include "ne/slot_uid.hpp"
#include "support/bits.hpp"
#include "support/log.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"
#include "tests/machine/test_machine.hpp"

namespace alcove::tests {

namespace {

namespace wire = api::ne;

// guests/ne_client/enclave_memory.hpp
constexpr uint64_t kPatternMark = 0x416c636f;
constexpr uint64_t kLeastRegion = 2_MiB;
constexpr uint64_t kCommandsOfALife = 7;

size_t count_descriptors() {
    const std::filesystem::directory_iterator open("/proc/self/fd");
    return static_cast<size_t>(std::distance(begin(open), end(open)));
}

}  // namespace

ne::Parent parent_of(Primary& primary) {
    ne::Parent parent;
    for (const auto& mapped : primary.machine().memory()->mapped_regions())
        parent.ram.push_back(mapped.region.range);
    for (uint32_t i = 0; i < primary.machine().vcpus().size(); ++i)
        parent.core_of_vcpu.push_back(i);
    return parent;
}

NeHost::NeHost(Primary& primary)
    : primary_(primary),
      ram_bytes_(bytes_in_use(primary.ram())),
      pages_(kLeastRegion),
      // The parent is made of a machine that exists.
      table_(ne::SlotTable::create(parent_of(primary), ne::system_slot_uids()).value()) {}

NeHost::~NeHost() = default;

// ---- The line ----

Fd NeHost::connect() {
    auto ends = sys::socket_pair(SOCK_SEQPACKET).value();
    line_ = api::Connection::create(
                primary_.loop(), Channel(std::move(ends.first)), wire::kProtocol, wire::kVersions,
                {.on_open = {},
                 .on_message = [this](const api::Envelope& envelope,
                                      const std::vector<Fd>&) { return on_message(envelope); },
                 .on_closed = [this](const Error&) { ++findings_.failures; }})
                .value();
    for (auto& message : std::exchange(waiting_, {}))
        line_->send(std::move(message));
    return std::move(ends.second);
}

void NeHost::send(Bytes message) {
    if (line_ == nullptr)
        waiting_.push_back(std::move(message));
    else
        line_->send(std::move(message));
}

Result<void> NeHost::on_message(const api::Envelope& envelope) {
    if (envelope.type != wire::ReleaseAll::kType) return on_request(envelope);
    const auto release = TRY(api::decode<wire::ReleaseAll>(envelope));
    release_all();
    send(api::encode(wire::Released{.request = release.request, .reserved = {}}));
    return {};
}

Result<void> NeHost::on_request(const api::Envelope& envelope) {
    const auto [id, request] = TRY(ne::decode_request(envelope));
    switch (last_.judge(id)) {
        case ne::LastAnswer::Verdict::New:
            break;
        case ne::LastAnswer::Verdict::Answered:
            ++findings_.repeated;
            send(ne::encode_reply(id, last_.reply()));
            return {};
        default:
            return fail(ErrorCode::InvalidMessage, "a command out of order");
    }
    last_.begin(id);
    ++findings_.commands;
    const auto outcome = table_.begin(request);
    if (const auto* reply = std::get_if<ne::Reply>(&outcome)) {
        answer(*reply);
        return {};
    }
    const int32_t rc =
        std::visit([this](const auto& work) { return carry_out(work); }, std::get<ne::Work>(outcome));
    sample();
    answer(table_.finish(rc));
    return {};
}

void NeHost::answer(const ne::Reply& reply) {
    last_.answer(reply);
    if (findings_.commands % kCommandsOfALife == 0)
        line_.reset();
    else
        send(ne::encode_reply(last_.saved().number, reply));
}

// ---- The work ----

int32_t NeHost::carry_out(const ne::work::AddMemory& work) {
    auto& enclave = enclaves_[work.slot];
    const uint64_t size = work.enclave_offset + work.region.size;
    if (!enclave.file.is_open())
        enclave.file = ram_file("enclave-ram", primary_.move_sizes().page, 0).value();
    const bool refused = work.enclave_offset == 0 && !table_.find(work.slot)->vcpus.empty();
    const uint64_t room = refused ? align_down(work.region.size / 2, primary_.move_sizes().page) : size;
    if (!sys::truncate(enclave.file, room) ||
        (refused && ::fcntl(enclave.file.get(), F_ADD_SEALS, F_SEAL_GROW) != 0))
        ++findings_.failures;
    if (refused) findings_.refused_after = room;
    const auto moved =
        memory::move_region(primary_.ram_at(work.region.base), {enclave.file, work.enclave_offset},
                            work.region.size, primary_.move_sizes(), moved_);
    if (!moved) return -ne::errno_of(moved.error());
    enclave.size = size;
    check_taken();
    return 0;
}

// Cores have no owners in one process.
int32_t NeHost::carry_out(const ne::work::AddVcpus&) {
    return 0;
}

// The command is answered first; what becomes of the enclave then is an event.
int32_t NeHost::carry_out(const ne::work::Start& work) {
    ++findings_.starts;
    primary_.loop().post([this, uid = work.slot] { start(uid); });
    return 0;
}

void NeHost::start(ne::SlotUid uid) {
    const auto found = enclaves_.find(uid);
    if (found == enclaves_.end()) return;
    check_order(found->second);
    const auto started = start_machine(uid, found->second);
    if (!started) {
        log::error("an enclave of the test: {}", started.error().to_string());
        ++findings_.failures;
    }
    const auto running =
        std::ranges::count_if(enclaves_, [](const auto& entry) { return entry.second.machine != nullptr; });
    findings_.most_running = std::max(findings_.most_running, static_cast<uint64_t>(running));
    sample();
}

Result<void> NeHost::start_machine(ne::SlotUid uid, Enclave& enclave) {
    const auto* slot = table_.find(uid);
    const auto kernel = TRY(map_test_file(slot->is_debug() ? "idle.elf" : "hello.elf"));
    machine::MachinePlan plan;
    plan.kvm = TRY(sys::open("/dev/kvm", O_RDWR));
    plan.ram = TRY(sys::duplicate(enclave.file.get()));
    plan.memory_bytes = enclave.size;
    plan.vcpu_count = static_cast<uint32_t>(slot->vcpus.size());
    enclave.machine = TRY(machine::Machine::create(std::move(plan), primary_.loop()));
    boot::BootInputs inputs;
    inputs.kernel = kernel.bytes();
    TRY(enclave.machine->load(std::move(inputs)));
    return enclave.machine->start([this, uid](const machine::MachineEnd&) { on_ended(uid); });
}

void NeHost::on_ended(ne::SlotUid uid) {
    if (!table_.enclave_ended(uid)) return;
    send(api::encode(wire::SlotChanged{
        .slot_uid = number(uid), .state = static_cast<uint16_t>(table_.find(uid)->state), .reserved = {}}));
}

int32_t NeHost::carry_out(const ne::work::Stop& work) {
    const auto found = enclaves_.find(work.slot);
    if (found != enclaves_.end()) found->second.machine.reset();
    return 0;
}

int32_t NeHost::carry_out(const ne::work::Free& work) {
    free(work.slot);
    return 0;
}

void NeHost::free(ne::SlotUid uid) {
    const auto found = enclaves_.find(uid);
    if (found == enclaves_.end()) return;
    found->second.machine.reset();
    on_free_(found->second.file);
    uint64_t at = 0;
    for (const auto& range : table_.find(uid)->regions) {
        if (!memory::return_region({found->second.file, at}, primary_.ram_at(range.base), range.size,
                                   primary_.move_sizes(), moved_))
            ++findings_.failures;
        check_zero(range);
        at += range.size;
    }
    enclaves_.erase(found);
}

void NeHost::release_all() {
    table_.begin_release();
    for (const auto* slot : table_.slots())
        free(slot->uid);
    table_.finish_release();
}

// ---- What must hold ----

// Regions concatenate in the order in which they were added.
void NeHost::check_order(const Enclave& enclave) {
    const auto mapping = Mapping::shared_read_only(enclave.file, enclave.size).value();
    for (uint64_t at = 0; at < enclave.size; at += 4_KiB) {
        uint64_t word = 0;
        std::memcpy(&word, mapping.data() + at, sizeof word);
        const bool in_place = word == (kPatternMark << 32 | at / 4_KiB);
        ++(in_place ? findings_.pages_in_place : findings_.pages_misplaced);
    }
}

void NeHost::check_taken() {
    uint64_t taken = 0;
    for (const auto& [uid, enclave] : enclaves_)
        taken += enclave.size;
    findings_.bytes_left += taken + bytes_in_use(primary_.ram()) - ram_bytes_;
}

// A read, because a mapping would fill the holes that it meets.
void NeHost::check_zero(const memory::GuestRange& range) {
    static constexpr std::array<uint8_t, 4_KiB> kZeros{};
    const auto part = primary_.ram_at(range.base);
    for (uint64_t at = 0; at < range.size; at += pages_.size()) {
        if (!sys::read_exact_at(part.file, pages_, part.offset + at)) ++findings_.failures;
        for (uint64_t page = 0; page < pages_.size(); page += kZeros.size())
            if (std::memcmp(pages_.data() + page, kZeros.data(), kZeros.size()) != 0)
                ++findings_.pages_not_zero;
    }
}

void NeHost::sample() {
    uint64_t bytes = bytes_in_use(primary_.ram());
    for (const auto& [uid, enclave] : enclaves_)
        if (enclave.file.is_open()) bytes += bytes_in_use(enclave.file);
    findings_.peak_bytes = std::max(findings_.peak_bytes, bytes);
    findings_.least_bytes = std::min(findings_.least_bytes, bytes);
    if (enclaves_.empty()) findings_.descriptors.insert(count_descriptors());
}

}  // namespace alcove::tests

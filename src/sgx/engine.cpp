// SPDX-License-Identifier: Apache-2.0
#include "sgx/engine.hpp"

#include <algorithm>

#include "crypto/rsa3.hpp"

namespace alcove::sgx {

namespace {

// Uses each primitive once.
void warm_up_cryptography(PageSealer& sealer) {
    const SealedHeader header{};
    const PageBytes plain{};
    PageBytes sealed;
    PageBytes opened;
    const auto made = sealer.seal(header, plain, sealed);
    ALCOVE_CHECK(sealer.open(header, made.version, made.mac, sealed, opened) && opened == plain,
                 "a library whose AES-GCM opens what it sealed");
    const auto digest = crypto::sha256({});
    ALCOVE_CHECK(crypto::Sha256Blocks().finish() == digest, "a library with one SHA-256");
    ALCOVE_CHECK(!crypto::verify_rsa3({5}, {}, digest), "a library that can tell a signature from none");
}

const LeafRow* find(std::span<const LeafRow> rows, uint32_t number, const Features& features) {
    if (number >= rows.size()) return nullptr;
    if (rows[number].generation == Generation::SGX2 && !features.sgx2) return nullptr;
    return &rows[number];
}

bool is_undefined(const ProcessorMode& mode, const Registers& regs, const Features& features) {
    return !mode.protected_mode || (regs.rflags & rflags::VM) != 0 || mode.smm || !features.sgx1;
}

}  // namespace

Engine::Engine(Sections sections, Features features, std::unique_ptr<PageStore> store, Platform platform)
    : sections_(std::move(sections)),
      features_(std::move(features)),
      store_(std::move(store)),
      platform_(std::move(platform)),
      epcm_(sections_.pages()),
      sealer_(platform_.paging_key()),
      parts_{.sections = sections_,
             .features = features_,
             .platform = platform_,
             .epcm = epcm_,
             .store = *store_,
             .sealer = sealer_} {
    ALCOVE_CHECK(
        encls_leaves().size() == encls_counters_.size() && enclu_leaves().size() == enclu_counters_.size(),
        "a counter for each leaf");
}

Result<std::unique_ptr<Engine>> Engine::create(Sections sections, Features features,
                                               std::unique_ptr<PageStore> store, const Key128& root) {
    if (features.xsave_size(features.xfrm) > kPageSize)
        return fail(ErrorCode::MachineConfig,
                    "enclaves are offered processor state of at most one page (no AMX)");
    auto platform = TRY(Platform::create(root));
    std::unique_ptr<Engine> engine(
        new Engine(std::move(sections), std::move(features), std::move(store), std::move(platform)));
    warm_up_cryptography(engine->sealer_);
    return engine;
}

Outcome<void> Engine::count(Counter& counter, Outcome<void> outcome) {
    // Statistics only.
    (outcome.has_value() ? counter.completed : counter.faulted).fetch_add(1, std::memory_order_relaxed);
    return outcome;
}

// "Priority of checks" (SDM vol. 3D, "ENCLS"). IA32_FEATURE_CONTROL always enables what there is.
Outcome<void> Engine::encls(Processor& processor, LeafContext& cpu) {
    const auto mode = cpu.mode();
    const auto& regs = cpu.registers();
    if (is_undefined(mode, regs, features_) || mode.cpl > 0) return kUndefinedOpcode;
    const auto* row = find(encls_leaves(), static_cast<uint32_t>(regs.rax), features_);
    TRY_LEAF(require(row != nullptr));
    TRY_LEAF(require(mode.paging && mode.long_mode_64));
    Call call(parts_, processor, cpu);
    auto outcome = count(encls_counters_.at(row->number), run_leaf(*row, call));
    if (outcome.has_value() && call.worked_for())
        count_for_enclave(*call.worked_for(), &Enclave::encls, row->number);
    return outcome;
}

Outcome<void> Engine::enclu(Processor& processor, LeafContext& cpu) {
    const auto mode = cpu.mode();
    const auto& regs = cpu.registers();
    if (is_undefined(mode, regs, features_)) return kUndefinedOpcode;
    if (mode.task_switched) return Exception{.vector = vector::NM};
    if (mode.cpl < 3) return kUndefinedOpcode;
    const auto* row = find(enclu_leaves(), static_cast<uint32_t>(regs.rax), features_);
    TRY_LEAF(require(row != nullptr));
    TRY_LEAF(require(mode.paging && mode.numeric_error && mode.long_mode_64));
    TRY_LEAF(require((row->place == Place::Inside) == processor.is_inside()));
    const PageIndex left = processor.is_inside() ? processor.inside->world.secs : PageIndex{};
    Call call(parts_, processor, cpu);
    auto outcome = count(enclu_counters_.at(row->number), run_leaf(*row, call));
    if (!outcome.has_value()) return outcome;
    // That of EEXIT is the one it left, that of EENTER and ERESUME the one they entered.
    count_for_enclave(processor.is_inside() ? processor.inside->world.secs : left, &Enclave::enclu,
                      row->number);
    return outcome;
}

template <size_t Leaves>
void Engine::count_for_enclave(PageIndex secs, std::array<uint64_t, Leaves> Enclave::*counters,
                               uint32_t leaf) {
    epcm_.with([&](EpcmState& state) {
        Enclave* enclave = state.enclave(secs);
        if (enclave != nullptr) ++(enclave->*counters).at(leaf);
    });
}

Outcome<Event> Engine::asynchronous_exit(Processor& processor, LeafContext& cpu, const Event& event) {
    ALCOVE_CHECK(processor.is_inside(), "an exit from inside");
    Call call(parts_, processor, cpu);
    auto outcome = sgx::asynchronous_exit(call, event);
    if (outcome.has_value()) asynchronous_exits_.fetch_add(1, std::memory_order_relaxed);
    return outcome;
}

Outcome<DirectAccess::Answer> Engine::check_access(const Processor& processor, uint64_t linear, Access access,
                                                   memory::GuestAddress address) {
    const Inside& inside = *processor.inside;
    if (!inside.contains(linear)) {
        TRY_LEAF(require(access != Access::Execute));
        return DirectAccess::Answer(DirectAccess::Ordinary{});
    }
    uint32_t error = pfec::P | pfec::U | pfec::SGX;
    if (access == Access::Write) error |= pfec::W;
    if (access == Access::Execute) error |= pfec::I;
    const Exception fault{.vector = vector::PF, .error_code = error, .address = linear};
    const auto page = sections_.find(address);
    if (!page) return fault;
    const auto entry = epcm_.with([&](EpcmState& state) { return state.entry(*page); });
    if (!allows_direct(entry, inside.world.secs, linear, access)) return fault;
    return DirectAccess::Answer(
        DirectAccess::Enclosed{.page = *page, .rights = entry.flags & secinfo::kRights});
}

Result<void> Engine::read_page(PageIndex page, uint64_t offset, MutableByteView into) {
    const auto pinned = TRY(store_->pin(page));
    pinned.read(offset, into);
    return {};
}

void Engine::drop_all() {
    epcm_.with([](EpcmState& state) { state.drop_all(); });
    for (uint32_t page = 0; page < sections_.pages(); ++page)
        store_->discard(PageIndex{page});
}

EngineReport Engine::report() const {
    EngineReport report{.sections = sections_.ranges(),
                        .valid_pages = 0,
                        .idle = {},
                        .occupancy = store_->occupancy(),
                        .asynchronous_exits = asynchronous_exits_.load(),
                        .enclaves = {},
                        .leaves = {}};
    epcm_.with([&](const EpcmState& state) {
        for (uint32_t page = 0; page < state.pages(); ++page) {
            report.valid_pages += state.entry(PageIndex{page}).VALID ? 1 : 0;
            report.idle.version_arrays += state.entry(PageIndex{page}).vacant ? 1 : 0;
        }
        for (const auto& [secs, enclave] : state.enclaves()) {
            if (enclave->is_idle()) {
                ++report.idle.secs;
                continue;
            }
            report.enclaves.push_back({.eid = enclave->eid,
                                       .mrenclave = enclave->secs.MRENCLAVE,
                                       .mrsigner = enclave->secs.MRSIGNER,
                                       .base = enclave->secs.BASEADDR,
                                       .size = enclave->secs.SIZE,
                                       .pages = enclave->children + 1,
                                       .threads_inside = static_cast<uint32_t>(enclave->occupants.size()),
                                       .entries = enclave->entries,
                                       .asynchronous_exits = enclave->asynchronous_exits,
                                       .encls = enclave->encls,
                                       .enclu = enclave->enclu,
                                       .initialized = enclave->is_initialized(),
                                       .debug = enclave->is_debug()});
        }
    });
    std::sort(report.enclaves.begin(), report.enclaves.end(),
              [](const auto& a, const auto& b) { return a.eid < b.eid; });
    const auto add = [&](std::span<const LeafRow> rows, const auto& counters) {
        for (const auto& row : rows)
            report.leaves.push_back({.name = row.name,
                                     .completed = counters.at(row.number).completed.load(),
                                     .faulted = counters.at(row.number).faulted.load()});
    };
    add(encls_leaves(), encls_counters_);
    add(enclu_leaves(), enclu_counters_);
    return report;
}

std::optional<std::string> Engine::find_inconsistency() const {
    return epcm_.with([](const EpcmState& state) { return state.find_inconsistency(); });
}

}  // namespace alcove::sgx

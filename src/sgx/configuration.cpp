// SPDX-License-Identifier: Apache-2.0
#include "sgx/configuration.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "codec/hex.hpp"
#include "memory/layout.hpp"
#include "support/bits.hpp"
#include "support/endian.hpp"

namespace alcove::sgx {

namespace {

template <typename Enum>
using Names = std::span<const std::pair<std::string_view, Enum>>;

constexpr std::pair<std::string_view, Backend> kBackends[] = {
    {"auto", Backend::Auto}, {"hardware", Backend::Hardware}, {"software", Backend::Software}};
constexpr std::pair<std::string_view, Population> kPopulations[] = {
    {"static", Population::Static},
    {"oversubscribe", Population::Oversubscribe},
    {"balloon", Population::Balloon}};
constexpr std::pair<std::string_view, KeyRoot> kKeyRoots[] = {
    {"vm", KeyRoot::Vm}, {"host", KeyRoot::Host}, {"ephemeral", KeyRoot::Ephemeral}};
constexpr std::pair<std::string_view, OnMigrate> kOnMigrate[] = {
    {"drop", OnMigrate::Drop}, {"suspend-first", OnMigrate::SuspendFirst}, {"carry", OnMigrate::Carry}};

Failure wrong(std::string what) {
    return fail(ErrorCode::MachineConfig, std::move(what));
}

template <typename Enum>
Result<Enum> parse(std::string_view key, std::string_view text, Names<Enum> names) {
    std::string known;
    for (const auto& [name, value] : names) {
        if (name == text) return value;
        known += (known.empty() ? "" : ", ") + std::string(name);
    }
    return wrong(std::string(key) + " is \"" + std::string(text) + "\"; it can be " + known);
}

template <typename Enum>
std::string_view name_of(Enum wanted, Names<Enum> names) {
    for (const auto& [name, value] : names)
        if (value == wanted) return name;
    return "unknown";
}

Failure not_yet(std::string what) {
    return fail(ErrorCode::Unsupported, std::move(what));
}

Failure not_here(const std::string& what, const std::string& instead) {
    return fail(ErrorCode::Unsupported,
                "this host's processors " + what + ": write " + instead + ", or sgx.backend = \"software\"");
}

Result<void> check_sections(const Configuration& configuration) {
    const auto& epc = configuration.epc;
    if (epc.empty()) return wrong("SGX needs EPC: add [[sgx.epc]] with a size");
    if (epc.size() > kMaxSections)
        return wrong("there are " + std::to_string(epc.size()) + " EPC sections; Linux sees at most 8");
    for (const auto& section : epc) {
        if (section.size_mib == 0) return wrong("an EPC section is at least 1 MiB");
        if (section.size_mib > (uint64_t{1} << 19)) return wrong("an EPC section is at most 512 GiB");
        if (section.base && !is_aligned<uint64_t>(section.base->value(), 1_MiB))
            return wrong("the base of an EPC section is a multiple of 1 MiB");
        if (section.node > kMaxNode)
            return wrong("the node of an EPC section is at most " + std::to_string(kMaxNode));
    }
    return {};
}

Result<void> check_population(const Configuration& configuration) {
    if (configuration.population == Population::Balloon) {
        if (configuration.balloon_mib) TRY(check_balloon(configuration, *configuration.balloon_mib));
    } else if (configuration.balloon_mib) {
        return wrong("sgx.balloon_mib goes with sgx.population = \"balloon\" only");
    }
    const bool oversubscribed = configuration.population == Population::Oversubscribe;
    if (!oversubscribed && configuration.budget_mib)
        return wrong("sgx.budget_mib goes with sgx.population = \"oversubscribe\" only");
    if (!oversubscribed) return {};
    if (!configuration.budget_mib)
        return wrong("sgx.population = \"oversubscribe\" needs sgx.budget_mib: how much EPC is resident");
    if (*configuration.budget_mib < kMinBudgetMib) return wrong("sgx.budget_mib is at least 1");
    if (*configuration.budget_mib >= configuration.size_mib())
        return wrong("sgx.budget_mib is less than the EPC; to have all resident use \"static\"");
    return {};
}

bool meets(const memory::GuestRange& range, const std::vector<memory::GuestRange>& others) {
    return std::any_of(others.begin(), others.end(),
                       [&](const memory::GuestRange& other) { return range.overlaps(other); });
}

Result<void> check_place(const memory::GuestRange& range, const std::vector<memory::GuestRange>& taken,
                         uint64_t address_limit) {
    const auto end = range.base.plus(range.size);
    if (!end || end->value() > address_limit)
        return wrong("an EPC section ends behind the machine's physical addresses");
    if (meets(range, taken))
        return wrong(
            "an EPC section lies over RAM, devices or another section; leave its base out to have it placed");
    return {};
}

// The lowest place from `from` on that meets nothing.
memory::GuestAddress next_free(memory::GuestAddress from, uint64_t size,
                               const std::vector<memory::GuestRange>& taken) {
    for (bool moved = true; moved;) {
        moved = false;
        for (const auto& other : taken) {
            if (!memory::GuestRange{from, size}.overlaps(other)) continue;
            from = memory::GuestAddress(align_up<uint64_t>(other.end(), 1_MiB));
            moved = true;
        }
    }
    return from;
}

}  // namespace

uint64_t Configuration::size_mib() const {
    uint64_t size = 0;
    for (const auto& section : epc)
        size += section.size_mib;
    return size;
}

uint64_t Configuration::resident_mib() const {
    return budget_mib.value_or(size_mib());
}

Result<Backend> parse_backend(std::string_view text) {
    return parse<Backend>("sgx.backend", text, kBackends);
}
Result<Population> parse_population(std::string_view text) {
    return parse<Population>("sgx.population", text, kPopulations);
}
Result<KeyRoot> parse_key_root(std::string_view text) {
    return parse<KeyRoot>("sgx.key_root", text, kKeyRoots);
}
Result<OnMigrate> parse_on_migrate(std::string_view text) {
    return parse<OnMigrate>("sgx.on_migrate", text, kOnMigrate);
}

std::string_view to_string(Backend backend) {
    return name_of<Backend>(backend, kBackends);
}
std::string_view to_string(Population population) {
    return name_of<Population>(population, kPopulations);
}
std::string_view to_string(KeyRoot key_root) {
    return name_of<KeyRoot>(key_root, kKeyRoots);
}
std::string_view to_string(OnMigrate on_migrate) {
    return name_of<OnMigrate>(on_migrate, kOnMigrate);
}

Result<LaunchHash> parse_launch_hash(std::string_view text) {
    const auto bytes = codec::hex_decode(text);
    std::array<Le64, 4> words;
    if (!bytes || bytes->size() != sizeof words)
        return wrong("sgx.launch_control.hash is the launch key's MRSIGNER: 64 hexadecimal digits");
    std::memcpy(words.data(), bytes->data(), sizeof words);
    LaunchHash hash;
    std::copy(words.begin(), words.end(), hash.begin());
    return hash;
}

std::string launch_hash_text(const LaunchHash& hash) {
    std::array<Le64, 4> words;
    std::copy(hash.begin(), hash.end(), words.begin());
    return codec::hex_encode(object_bytes(words));
}

Result<std::vector<std::string>> check(const Configuration& configuration) {
    TRY(check_sections(configuration));
    TRY(check_population(configuration));
    if (configuration.backend == Backend::Hardware) TRY(check_for_hardware(configuration));
    if (!configuration.sgx1 && configuration.sgx2) return wrong("sgx.sgx2 needs sgx.sgx1");
    return remarks_on(configuration);
}

std::vector<std::string> remarks_on(const Configuration& configuration) {
    std::vector<std::string> remarks;
    if (!configuration.launch_hash_writable)
        remarks.emplace_back(
            "launch control is locked: Linux's driver writes the launch hash for each enclave, so it will "
            "not load "
            "and there will be no /dev/sgx_enclave");
    if (!configuration.sgx1)
        remarks.emplace_back(
            "without SGX1 there are no instructions to use the EPC with: Linux's driver will not load");
    if (configuration.key_root == KeyRoot::Host)
        remarks.emplace_back(
            "keys come from this host's root: enclaves of other VMs here with the same signer can open what "
            "this "
            "VM's enclaves sealed");
    if (configuration.key_root == KeyRoot::Ephemeral)
        remarks.emplace_back(
            "keys end with the VM: what its enclaves seal cannot be opened after the next start");
    return remarks;
}

Result<void> check_for_hardware(const Configuration& configuration) {
    if (configuration.population != Population::Static)
        return wrong(
            "EPC of the hardware backend is all there from the beginning: sgx.population must be "
            "\"static\"; others need sgx.backend = \"software\"");
    if (configuration.on_migrate == OnMigrate::Carry)
        return wrong(
            "sgx.on_migrate = \"carry\" needs the software backend: hardware EPC cannot leave its machine");
    if (configuration.key_root != KeyRoot::Host)
        return wrong("the hardware backend has the processor's keys: sgx.key_root must be \"host\"");
    return {};
}

Result<void> check_abilities(const Configuration& configuration, HardwareAbilities abilities) {
    if (configuration.sgx1 && !abilities.sgx1)
        return not_here("have no SGX1, or firmware has turned it off", "sgx.sgx1 = false");
    if (configuration.sgx2 && !abilities.sgx2) return not_here("have no SGX2", "sgx.sgx2 = false");
    if (abilities.launch_control) return {};
    if (configuration.launch_hash_writable)
        return not_here("have no launch control, so the launch hash cannot be written",
                        "sgx.launch_control.writable = false");
    if (configuration.launch_hash != kIntelLaunchHash)
        return not_here("have no launch control, so the launch key is Intel's", "no sgx.launch_control.hash");
    return {};
}

Result<void> check_available(const Configuration& configuration) {
    if (configuration.on_migrate != OnMigrate::Drop)
        return not_yet(
            "VMs can not be migrated yet, and enclaves would be lost with it: sgx.on_migrate is \"drop\"");
    return {};
}

Result<void> check_balloon(const Configuration& configuration, uint64_t mib) {
    if (mib < configuration.size_mib()) return {};
    return wrong("a balloon of " + std::to_string(mib) + " MiB leaves nothing of EPC that is " +
                 std::to_string(configuration.size_mib()) + " MiB: 1 MiB less is the most");
}

Result<Sections> place_sections(const Configuration& configuration, memory::GuestAddress above_ram,
                                const std::vector<memory::GuestRange>& occupied, uint64_t address_limit) {
    auto taken = occupied;
    for (const auto& plan : configuration.epc) {
        if (!plan.base) continue;
        const memory::GuestRange range{*plan.base, plan.size_mib * 1_MiB};
        TRY(check_place(range, taken, address_limit));
        taken.push_back(range);
    }
    std::vector<memory::GuestRange> ranges;
    const memory::GuestAddress start(align_up<uint64_t>(above_ram.value(), 1_MiB));
    for (const auto& plan : configuration.epc) {
        const uint64_t size = plan.size_mib * 1_MiB;
        if (plan.base) {
            ranges.push_back({*plan.base, size});
            continue;
        }
        const memory::GuestRange range{next_free(start, size, taken), size};
        TRY(check_place(range, taken, address_limit));
        taken.push_back(range);
        ranges.push_back(range);
    }
    return Sections::create(std::move(ranges));
}

Result<Sections> place_sections(const Configuration& configuration,
                                const std::vector<memory::GuestRange>& ram,
                                const std::vector<memory::GuestRange>& devices, uint64_t address_limit) {
    auto occupied = devices;
    uint64_t above_ram = memory::layout::kHighRamStart;
    for (const auto& range : ram) {
        occupied.push_back(range);
        above_ram = std::max(above_ram, range.end());
    }
    return place_sections(configuration, memory::GuestAddress(above_ram), occupied, address_limit);
}

Features features_of(const Configuration& configuration, uint64_t xfrm,
                     std::vector<XsaveComponent> components) {
    Features features;
    features.sgx1 = configuration.sgx1;
    features.sgx2 = configuration.sgx2;
    features.attributes =
        attributes::DEBUG | attributes::MODE64BIT | attributes::EINITTOKEN_KEY | attributes::KSS;
    if (configuration.provision_key) features.attributes |= attributes::PROVISIONKEY;
    features.xfrm = xfrm;
    features.components = std::move(components);
    features.launch_hash = configuration.launch_hash;
    features.launch_hash_writable = configuration.launch_hash_writable;
    return features;
}

}  // namespace alcove::sgx

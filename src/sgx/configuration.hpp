// SPDX-License-Identifier: Apache-2.0
//
// What the user says about a VM's SGX, checked, and what follows from it: the sections' places, the
// processor's features. The texts are those of the VM's configuration file: `[[sgx.epc]]` and `sgx.*`.
//
// Errors: ErrorCode::MachineConfig, with what to write instead.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "memory/guest_address.hpp"
#include "sgx/features.hpp"
#include "sgx/sections.hpp"
#include "support/result.hpp"

namespace alcove::sgx {

// Linux enumerates at most eight (arch/x86/kernel/cpu/sgx, SGX_MAX_EPC_SECTIONS).
inline constexpr size_t kMaxSections = 8;
inline constexpr uint64_t kMinBudgetMib = 1;
// What Linux can count to as Debian builds it (drivers/acpi/numa/srat.c, MAX_PXM_DOMAINS).
inline constexpr uint32_t kMaxNode = 1023;

struct SectionPlan {
    uint64_t size_mib = 0;
    std::optional<memory::GuestAddress> base{};  // nothing: above RAM
    uint32_t node = 0;                           // of NUMA
    bool operator==(const SectionPlan&) const = default;
};

enum class Backend : uint8_t { Auto, Hardware, Software };
enum class Population : uint8_t { Static, Oversubscribe, Balloon };
// Whose the root secret is: who can open what an enclave of this VM sealed.
enum class KeyRoot : uint8_t { Vm, Host, Ephemeral };
enum class OnMigrate : uint8_t { Drop, SuspendFirst, Carry };

struct Configuration {
    std::vector<SectionPlan> epc{};
    Backend backend = Backend::Auto;
    bool sgx1 = true;
    bool sgx2 = true;
    LaunchHash launch_hash = kIntelLaunchHash;
    bool launch_hash_writable = true;
    bool provision_key = false;
    Population population = Population::Static;
    // Of oversubscribe, and of a balloon that was given back.
    std::optional<uint64_t> budget_mib{};
    std::optional<uint64_t> balloon_mib{};  // of balloon: what the guest is asked for; nothing without
    KeyRoot key_root = KeyRoot::Vm;
    OnMigrate on_migrate = OnMigrate::Drop;

    uint64_t size_mib() const;
    uint64_t resident_mib() const;  // of it, in memory at most
    // What is in memory can change.
    bool has_budget() const { return population != Population::Static; }
    bool operator==(const Configuration&) const = default;
};

Result<Backend> parse_backend(std::string_view text);
Result<Population> parse_population(std::string_view text);
Result<KeyRoot> parse_key_root(std::string_view text);
Result<OnMigrate> parse_on_migrate(std::string_view text);
std::string_view to_string(Backend backend);
std::string_view to_string(Population population);
std::string_view to_string(KeyRoot key_root);
std::string_view to_string(OnMigrate on_migrate);
// 64 hexadecimal digits: the MRSIGNER of the launch key, as tools print it.
Result<LaunchHash> parse_launch_hash(std::string_view text);
std::string launch_hash_text(const LaunchHash& hash);

// What is wrong, or else the remarks on it.
Result<std::vector<std::string>> check(const Configuration& configuration);
// What is well-formed and probably not meant: said when the file is read, and by the daemon.
std::vector<std::string> remarks_on(const Configuration& configuration);

// What a guest can be asked for, so that something is left to it.
Result<void> check_balloon(const Configuration& configuration, uint64_t mib);

// What the hardware backend can do of a configuration whatever the host: its EPC is all there from the
// beginning, its keys are the processor's.
Result<void> check_for_hardware(const Configuration& configuration);
// And what it can do of it on one host. ErrorCode::Unsupported says what to write instead.
struct HardwareAbilities {
    bool sgx1 = false;
    bool sgx2 = false;
    bool launch_control = false;  // the launch key's hash can be written
};
Result<void> check_abilities(const Configuration& configuration, HardwareAbilities abilities);

// What this release can not do yet, with what to write instead. ErrorCode::Unsupported.
Result<void> check_available(const Configuration& configuration);

// Sections with a base lie there; the others follow from `above_ram` on. None may meet what is `occupied`
// (RAM, MMIO), or end behind `address_limit`.
Result<Sections> place_sections(const Configuration& configuration, memory::GuestAddress above_ram,
                                const std::vector<memory::GuestRange>& occupied, uint64_t address_limit);
// The same beside this RAM and these devices: above both RAM and the gap below 4 GiB.
Result<Sections> place_sections(const Configuration& configuration,
                                const std::vector<memory::GuestRange>& ram,
                                const std::vector<memory::GuestRange>& devices, uint64_t address_limit);

// `xfrm` and `components` are the machine's.
Features features_of(const Configuration& configuration, uint64_t xfrm,
                     std::vector<XsaveComponent> components);

}  // namespace alcove::sgx

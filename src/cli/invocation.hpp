// SPDX-License-Identifier: Apache-2.0
//
// What a user asked for, as plain values: one structure a command. Paths and numbers are as given; what they
// mean is checked by the command.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "sgx/configuration.hpp"

namespace alcove::cli {

enum class HostChoice { Auto, Local, Embedded };

struct Globals {
    bool json = false;
    bool quiet = false;
    HostChoice host = HostChoice::Auto;
};

struct EnclaveRun {
    std::string image;
    uint32_t vcpus = 2;
    std::vector<uint32_t> cpus;          // of the host; if not empty, these
    std::optional<uint64_t> memory_mib;  // four times the image otherwise
    std::string pages = "4k";
    std::string policy = "dedicated";
    bool debug = false;
    std::string name;
    std::optional<uint64_t> cid;
    std::vector<std::string> egress;  // rules (egress/rules.hpp); none: no way out
    bool wait = true;
    std::chrono::seconds timeout{180};
};
// The way out of a running enclave.
struct EnclaveEgress {
    std::string enclave;
    std::vector<std::string> rules;
    uint32_t port = 3128;
};
// An enclave that starts with a VM, out of its share of the host: [[enclave]] in the VM's configuration.
struct ProvisionedEnclave {
    std::string image;  // a file
    std::string name;
    uint32_t vcpus = 2;
    std::optional<uint64_t> memory_mib;  // nothing: four times the image
    std::string policy;                  // empty: that of the VM's enclaves, or its own
    bool debug = false;
    std::optional<uint64_t> cid;
};
// What is set here overrides what the configuration says.
struct VmStart {
    std::string name;
    std::string configuration;  // a TOML file (vm_config.hpp)
    std::string kernel;         // a file, or "debian", which is also what it is without one
    std::string kernel_root;
    std::vector<std::string> ramdisks;
    std::vector<std::string> disks;     // "FILE" or "FILE,readonly"
    std::vector<std::string> networks;  // "user" or "tap=NAME", and ",mac=ADDRESS"
    std::optional<uint32_t> vcpus;
    std::optional<uint64_t> memory_mib;
    std::string pages;
    std::string policy;
    std::optional<bool> enclaves;  // may it carve enclaves out of itself; yes
    std::string enclave_policy;    // of those; empty: its own
    std::vector<ProvisionedEnclave> provisioned;
    std::vector<uint64_t> epc_mib;          // sections of EPC; none: those of `sgx`
    bool epc_balloon = false;               // the guest may give EPC back
    std::optional<sgx::Configuration> sgx;  // of the configuration file
    std::optional<std::string> command_line;
    bool wait = true;
    std::chrono::seconds timeout{180};
};

// The CPU policy of the enclaves that a VM carves from now on: set, or only shown when empty.
struct VmPolicy {
    std::string vm;
    std::string policy;
};
// The same from inside that VM, by its vsock.
struct NePolicy {
    std::string policy;
};

// What enclaves and primary VMs have in common.
enum class VmKind { Enclave, Primary };
struct VmList {
    VmKind kind = VmKind::Enclave;
};
struct VmInspect {
    VmKind kind = VmKind::Enclave;
    std::string vm;
    std::string path;  // "counters.kvm_runs"; empty: everything
};
struct VmConsole {
    VmKind kind = VmKind::Enclave;
    std::string vm;
    bool raw = false;  // no character of the guest's is held back
};
struct VmLogs {
    VmKind kind = VmKind::Enclave;
    std::string vm;
    bool raw = false;
};
struct VmStop {
    VmKind kind = VmKind::Enclave;
    std::vector<std::string> vms;
    bool all = false;
    bool wait = true;
    uint32_t force_after_ms = 5000;
};
struct VmRemove {
    VmKind kind = VmKind::Enclave;
    std::string vm;
};
struct VmConnect {
    VmKind kind = VmKind::Enclave;
    std::string vm;
    uint32_t port = 0;
};
struct VmListen {
    VmKind kind = VmKind::Enclave;
    std::string vm;
    uint32_t port = 0;
    bool keep = false;    // more than one connection
    std::string exec;     // for /bin/sh: a program for each connection
    std::string forward;  // "unix:PATH": a socket for each connection
};

struct ImageBuild {
    std::string kernel;       // a file, or "debian"
    std::string kernel_root;  // where modules are
    std::optional<std::string> command_line;
    std::string init;              // empty: the installed one
    std::string modules = "auto";  // "auto", "none", or names with commas
    std::string directory;
    std::string tar;
    std::vector<std::string> command;
    std::vector<std::string> environment;
    std::string name;
    std::string version;
    std::string output;
    std::string sign_key;
    std::string sign_certificate;
    bool compress = false;
};
struct ImageDescribe {
    std::string file;
};
struct ImageVerify {
    std::string file;
};
struct ImageSign {
    std::string file;
    std::string key;
    std::string certificate;
    std::string output;  // empty: in place
};
struct ImagePcr {
    std::string image;        // one of the three
    std::string input;        // any file
    std::string certificate;  // PEM
};

struct AttestVerify {
    std::string document;  // "-": standard input
    std::string root;
    bool root_from_host = false;
    std::string root_fingerprint;
    std::vector<std::string> pcrs;  // "N=HEX"
    std::string image;
    std::string nonce;
    std::string user_data;
    std::string public_key;
    std::string at;
    std::vector<std::string> revocation_lists;
    std::optional<uint64_t> max_age_seconds;
    bool allow_development = false;
    bool allow_debug = false;
};
struct AttestRoot {
    std::string output;  // empty: standard output
};

struct HostStart {
    std::optional<uint64_t> memory_mib;  // of the embedded host
};
struct HostStop {};
struct HostStatus {};
struct HostShell {
    std::vector<std::string> command;
};
struct HostCheck {};
struct HostMap {
    bool watch = false;  // draws it anew until interrupted
};

// What the host has, as a tree.
struct HostInspect {
    std::string path;  // "sgx.software"; empty: everything
};

struct SgxInfo {};
struct SgxList {
    std::string vm;  // empty: all that have SGX
};
// Of a running VM's EPC, how much is in memory, or how much its guest is asked for: one of the two.
struct SgxSet {
    std::string vm;
    std::optional<uint64_t> budget_mib;
    std::optional<uint64_t> balloon_mib;
};
// All EPC of a running VM is lost, as after a change of machines.
struct SgxDrop {
    std::string vm;
};

struct Explain {
    std::string code;  // empty: all of them
};
struct Version {};

using Command =
    std::variant<EnclaveRun, EnclaveEgress, VmStart, VmPolicy, NePolicy, VmList, VmInspect, VmConsole, VmLogs,
                 VmStop, VmRemove, VmConnect, VmListen, ImageBuild, ImageDescribe, ImageVerify, ImageSign,
                 ImagePcr, AttestVerify, AttestRoot, HostStart, HostStop, HostStatus, HostShell, HostCheck,
                 HostMap, HostInspect, SgxInfo, SgxList, SgxSet, SgxDrop, Explain, Version>;

struct Invocation {
    Globals globals;
    Command command;
};

// Exit codes: contract, docs/cli.md.
enum class Exit : int {
    Ok = 0,
    Error = 1,
    Usage = 2,
    NotVerified = 3,
    EnclaveEnded = 4,  // it ended before it was ready, or before it ran
    TimedOut = 5,      // it was not ready in time, and runs on
};

}  // namespace alcove::cli

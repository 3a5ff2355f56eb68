// SPDX-License-Identifier: Apache-2.0
#include "cli/parse.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <memory>

#include <CLI/CLI.hpp>

#include "cli/argument_parser.hpp"

namespace alcove::cli {

namespace {

// Collects what CLI11 finds while it parses; a command's structure becomes the invocation's when its
// subcommand was named.
class Arguments {
  public:
    Arguments() {
        app_.require_subcommand(1);
        app_.fallthrough();
        app_.set_version_flag("--version", ALCOVE_VERSION);
        app_.add_flag("--json", globals_.json, "Print one JSON object for programs");
        app_.add_flag("-q,--quiet", globals_.quiet, "No progress");
        app_.add_option("--host", host_, "Which host: auto, local or embedded")
            ->check(CLI::IsMember({"auto", "local", "embedded"}));
        add_enclave();
        add_vm();
        add_image();
        add_attest();
        add_host();
        add_sgx();
        auto* explain = command(app_, "explain", "What an error code means and what to do", explain_);
        explain->add_option("code", explain_.code, "E23, or image-crc; all of them without it");
        command(app_, "version", "The version of this program", version_);
    }

    Parsed parse(std::vector<std::string> arguments) {
        const bool json = std::ranges::find(arguments, "--json") != arguments.end();
        if (auto shown = parse_with(app_, std::move(arguments)))
            return {.invocation = {},
                    .text = std::move(shown->text),
                    .exit = shown->wrong ? Exit::Usage : Exit::Ok,
                    .json = json};
        if (host_ == "local") globals_.host = HostChoice::Local;
        if (host_ == "embedded") globals_.host = HostChoice::Embedded;
        return {.invocation = Invocation{.globals = globals_, .command = std::move(*chosen_)}, .text = {}};
    }

  private:
    template <typename T>
    CLI::App* command(CLI::App& parent, const std::string& name, const std::string& text, T& into) {
        auto* sub = parent.add_subcommand(name, text);
        sub->fallthrough();
        sub->callback([this, &into] { chosen_ = into; });
        return sub;
    }
    CLI::App* group(const std::string& name, const std::string& text) {
        auto* sub = app_.add_subcommand(name, text);
        sub->require_subcommand(1);
        sub->fallthrough();
        return sub;
    }

    static CLI::Option* add_memory(CLI::App& sub, const std::string& option, std::optional<uint64_t>& into,
                                   const std::string& text) {
        return sub.add_option_function<std::string>(
            option,
            [option, &into](const std::string& given) {
                const auto mib = parse_memory_mib(given);
                if (!mib) throw CLI::ValidationError(option, mib.error().message());
                into = *mib;
            },
            text);
    }

    static void add_port(CLI::App& sub, uint32_t& into, const std::string& text) {
        sub.add_option("port", into, text)->required()->check(CLI::Range(0.0, 4294967294.0));
    }

    void add_enclave();
    void add_vm();
    void add_common(CLI::App& group, VmKind kind);
    void add_image();
    void add_attest();
    void add_host();
    void add_sgx();

    CLI::App app_{"Alcove runs enclaves: small virtual machines that nobody outside can look into.",
                  "alcove"};
    Globals globals_;
    std::string host_ = "auto";
    std::optional<Command> chosen_;
    EnclaveRun run_;
    EnclaveEgress egress_;
    VmStart vm_start_;
    VmPolicy vm_policy_;
    NePolicy ne_policy_;
    // For each kind, in the order of VmKind.
    struct Common {
        VmList list;
        VmInspect inspect;
        VmConsole console;
        VmLogs logs;
        VmStop stop;
        VmRemove remove;
        VmConnect connect;
        VmListen listen;
    };
    std::array<Common, 2> common_;
    ImageBuild build_;
    ImageDescribe describe_;
    ImageVerify verify_;
    ImageSign sign_;
    ImagePcr pcr_;
    AttestVerify attest_;
    AttestRoot root_;
    HostStart start_;
    HostStop host_stop_;
    HostStatus status_;
    HostShell shell_;
    HostCheck check_;
    HostMap map_;
    HostInspect host_inspect_;
    SgxInfo sgx_info_;
    SgxList sgx_list_;
    SgxSet sgx_set_;
    SgxDrop sgx_drop_;
    Explain explain_;
    Version version_;
};

void Arguments::add_enclave() {
    auto* enclave = group("enclave", "Run enclaves and look after them");
    auto* run = command(*enclave, "run", "Start an enclave from an image", run_);
    run->add_option("image,--image,--eif-path", run_.image, "The enclave image (EIF)")->required();
    run->add_option("--cpus", run_.vcpus, "vCPUs")->check(CLI::Range(1, 32))->capture_default_str();
    add_memory(*run, "--memory", run_.memory_mib,
               "Memory in MiB, or with M, G or T; four times the image without it");
    run->add_option("--pages", run_.pages, "Host pages behind it: 4k or 2m")
        ->check(CLI::IsMember({"4k", "2m"}));
    run->add_option("--policy", run_.policy, "Host CPUs: dedicated (whole cores) or shared")
        ->check(CLI::IsMember({"dedicated", "shared"}));
    run->add_flag("--debug", run_.debug, "With a console; its measurements are then zero in documents");
    run->add_option("--name", run_.name, "A name to call it by");
    run->add_option("--cid", run_.cid, "Its vsock context id; chosen without it")
        ->check(CLI::Range(4.0, 4294967294.0));
    run->add_option("--egress", run_.egress,
                    "NAME:PORT, *.NAME:PORT, NAME:PORT=ADDRESS or ADDRESS/BITS:PORT: let it reach this, by "
                    "vsock port 3128 of CID 3 (repeatable)")
        ->expected(1)
        ->take_all();
    run->add_flag("--wait,!--no-wait", run_.wait, "Return when it is ready (the default), or at once");
    run->add_option_function<uint64_t>(
           "--timeout", [this](uint64_t seconds) { run_.timeout = std::chrono::seconds(seconds); },
           "Seconds to wait for it (180)")
        ->check(CLI::Range(1, 86400));

    auto* egress =
        command(*enclave, "egress", "Let an enclave reach what rules name, until it ends", egress_);
    egress->add_option("enclave", egress_.enclave, "Name or id")->required();
    egress->add_option("--allow", egress_.rules, "A rule, as `run --egress` takes it (repeatable)")
        ->required()
        ->expected(1)
        ->take_all();
    egress->add_option("--port", egress_.port, "The port that programs inside connect to")
        ->check(CLI::Range(1.0, 4294967294.0))
        ->capture_default_str();

    add_common(*enclave, VmKind::Enclave);
}

void Arguments::add_vm() {
    auto* vm = group("vm", "Run primary VMs: machines with disks, that enclaves can be carved out of");
    auto* start = command(*vm, "start", "Start a VM from a kernel", vm_start_);
    start->add_option("name", vm_start_.name, "A name to call it by");
    start->add_option("--config", vm_start_.configuration, "A TOML file that says what is not said here");
    start->add_option("--kernel", vm_start_.kernel, "A bzImage or ELF, or `debian` (the default)");
    start->add_option("--kernel-root", vm_start_.kernel_root, "An extracted kernel package, for `debian`");
    start->add_option("--ramdisk", vm_start_.ramdisks, "An initial ramdisk (repeatable)")
        ->expected(1)
        ->take_all();
    start->add_option("--disk", vm_start_.disks, "FILE[,readonly]: a raw disk image (repeatable, up to 8)")
        ->expected(1)
        ->take_all();
    start
        ->add_option("--net", vm_start_.networks,
                     "user or tap=NAME, and ,mac=ADDRESS: a network (repeatable, up to 3)")
        ->expected(1)
        ->take_all();
    start->add_option("--cpus", vm_start_.vcpus, "vCPUs (2)")->check(CLI::Range(1, 32));
    add_memory(*start, "--memory", vm_start_.memory_mib, "Memory in MiB, or with M, G or T (1G)");
    start->add_option("--pages", vm_start_.pages, "Host pages behind it: 4k (the default) or 2m")
        ->check(CLI::IsMember({"4k", "2m"}));
    start
        ->add_option("--policy", vm_start_.policy,
                     "Host CPUs: dedicated (the default: whole cores) or shared")
        ->check(CLI::IsMember({"dedicated", "shared"}));
    start->add_flag_callback(
        "--enclaves", [this] { vm_start_.enclaves = true; },
        "It may carve enclaves out of itself, through the Nitro Enclaves device (the default)");
    start->add_flag_callback(
        "--no-enclaves", [this] { vm_start_.enclaves = false; }, "It may not, and has no such device");
    start
        ->add_option("--enclave-policy", vm_start_.enclave_policy,
                     "Host CPUs of its enclaves: dedicated or shared (as its own, without it)")
        ->check(CLI::IsMember({"dedicated", "shared"}));
    start
        ->add_option_function<std::vector<std::string>>(
            "--epc",
            [this](const std::vector<std::string>& given) {
                for (const auto& text : given) {
                    const auto mib = parse_memory_mib(text);
                    if (!mib) throw CLI::ValidationError("--epc", mib.error().message());
                    vm_start_.epc_mib.push_back(*mib);
                }
            },
            "SGX: a section of EPC in MiB, or with M or G (repeatable, up to 8)")
        ->expected(1)
        ->take_all();
    start->add_flag("--epc-balloon", vm_start_.epc_balloon,
                    "SGX: the guest can be asked to give EPC back (sgx.population = \"balloon\")");
    start->add_option("--cmdline", vm_start_.command_line, "The kernel command line");
    start->add_flag("--wait,!--no-wait", vm_start_.wait, "Return when it runs (the default), or at once");
    start
        ->add_option_function<uint64_t>(
            "--timeout", [this](uint64_t seconds) { vm_start_.timeout = std::chrono::seconds(seconds); },
            "Seconds to wait for it (180)")
        ->check(CLI::Range(1, 86400));
    auto* policy = command(*vm, "policy",
                           "Show or set the CPU policy of enclaves that a VM carves from now on", vm_policy_);
    policy->add_option("vm", vm_policy_.vm, "Name or id")->required();
    policy->add_option("policy", vm_policy_.policy, "dedicated or shared")
        ->check(CLI::IsMember({"dedicated", "shared"}));
    add_common(*vm, VmKind::Primary);

    auto* ne = group("ne", "Inside a primary VM: what its host does for enclaves");
    auto* inside =
        command(*ne, "policy", "Show or set the CPU policy of enclaves from now on (root only)", ne_policy_);
    inside->add_option("policy", ne_policy_.policy, "dedicated or shared")
        ->check(CLI::IsMember({"dedicated", "shared"}));
}

// The commands that enclaves and VMs have in common.
void Arguments::add_common(CLI::App& group, VmKind kind) {
    auto& common = common_[kind == VmKind::Primary ? 1 : 0];
    const bool enclaves = kind == VmKind::Enclave;
    const std::string one = enclaves ? "enclave" : "vm";
    const std::string a_one = enclaves ? "an enclave" : "a VM";
    const std::string console_of = enclaves ? "the console of a debug enclave" : "the console of a VM";

    command(group, "list", enclaves ? "All enclaves of the host" : "All VMs of the host", common.list);
    auto* inspect = command(group, "inspect", "Everything live of " + a_one + ", as a tree", common.inspect);
    inspect->add_option(one, common.inspect.vm, "Name or id")->required();
    inspect->add_option("path", common.inspect.path, "A part of the tree: counters.kvm_runs");

    auto* console = command(group, "console", "Follow " + console_of, common.console);
    console->add_option(one, common.console.vm, "Name or id")->required();
    console->add_flag("--raw", common.console.raw, "Also pass control characters to a terminal");

    auto* logs = command(group, "logs", "What " + console_of + " has said, also when it ended", common.logs);
    logs->add_option(one, common.logs.vm, "Name or id")->required();
    logs->add_flag("--raw", common.logs.raw, "Also pass control characters to a terminal");

    auto* stop = command(group, "stop", enclaves ? "End enclaves" : "End VMs", common.stop);
    stop->add_option(one + "s", common.stop.vms, "Names or ids");
    stop->add_flag("--all", common.stop.all, "All of them");
    stop->add_flag("--wait,!--no-wait", common.stop.wait,
                   "Return when they are gone (the default), or at once");
    stop->add_option("--force-after", common.stop.force_after_ms, "Milliseconds until it is killed")
        ->check(CLI::Range(0, 60000))
        ->capture_default_str();

    auto* remove =
        command(group, "remove", "Forget " + a_one + "; it is ended first if it runs", common.remove);
    remove->add_option(one, common.remove.vm, "Name or id")->required();

    auto* connect =
        command(group, "connect", "Connect standard input and output to a vsock port", common.connect);
    connect->add_option(one, common.connect.vm, "Name or id")->required();
    add_port(*connect, common.connect.port, "The port that a program inside listens on");

    auto* listen = command(group, "listen",
                           enclaves ? "Serve a vsock port that the enclave connects to (of CID 3)"
                                    : "Serve a vsock port that the VM connects to (of CID 2)",
                           common.listen);
    listen->add_option(one, common.listen.vm, "Name or id")->required();
    add_port(*listen, common.listen.port, "The port that a program inside connects to");
    auto* exec = listen->add_option("--exec", common.listen.exec,
                                    "Run this (by /bin/sh) with the connection as standard input and output");
    listen
        ->add_option("--forward", common.listen.forward,
                     "unix:PATH: join the connection with one to this Unix socket")
        ->excludes(exec);
    listen->add_flag("--keep", common.listen.keep,
                     "Serve one connection after the other, and at once, until interrupted");

    common.list.kind = common.inspect.kind = common.console.kind = common.logs.kind = kind;
    common.stop.kind = common.remove.kind = common.connect.kind = common.listen.kind = kind;
}

void Arguments::add_image() {
    auto* image = group("image", "Build, look into, check and sign enclave images");
    auto* build = command(*image, "build", "Make an image from a kernel and an application", build_);
    build->add_option("--kernel", build_.kernel, "A bzImage or ELF, or `debian`")->default_val("debian");
    build->add_option("--kernel-root", build_.kernel_root,
                      "An extracted kernel package, with boot/ and lib/modules/ below it");
    build->add_option("--cmdline", build_.command_line, "The kernel command line");
    build->add_option("--init", build_.init, "The first program; Alcove's own without it");
    build->add_option("--modules", build_.modules, "auto, none, or names with commas")->capture_default_str();
    auto* directory = build->add_option("--directory", build_.directory, "The application: a directory");
    build->add_option("--tar", build_.tar, "The application: a tar archive, plain or compressed")
        ->excludes(directory);
    build
        ->add_option("command,--cmd", build_.command,
                     "The program to run and its arguments; options of its own after --")
        ->required()
        ->expected(1, 4096);
    build->add_option("--env", build_.environment, "NAME=value for it (repeatable)")->expected(1)->take_all();
    build->add_option("--name", build_.name, "The image's name");
    build->add_option("--version", build_.version, "The image's version");
    build->add_option("-o,--output", build_.output, "The image")->required();
    auto* key = build->add_option("--sign-key", build_.sign_key, "Sign with this key (PEM)");
    auto* certificate =
        build->add_option("--sign-cert", build_.sign_certificate, "and this certificate (PEM)");
    key->needs(certificate);
    certificate->needs(key);
    build->add_flag("--compress", build_.compress, "A smaller file that starts more slowly");

    auto* describe = command(*image, "describe", "What an image holds and measures", describe_);
    describe->add_option("image,--image,--eif-path", describe_.file, "The image")->required();

    auto* verify = command(*image, "verify", "Whether an image is intact and its signature right", verify_);
    verify->add_option("image,--image,--eif-path", verify_.file, "The image")->required();

    auto* sign = command(*image, "sign", "Sign an image, instead of any signature it has", sign_);
    sign->add_option("image,--image,--eif-path", sign_.file, "The image")->required();
    sign->add_option("--key,--sign-key", sign_.key, "P-256, P-384 or P-521 (PEM)")->required();
    sign->add_option("--cert,--sign-cert", sign_.certificate, "Its certificate (PEM)")->required();
    sign->add_option("-o,--output", sign_.output, "The signed image; in place without it");

    auto* pcr = command(*image, "pcr", "The measurements of an image, a file or a certificate", pcr_);
    auto* what = pcr->add_option_group("what");
    what->add_option("image,--image", pcr_.image, "An image: PCR0, 1, 2 and 8");
    what->add_option("--input", pcr_.input, "Any file: the PCR that its content makes");
    what->add_option("--certificate,--signing-certificate", pcr_.certificate, "A certificate (PEM): PCR8");
    what->require_option(1);
}

void Arguments::add_attest() {
    auto* attest = group("attest", "Check attestation documents");
    auto* verify = command(*attest, "verify", "Whether to believe a document", attest_);
    verify->add_option("document,--document", attest_.document, "The document (binary); - is standard input")
        ->required();
    auto* trust = verify->add_option_group("root", "What to trust; one of them");
    trust->add_option("--root", attest_.root, "The root certificate (PEM)");
    trust->add_flag("--root-from-host", attest_.root_from_host, "This host's own root");
    trust->add_option("--root-fingerprint", attest_.root_fingerprint, "SHA-256 of the root certificate");
    trust->require_option(1);
    verify->add_option("--pcr", attest_.pcrs, "N=HEX: what a PCR must be (repeatable)")
        ->expected(1)
        ->take_all();
    verify->add_option("--image", attest_.image, "An image whose PCRs must be in the document");
    verify->add_option("--nonce", attest_.nonce, "The nonce you gave, in hexadecimal");
    verify->add_option("--user-data", attest_.user_data, "The user data you expect, in hexadecimal");
    verify->add_option("--public-key", attest_.public_key, "The key you expect: a PEM or DER file");
    verify->add_option("--at", attest_.at,
                       "Check as of this time: 2026-01-31T12:00:00Z, or seconds since 1970");
    verify->add_option("--crl", attest_.revocation_lists, "Revoked certificates, PEM or DER (repeatable)")
        ->expected(1)
        ->take_all();
    verify->add_option("--max-age", attest_.max_age_seconds, "Seconds that the document may be old");
    verify->add_flag("--allow-development", attest_.allow_development, "Accept a development host's root");
    verify->add_flag("--allow-debug", attest_.allow_debug, "Accept an enclave in debug mode");

    auto* root = command(*attest, "root", "This host's root certificate (PEM)", root_);
    root->add_option("-o,--output", root_.output, "A file instead of standard output");
}

void Arguments::add_host() {
    auto* host = group("host", "The host that enclaves run on");
    auto* start = command(*host, "start", "Start the embedded host", start_);
    add_memory(*start, "--memory", start_.memory_mib,
               "Memory of the embedded host, in MiB, or with M, G or T");
    command(*host, "stop", "Stop the embedded host and all enclaves in it", host_stop_);
    command(*host, "status", "What the host has, and who holds it", status_);
    auto* shell = command(*host, "shell", "A shell, or a command, inside the embedded host", shell_);
    shell->add_option("command", shell_.command, "The command; options of its own after --");
    auto* map = command(*host, "map", "A picture of cores, memory and EPC by owner", map_);
    map->add_flag("--watch", map_.watch, "Draw it anew when it changes, until interrupted");
    auto* inspect = command(*host, "inspect", "Everything the host has, as a tree", host_inspect_);
    inspect->add_option("path", host_inspect_.path, "A part of the tree: sgx.software");
    command(*host, "check", "What this machine can and cannot do, and why", check_);
}

void Arguments::add_sgx() {
    auto* sgx = group("sgx", "SGX of the host and of VMs (a VM gets it with `vm start --epc`)");
    command(*sgx, "info", "What SGX the host has, in hardware and in software", sgx_info_);
    auto* list = command(*sgx, "list", "EPC and enclaves of VMs", sgx_list_);
    list->add_option("vm", sgx_list_.vm, "Name or id; all VMs with SGX without it");
    auto* set = command(
        *sgx, "set", "Set how much of a running VM's EPC is in memory, or is asked of its guest", sgx_set_);
    set->add_option("vm", sgx_set_.vm,
                    "Name or id of a VM with sgx.population = \"oversubscribe\" or \"balloon\"")
        ->required();
    auto* budget =
        add_memory(*set, "--budget", sgx_set_.budget_mib,
                   "Of an oversubscribed one: the rest goes to its spill file. MiB, or with M or G");
    set->add_option_function<std::string>(
           "--balloon",
           [this](const std::string& given) {
               const auto mib = given == "0" ? Result<uint64_t>(0) : parse_memory_mib(given);
               if (!mib) throw CLI::ValidationError("--balloon", mib.error().message());
               sgx_set_.balloon_mib = *mib;
           },
           "Of one with a balloon: what its guest is asked to give back. MiB, or with M or G, or 0")
        ->excludes(budget);
    auto* drop = command(*sgx, "drop", "Lose all EPC of a running VM at once, as after a change of machines",
                         sgx_drop_);
    drop->add_option("vm", sgx_drop_.vm, "Name or id")->required();
}

}  // namespace

Result<uint64_t> parse_memory_mib(const std::string& text) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const std::string_view suffix(end, static_cast<size_t>(text.data() + text.size() - end));
    unsigned shift = 0;
    bool good = error == std::errc{} && value > 0;
    if (suffix == "G" || suffix == "g") {
        shift = 10;
    } else if (suffix == "T" || suffix == "t") {
        shift = 20;
    } else if (!suffix.empty() && suffix != "M" && suffix != "m") {
        good = false;
    }
    if (!good || value > std::numeric_limits<uint64_t>::max() >> (shift + 20))
        return fail(ErrorCode::InvalidArgument, "'" + text + "' is no amount of memory: 512, 512M, 2G, 1T");
    return value << shift;
}

Parsed parse_arguments(const std::vector<std::string>& arguments) {
    // On the heap: the library's objects refer to one another.
    const auto parser = std::make_unique<Arguments>();
    return parser->parse(arguments);
}

}  // namespace alcove::cli

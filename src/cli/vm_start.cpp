// SPDX-License-Identifier: Apache-2.0
//
// alcove vm start. Kernel, command line and ramdisks go to the host as one file: an image, which here is
// only a container. Disks and networks go one by one. All are opened here, by the user who may open them.
#include <algorithm>

#include <fcntl.h>

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/installation.hpp"
#include "cli/interruption.hpp"
#include "cli/network_option.hpp"
#include "cli/passt.hpp"
#include "cli/progress.hpp"
#include "cli/provisioned_enclaves.hpp"
#include "cli/vm_access.hpp"
#include "cli/vm_config.hpp"
#include "eif/image_writer.hpp"
#include "eif/kernel_package.hpp"
#include "eif/metadata.hpp"
#include "sgx/configuration_json.hpp"
#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kMaxKernel = 256_MiB;
constexpr uint64_t kPiece = 1_MiB;
constexpr uint64_t kDefaultMemoryMib = 1024;
constexpr uint32_t kDefaultVcpus = 2;
constexpr const char* kDefaultCommandLine = "console=ttyS0 reboot=k panic=30";
constexpr std::string_view kReadOnlySuffix = ",readonly";

Result<Bytes> read_kernel(const VmStart& command) {
    if (!command.kernel.empty() && command.kernel != "debian")
        return sys::read_file(command.kernel, kMaxKernel);
    std::string root = command.kernel_root;
    if (root.empty()) root = TRY(find_kernel_root());
    const auto package = TRY(eif::KernelPackage::open(root));
    return package.read_kernel();
}

Result<void> add_ramdisk(eif::ImageWriter& writer, const std::string& path) {
    const auto file = TRY(sys::open(path, O_RDONLY));
    const uint64_t size = TRY(sys::file_size(file).context(path));
    TRY(writer.begin(eif::SectionType::Ramdisk));
    Bytes buffer(kPiece);
    for (uint64_t at = 0; at < size;) {
        const auto piece = MutableByteView(buffer).first(std::min(kPiece, size - at));
        TRY(sys::read_exact_at(file, piece, at).context(path));
        TRY(writer.append(piece));
        at += piece.size();
    }
    return writer.end();
}

// The file that the VM boots from, in memory.
Result<Fd> make_boot_image(const VmStart& command) {
    auto file = TRY(sys::memfd("alcove-boot-image"));
    const auto kernel = TRY(read_kernel(command));
    eif::Metadata metadata;
    metadata.image_name = command.name;
    metadata.build.build_tool = "alcove";
    metadata.build.build_tool_version = ALCOVE_VERSION;
    const auto section = TRY(metadata.encode());
    eif::ImageWriter writer(file, {});
    TRY(writer.add(eif::SectionType::Kernel, kernel));
    TRY(writer.add(eif::SectionType::CommandLine,
                   as_byte_view(command.command_line.value_or(kDefaultCommandLine))));
    TRY(writer.add(eif::SectionType::Metadata, section));
    for (const auto& ramdisk : command.ramdisks)
        TRY(add_ramdisk(writer, ramdisk));
    TRY(writer.finish());
    // The broker takes no image that somebody could still write to by what it is given.
    return sys::open("/proc/self/fd/" + std::to_string(file.get()), O_RDONLY);
}

// Disks at the host. Until the VM is there to own them, they go away with this object.
class HandedDisks {
  public:
    explicit HandedDisks(HostAccess& host) : host_(host) {}
    HandedDisks(const HandedDisks&) = delete;
    HandedDisks& operator=(const HandedDisks&) = delete;
    ~HandedDisks() {
        std::vector<std::string> serials;
        for (const auto& reference : references_)
            if (reference.contains("disk")) serials.push_back(reference["disk"].get<std::string>());
        host_.detach_disks(serials);
    }

    Result<void> hand_over(const std::string& disk) {
        const bool read_only = disk.ends_with(kReadOnlySuffix);
        const std::string path = disk.substr(0, disk.size() - (read_only ? kReadOnlySuffix.size() : 0));
        const auto file = TRY(sys::open(path, read_only ? O_RDONLY : O_RDWR));
        auto reference =
            TRY(host_.hand_over_disk(file, read_only ? DiskUse::ReadOnly : DiskUse::ReadWrite).context(path));
        references_.push_back(std::move(reference));
        return {};
    }
    Json json() const {
        Json list = Json::array();
        for (const auto& reference : references_)
            list.push_back(reference);
        return list;
    }
    void are_owned() { references_.clear(); }

  private:
    HostAccess& host_;
    std::vector<Json> references_;
};

// The network as the API takes it. What is behind it is made last, so that little has to be taken back.
Result<Json> hand_over_network(HostAccess& host, const NetworkOption& option) {
    Json network;
    if (option.tap.empty()) {
        const auto stream = TRY(host.hand_over_stream());
        TRY(start_passt(stream.other_end));
        network = {{"kind", "stream"}, {"token", stream.token}};
    } else {
        const auto token = TRY(host.hand_over_tap(option.tap));
        network = {{"kind", "tap"}, {"token", token}};
    }
    if (!option.mac.empty()) network["mac"] = option.mac;
    return network;
}

// Of VMs that ended by themselves, with nobody there to detach their disks.
Result<void> tidy_up(HostAccess& host) {
    const auto vms = TRY(list_vms(host.api(), VmKind::Primary));
    std::vector<std::string> serials;
    for (const auto& vm : vms)
        for (const auto& disk : vm.disks)
            if (vm.is_over() && !disk.serial.empty()) serials.push_back(disk.serial);
    host.detach_disks(serials);
    return {};
}

// Sections that the command names stand in the place of the file's. What is wrong with the whole is said
// here, before anything is done, and so is what is probably not meant.
Result<VmStart> with_sgx(VmStart command, const Output& output) {
    if (!command.epc_mib.empty()) {
        if (!command.sgx) command.sgx = sgx::Configuration{};
        command.sgx->epc.clear();
        for (const uint64_t mib : command.epc_mib)
            command.sgx->epc.push_back({.size_mib = mib});
    }
    if (command.epc_balloon) {
        if (!command.sgx) command.sgx = sgx::Configuration{};
        command.sgx->population = sgx::Population::Balloon;
    }
    if (!command.sgx) return command;
    const auto remarks = TRY(sgx::check(*command.sgx));
    TRY(sgx::check_available(*command.sgx));
    for (const auto& remark : remarks)
        output.note("SGX: " + remark);
    return command;
}

struct Started {
    Json json;
    VmView view;
    std::vector<StartedEnclave> enclaves;
};

Result<Started> start(const VmStart& command, HostAccess& host, Interruption& interruption,
                      Progress& progress) {
    std::vector<NetworkOption> options;
    for (const auto& text : command.networks) {
        auto option = TRY(parse_network(text));
        options.push_back(std::move(option));
    }
    TRY(tidy_up(host));
    progress.update("reading kernel and ramdisk");
    const auto image = TRY(make_boot_image(command));
    HandedDisks disks(host);
    for (const auto& disk : command.disks)
        TRY(disks.hand_over(disk));
    const auto handed = TRY(host.hand_over(image));
    const auto enclaves = TRY(hand_over_enclaves(command, host));
    if (interruption.happened()) return interrupted("nothing was started");
    Json body = {{"image", handed.reference()},
                 {"vcpus", command.vcpus.value_or(kDefaultVcpus)},
                 {"memory_mib", command.memory_mib.value_or(kDefaultMemoryMib)},
                 {"pages", command.pages.empty() ? "4k" : command.pages},
                 {"policy", command.policy.empty() ? "dedicated" : command.policy},
                 {"enclaves", command.enclaves.value_or(true)},
                 {"disks", disks.json()}};
    if (!enclaves.images.empty()) body["provisioned"] = enclaves.json;
    if (!command.name.empty()) body["name"] = command.name;
    for (const auto& option : options) {
        auto network = TRY(hand_over_network(host, option));
        body["networks"].push_back(std::move(network));
    }
    if (!command.enclave_policy.empty()) body["enclave_policy"] = command.enclave_policy;
    if (command.sgx) body["sgx"] = sgx::to_json(*command.sgx);
    auto json = TRY(host.api().post(vms_path(VmKind::Primary), body));
    disks.are_owned();
    auto view = TRY(read_vm(json, VmKind::Primary));
    // What has to be taken away is needed until it has been copied, whether anybody waits or not.
    if (!command.wait && !handed.is_needed() && !enclaves.are_needed())
        return Started{.json = std::move(json), .view = std::move(view), .enclaves = {}};
    bool enough = false;
    const auto deadline = Clock::now() + command.timeout;
    json = TRY(follow(host.api(), VmKind::Primary, view.id, "running", deadline, [&](const VmView& now) {
        progress.update(progress_text(now));
        const bool copied = now.state != "reserving" && now.state != "measuring";
        enough = now.is_over() || now.state == "running" || (!command.wait && copied);
        return enough || interruption.happened();
    }));
    if (!enough && interruption.happened()) return take_back(host.api(), VmKind::Primary, view.id);
    view = TRY(read_vm(json, VmKind::Primary));
    Started started{.json = std::move(json), .view = std::move(view), .enclaves = {}};
    if (enclaves.images.empty() || started.view.is_over()) return started;
    started.enclaves =
        TRY(follow_enclaves(started.view.id, command.wait, host, interruption, progress, deadline));
    if (interruption.happened()) return take_back(host.api(), VmKind::Primary, started.view.id);
    return started;
}

}  // namespace

Result<Exit> run(const VmStart& given, const Context& context) {
    auto configured = TRY(with_configuration(given));
    const auto command = TRY(with_sgx(std::move(configured), context.output));
    auto host = TRY(context.open_host());
    std::optional<Started> started;
    {
        auto interruption = TRY(Interruption::create());
        Progress progress(context.output, "starting the VM");
        started = TRY(start(command, *host, interruption, progress));
    }
    const auto& view = started->view;
    // One that ran and ended by itself is told as it is; one that never ran is an error.
    if (view.error) {
        context.output.error(ending_error(view));
        return Exit::EnclaveEnded;
    }
    Json json = started->json;
    json["host"] = std::string(host->kind());
    std::string text = render_vm(view);
    for (const auto& enclave : started->enclaves) {
        json["provisioned"].push_back(enclave.json);
        text += render_vm(enclave.view);
    }
    context.output.result(json, text);
    if (const auto remark = core_remark(view); !remark.empty()) context.output.note(remark);
    const auto exit = outcome_of(started->enclaves, command.wait, context.output);
    if (exit != Exit::Ok) return exit;
    if (!command.wait || view.state == "running" || view.is_over()) return Exit::Ok;
    context.output.note("it does not run after " + elapsed_text(command.timeout) +
                        "; it is still on its way");
    return Exit::TimedOut;
}

}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
//
// alcove image ...
#include <chrono>
#include <cstdio>
#include <ctime>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/image_files.hpp"
#include "cli/image_view.hpp"
#include "cli/installation.hpp"
#include "cli/progress.hpp"
#include "cli/replacement.hpp"
#include "codec/hex.hpp"
#include "eif/command_line.hpp"
#include "eif/describe.hpp"
#include "eif/directory_source.hpp"
#include "eif/image_builder.hpp"
#include "eif/tar_source.hpp"
#include "eif/verify.hpp"
#include "support/bits.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

constexpr uint64_t kMaxProgram = 256_MiB;  // kernel, init

// The same inputs give the same bytes: the time of building is the one that the builder sets
// (reproducible-builds.org, SOURCE_DATE_EPOCH), or the eif library's constant.
std::string build_time() {
    const std::string epoch = environment("SOURCE_DATE_EPOCH");
    if (epoch.empty()) return {};
    const auto seconds = static_cast<std::time_t>(std::strtoll(epoch.c_str(), nullptr, 10));
    std::tm fields{};
    if (::gmtime_r(&seconds, &fields) == nullptr) return {};
    char text[32];
    return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &fields)};
}

std::vector<std::string> split_names(const std::string& list) {
    std::vector<std::string> names;
    size_t begin = 0;
    while (begin < list.size()) {
        const size_t end = std::min(list.find(',', begin), list.size());
        if (end > begin) names.push_back(list.substr(begin, end - begin));
        begin = end + 1;
    }
    return names;
}

// The kernel and its modules: of a package, or a file alone (then it needs no modules, or a package for
// them).
Result<void> choose_kernel(const ImageBuild& command, eif::ImagePlan& plan) {
    const bool debian = command.kernel == "debian";
    std::string root = command.kernel_root;
    if (root.empty() && debian) root = TRY(find_kernel_root());
    std::optional<eif::KernelPackage> package;
    if (!root.empty()) package = TRY(eif::KernelPackage::open(root));
    plan.kernel = TRY(debian ? package->read_kernel() : sys::read_file(command.kernel, kMaxProgram));

    std::vector<eif::ModuleWish> wishes;
    if (command.modules == "auto") {
        if (package) wishes = eif::enclave_modules();
    } else if (command.modules != "none") {
        if (!package)
            return fail(ErrorCode::ImageBuildInput,
                        "--modules with names needs --kernel-root, where the modules are");
        for (const auto& name : split_names(command.modules))
            wishes.push_back({.name = name, .options = {}, .need = eif::ModuleWish::Need::Required});
    }
    if (package) plan.modules = TRY(package->resolve(wishes));
    return {};
}

Result<eif::ImagePlan> make_plan(const ImageBuild& command, Progress& progress) {
    eif::ImagePlan plan;
    progress.update("reading the kernel");
    TRY(choose_kernel(command, plan));
    const auto default_line = plan.modules.empty() ? eif::kReferenceCommandLine : eif::kModularCommandLine;
    plan.command_line = command.command_line.value_or(std::string(default_line));
    std::string init = command.init;
    if (init.empty()) init = TRY(find_init());
    plan.init = TRY(sys::read_file(init, kMaxProgram));
    progress.update("reading the application");
    if (!command.directory.empty()) {
        plan.application = TRY(eif::tree_from_directory(command.directory));
    } else if (!command.tar.empty()) {
        const auto tar = TRY(sys::open(command.tar, O_RDONLY));
        plan.application = TRY(eif::tree_from_tar(tar).context(command.tar));
    } else {
        return fail(ErrorCode::ImageBuildInput, "the application is given with --directory or --tar");
    }
    plan.command = command.command;
    plan.environment = command.environment;
    plan.metadata.image_name = command.name;
    plan.metadata.image_version = command.version;
    plan.metadata.build.build_time = build_time();
    plan.compression = command.compress ? eif::Compression::Gzip : eif::Compression::None;
    return plan;
}

struct Examined {
    Mapping file;
    eif::Image image;
    eif::Measurements measurements;
};
Result<Examined> examine(const std::string& path, const Output& output) {
    auto file = TRY(map_file(path));
    auto image = TRY(eif::Image::parse(file.bytes()).context(path));
    const Progress progress(output, "measuring " + path);
    const auto measurements = eif::measure(image);
    return Examined{.file = std::move(file), .image = std::move(image), .measurements = measurements};
}

Result<std::optional<eif::ImageSignature>> verify_all(const Examined& examined) {
    auto signature =
        TRY(eif::verify_image(examined.image, examined.measurements, std::chrono::system_clock::now()));
    TRY(eif::verify_metadata(examined.image));
    return signature;
}

std::optional<eif::Pcr> pcr8_of(const eif::Image& image) {
    if (!image.signature()) return std::nullopt;
    const auto signature = eif::ImageSignature::parse(*image.signature());
    if (!signature) return std::nullopt;
    return signature->pcr8();
}

}  // namespace

Result<Exit> run(const ImageBuild& command, const Context& context) {
    std::optional<Signer> signer;
    if (!command.sign_key.empty()) signer = TRY(read_signer(command.sign_key, command.sign_certificate));
    auto output = TRY(Replacement::create(command.output, 0644));
    std::optional<eif::BuiltImage> built;
    {
        Progress progress(context.output, "building the image");
        const auto plan = TRY(make_plan(command, progress));
        progress.update("writing " + command.output);
        std::optional<eif::ImageSigner> image_signer;
        if (signer)
            image_signer.emplace(eif::ImageSigner{.certificate = signer->certificate, .key = signer->key});
        built = TRY(eif::build_image(plan, image_signer ? &*image_signer : nullptr, output.file()));
        TRY(output.commit());
    }
    Json json = {{"image", command.output}, {"size", built->size}};
    json["Measurements"] = eif::measurements_json(built->measurements, built->pcr8);
    context.output.result(json,
                          command.output + "\n" + render_measurements(built->measurements, built->pcr8));
    return Exit::Ok;
}

Result<Exit> run(const ImageDescribe& command, const Context& context) {
    const auto examined = TRY(examine(command.file, context.output));
    const auto description =
        eif::describe(examined.image, examined.measurements, std::chrono::system_clock::now());
    context.output.result(eif::description_json(description), render_description(command.file, description));
    return Exit::Ok;
}

Result<Exit> run(const ImageVerify& command, const Context& context) {
    const auto examined = TRY(examine(command.file, context.output));
    const auto verified = verify_all(examined);
    if (!verified) {
        Json json = {{"verified", false}};
        json["error"] = error_object(verified.error())["error"];
        if (context.output.json()) context.output.object(json);
        context.output.streams().err(error_text(verified.error()));
        return Exit::NotVerified;
    }
    const bool is_signed = verified->has_value();
    std::optional<eif::Pcr> pcr8;
    if (is_signed) pcr8 = (*verified)->pcr8();
    Json json = {{"verified", true}, {"signed", is_signed}};
    json["Measurements"] = eif::measurements_json(examined.measurements, pcr8);
    std::string text = command.file + " is intact and ";
    text += is_signed ? "signed by " + (*verified)->certificate.subject_text() + "\n" : "not signed\n";
    context.output.result(json, text + render_measurements(examined.measurements, pcr8));
    return Exit::Ok;
}

Result<Exit> run(const ImageSign& command, const Context& context) {
    const auto signer = TRY(read_signer(command.key, command.certificate));
    const std::string target = command.output.empty() ? command.file : command.output;
    std::optional<eif::Measurements> measurements;
    {
        const Progress progress(context.output, "signing " + command.file);
        measurements = TRY(sign_file(command.file, signer, target));
    }
    const auto pcr8 = eif::pcr_of_certificate(signer.certificate);
    Json json = {{"image", target}};
    json["Measurements"] = eif::measurements_json(*measurements, pcr8);
    context.output.result(json, target + "\n" + render_measurements(*measurements, pcr8));
    return Exit::Ok;
}

Result<Exit> run(const ImagePcr& command, const Context& context) {
    if (!command.image.empty()) {
        const auto examined = TRY(examine(command.image, context.output));
        const auto pcr8 = pcr8_of(examined.image);
        context.output.result(eif::measurements_json(examined.measurements, pcr8),
                              render_measurements(examined.measurements, pcr8));
        return Exit::Ok;
    }
    if (!command.input.empty()) {
        const auto file = TRY(map_file(command.input));
        const auto pcr = [&] {
            const Progress progress(context.output, "measuring " + command.input);
            return codec::hex_encode(eif::pcr_of_content(file.bytes()));
        }();
        context.output.result({{"PCR", pcr}}, "PCR   " + pcr + "\n");
        return Exit::Ok;
    }
    const auto pem = TRY(read_text(command.certificate));
    const auto certificate = TRY(crypto::Certificate::from_pem(pem).context(command.certificate));
    const auto pcr = codec::hex_encode(eif::pcr_of_certificate(certificate));
    context.output.result({{"PCR8", pcr}}, "PCR8  " + pcr + "\n");
    return Exit::Ok;
}

}  // namespace alcove::cli

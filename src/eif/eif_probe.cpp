// SPDX-License-Identifier: Apache-2.0
//
// For tests and measurements from other languages: this folder's functions as a program. Not installed.
//
//   alcove_eif_probe describe IMAGE UNIX-TIME             JSON; the exit status is whether it verifies
//   alcove_eif_probe measure IMAGE                        JSON with the wall time in milliseconds
//   alcove_eif_probe sign IMAGE CERTIFICATE KEY OUTPUT
//   alcove_eif_probe build PLAN OUTPUT                    PLAN is a JSON object, see build() below
//   alcove_eif_probe pcr FILE | pcr-certificate FILE
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <span>

#include <fcntl.h>

#include <nlohmann/json.hpp>

#include "codec/hex.hpp"
#include "codec/json.hpp"
#include "eif/describe.hpp"
#include "eif/directory_source.hpp"
#include "eif/image_builder.hpp"
#include "eif/tar_source.hpp"
#include "eif/verify.hpp"
#include "support/mapping.hpp"
#include "support/system.hpp"

namespace alcove::eif {
namespace {

using codec::json::Json;
using Arguments = std::span<char*>;

constexpr uint64_t kMaxInput = 256_MiB;

Result<Mapping> map_file(const std::string& path) {
    const Fd file = TRY(sys::open(path, O_RDONLY));
    const uint64_t size = TRY(sys::file_size(file));
    return Mapping::read_only(file, size);
}

Result<Fd> create_output(const std::string& path) {
    return sys::open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
}

Result<bool> describe_command(Arguments arguments) {
    const Mapping file = TRY(map_file(arguments[0]));
    const crypto::TimePoint time{std::chrono::seconds(std::strtoll(arguments[1], nullptr, 10))};
    const Image image = TRY(Image::parse(file.bytes()));
    const Measurements measurements = measure(image);
    std::fputs(codec::json::dump_pretty(description_json(describe(image, measurements, time))).c_str(),
               stdout);
    const auto verified = verify_image(image, measurements, time);
    if (!verified) std::fprintf(stderr, "%s\n", verified.error().to_string().c_str());
    return verified.has_value();
}

Result<bool> measure_command(Arguments arguments) {
    const auto start = std::chrono::steady_clock::now();
    const Mapping file = TRY(map_file(arguments[0]));
    const Image image = TRY(Image::parse(file.bytes()));
    const Measurements measurements = measure(image);
    const std::chrono::duration<double, std::milli> wall = std::chrono::steady_clock::now() - start;
    Json json = measurements_json(measurements, std::nullopt);
    json["Milliseconds"] = wall.count();
    std::fputs(codec::json::dump_pretty(json).c_str(), stdout);
    return true;
}

struct SignerFiles {
    crypto::Certificate certificate;
    crypto::PrivateKey key;
};
Result<SignerFiles> read_signer(const std::string& certificate_path, const std::string& key_path) {
    const Bytes certificate_pem = TRY(sys::read_file(certificate_path, 64_KiB));
    const Bytes key_pem = TRY(sys::read_file(key_path, 64_KiB));
    auto certificate = TRY(crypto::Certificate::from_pem(as_text(certificate_pem)));
    auto key = TRY(crypto::PrivateKey::from_pem(as_text(key_pem)));
    return SignerFiles{std::move(certificate), std::move(key)};
}

Result<bool> sign_command(Arguments arguments) {
    const Mapping file = TRY(map_file(arguments[0]));
    const Image image = TRY(Image::parse(file.bytes()));
    const SignerFiles signer = TRY(read_signer(arguments[1], arguments[2]));
    const Fd output = TRY(create_output(arguments[3]));
    TRY(sign_image(image, {signer.certificate, signer.key}, output));
    return true;
}

Result<std::vector<std::string>> texts(const Json& object, std::string_view name) {
    const Json* array = TRY(codec::json::array_field(object, name));
    std::vector<std::string> list;
    for (const Json& item : *array)
        list.push_back(item.is_string() ? item.get_ref<const std::string&>() : "");
    return list;
}

// kernel_root (a package) or kernel (a file), init, directory or tar, command, environment, version, gzip
// (a level, 0 for none), and optionally name, certificate and key.
Result<bool> build_command(Arguments arguments) {
    const Bytes text = TRY(sys::read_file(arguments[0], 1_MiB));
    const Json json = TRY(codec::json::parse(as_text(text)));
    const auto optional = [&](std::string_view name) -> Result<std::string> {
        auto value = TRY(codec::json::optional_text_field(json, name));
        return std::move(value).value_or("");
    };
    ImagePlan plan;
    const std::string kernel_root = TRY(optional("kernel_root"));
    if (!kernel_root.empty()) {
        const KernelPackage package = TRY(KernelPackage::open(kernel_root));
        plan.kernel = TRY(package.read_kernel());
        plan.modules = TRY(package.resolve(enclave_modules()));
    } else {
        const std::string kernel = TRY(codec::json::text_field(json, "kernel"));
        plan.kernel = TRY(sys::read_file(kernel, kMaxInput));
    }
    plan.command_line = TRY(codec::json::text_field(json, "command_line"));
    const std::string init = TRY(codec::json::text_field(json, "init"));
    plan.init = TRY(sys::read_file(init, kMaxInput));
    const std::string directory = TRY(optional("directory"));
    if (!directory.empty()) {
        plan.application = TRY(tree_from_directory(directory));
    } else {
        const std::string tar = TRY(codec::json::text_field(json, "tar"));
        const Fd file = TRY(sys::open(tar, O_RDONLY));
        plan.application = TRY(tree_from_tar(file));
    }
    plan.command = TRY(texts(json, "command"));
    plan.environment = TRY(texts(json, "environment"));
    plan.options.version = static_cast<uint16_t>(TRY(codec::json::unsigned_field(json, "version")));
    const uint64_t level = TRY(codec::json::unsigned_field(json, "gzip"));
    plan.compression = level == 0 ? Compression::None : Compression::Gzip;
    plan.gzip_level = static_cast<int>(level);
    plan.metadata.image_name = TRY(optional("name"));

    const Fd output = TRY(create_output(arguments[1]));
    BuiltImage built{};
    const std::string certificate = TRY(optional("certificate"));
    if (certificate.empty()) {
        built = TRY(build_image(plan, nullptr, output));
    } else {
        const std::string key = TRY(codec::json::text_field(json, "key"));
        const SignerFiles files = TRY(read_signer(certificate, key));
        const ImageSigner signer{files.certificate, files.key};
        built = TRY(build_image(plan, &signer, output));
    }
    std::fputs(codec::json::dump_pretty(measurements_json(built.measurements, built.pcr8)).c_str(), stdout);
    return true;
}

Result<bool> pcr_command(Arguments arguments) {
    const Mapping file = TRY(map_file(arguments[0]));
    std::printf("%s\n", codec::hex_encode(pcr_of_content(file.bytes())).c_str());
    return true;
}

Result<bool> pcr_certificate_command(Arguments arguments) {
    const Bytes pem = TRY(sys::read_file(arguments[0], 64_KiB));
    const auto certificate = TRY(crypto::Certificate::from_pem(as_text(pem)));
    std::printf("%s\n", codec::hex_encode(pcr_of_certificate(certificate)).c_str());
    return true;
}

struct Command {
    std::string_view name;
    size_t arguments;
    Result<bool> (*run)(Arguments);
};
constexpr Command kCommands[] = {
    {"describe", 2, describe_command}, {"measure", 1, measure_command},
    {"sign", 4, sign_command},         {"build", 2, build_command},
    {"pcr", 1, pcr_command},           {"pcr-certificate", 1, pcr_certificate_command},
};

int run(Arguments arguments) {
    for (const Command& command : kCommands) {
        if (arguments.empty() || arguments[0] != command.name || arguments.size() != command.arguments + 1)
            continue;
        const auto done = command.run(arguments.subspan(1));
        if (!done)
            std::fprintf(stderr, "%s: %s\n", code_label(done.error().code()).c_str(),
                         done.error().to_string().c_str());
        return !done ? 2 : *done ? 0 : 1;
    }
    std::fputs("usage: describe | measure | sign | build | pcr | pcr-certificate\n", stderr);
    return 2;
}

}  // namespace
}  // namespace alcove::eif

int main(int argc, char** argv) {
    return alcove::eif::run({argv + 1, static_cast<size_t>(argc - 1)});
}

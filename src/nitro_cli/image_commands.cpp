// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/image_commands.hpp"

#include <fcntl.h>

#include <nlohmann/json.hpp>

#include "cli/image_files.hpp"
#include "codec/hex.hpp"
#include "eif/describe.hpp"
#include "nitro_cli/failure_code.hpp"
#include "nitro_cli/image_facts.hpp"
#include "support/system.hpp"

namespace alcove::nitro_cli {

using codec::json::Json;

Result<Json> describe_eif(const DescribeEif& command) {
    const auto file = TRY(coded(FailureCode::EifParsing, sys::open(command.eif_path, O_RDONLY)));
    return coded(FailureCode::EifParsing, describe_image(file).context(command.eif_path));
}

Result<Json> measure_file(const Pcr& command) {
    Json json = Json::object();
    if (command.input) {
        const auto file = TRY(coded(FailureCode::FileOperation, cli::map_file(*command.input)));
        json["PCR"] = codec::hex_encode(eif::pcr_of_content(file.bytes()));
        return json;
    }
    const auto path = command.signing_certificate.value_or("");
    const auto pem = TRY(coded(FailureCode::FileOperation, cli::read_text(path)));
    const auto certificate =
        TRY(coded(FailureCode::Hasher, crypto::Certificate::from_pem(pem).context(path)));
    json["PCR8"] = codec::hex_encode(eif::pcr_of_certificate(certificate));
    return json;
}

Result<Json> sign_eif(const SignEif& command, const cli::Streams& streams) {
    if (!command.eif_path) return fail(FailureCode::MissingArgument, "`eif-path`");
    if (!command.private_key)
        return fail(FailureCode::Signing, "`private-key` and `signing-certificate` are needed");
    if (command.private_key->starts_with("arn:"))
        return fail(FailureCode::Signing, "`private-key` names a key in a cloud's key service");
    const auto signer = TRY(
        coded(FailureCode::Signing, cli::read_signer(*command.private_key, *command.signing_certificate)));
    const auto measurements =
        TRY(coded(FailureCode::Signing, cli::sign_file(*command.eif_path, signer, *command.eif_path)));
    streams.err("Enclave Image successfully signed.\n");
    Json json = Json::object();
    json["Measurements"] = eif::measurements_json(measurements, eif::pcr_of_certificate(signer.certificate));
    return json;
}

Failure build_enclave(const BuildEnclave& command) {
    const std::string instead = "; `alcove image build --tar FILES --output " + command.output_file +
                                " -- PROGRAM` makes an image of files";
    if (command.docker_dir)
        return fail(FailureCode::DockerImageBuild, *command.docker_dir + " is not built here" + instead);
    return fail(FailureCode::DockerImagePull, command.docker_uri + " is not fetched" + instead);
}

}  // namespace alcove::nitro_cli

// SPDX-License-Identifier: Apache-2.0
#include "nitro_cli/arguments.hpp"

#include <algorithm>
#include <utility>

#include <CLI/CLI.hpp>

#include "cli/argument_parser.hpp"

namespace alcove::nitro_cli {

namespace {

// The command line of this version is what is kept.
constexpr const char* kVersion = "Nitro CLI 1.5.0 (Alcove " ALCOVE_VERSION ")";

class Arguments {
  public:
    Arguments() {
        app_.require_subcommand(1);
        app_.set_version_flag("-V,--version", kVersion);
        add_run();
        add_describe();
        add_terminate();
        add_console();
        add_images();
        auto* explain = command("explain", "What an error code means and what to do", explain_);
        explain->add_option("--error-code", explain_.error_code, "E26")->required();
    }

    Parsed parse(std::vector<std::string> arguments) {
        if (arguments.empty()) return {.command = {}, .text = app_.help(), .exit = kUsageExit};
        if (auto shown = cli::parse_with(app_, std::move(arguments)))
            return {.command = {}, .text = std::move(shown->text), .exit = shown->wrong ? kUsageExit : 0};
        return {.command = std::move(chosen_), .text = {}};
    }

  private:
    template <typename T>
    CLI::App* command(const std::string& name, const std::string& text, T& into) {
        auto* sub = app_.add_subcommand(name, text);
        sub->callback([this, &into] { chosen_ = into; });
        return sub;
    }
    // Exactly one of them has to be given.
    static void one_of(const std::vector<CLI::Option*>& options, CLI::App* sub) {
        for (size_t i = 0; i < options.size(); ++i)
            for (size_t j = i + 1; j < options.size(); ++j)
                options[i]->excludes(options[j]);
        sub->parse_complete_callback([options] {
            if (std::ranges::any_of(options, [](const auto* option) { return option->count() > 0; })) return;
            std::string names;
            for (const auto* option : options)
                names += (names.empty() ? "" : " or ") + option->get_name();
            throw CLI::RequiredError(names);
        });
    }
    static std::vector<CLI::Option*> add_choice(CLI::App* sub, EnclaveChoice& into) {
        return {sub->add_option("--enclave-id", into.id, "The enclave's id, as describe-enclaves prints it"),
                sub->add_option("--enclave-name", into.name, "The enclave's name")};
    }

    void add_run();
    void add_describe();
    void add_terminate();
    void add_console();
    void add_images();

    CLI::App app_{
        "Starts enclaves and looks after them, as AWS's nitro-cli does. In a primary VM they are taken out "
        "of "
        "it, by /dev/nitro_enclaves; elsewhere alcoved starts them.",
        "nitro-cli"};
    std::optional<Command> chosen_;
    RunEnclave run_;
    DescribeEnclaves describe_;
    TerminateEnclave terminate_;
    Console console_;
    DescribeEif describe_eif_;
    Pcr pcr_;
    SignEif sign_;
    BuildEnclave build_;
    Explain explain_;
    // Read for the sake of the command line; nothing is built.
    std::optional<std::string> ignored_;
};

void Arguments::add_run() {
    auto* run = command("run-enclave", "Start an enclave", run_);
    auto* image = run->add_option("--eif-path", run_.eif_path, "The enclave image");
    auto* memory = run->add_option("--memory", run_.memory,
                                   "Memory in MiB, or with M, G or T; it may become a little more");
    auto* count = run->add_option("--cpu-count", run_.cpu_count, "How many CPUs of the pool");
    auto* ids = run->add_option("--cpu-ids", run_.cpu_ids, "Which CPUs of the pool: 2 3")->excludes(count);
    auto* config = run->add_option("--config", run_.config, "Take everything from a JSON file");
    auto* cid = run->add_option("--enclave-cid", run_.enclave_cid, "Its context id; 0: any");
    auto* name =
        run->add_option("--enclave-name", run_.enclave_name, "Its name; that of the image without it");
    auto* debug = run->add_flag("--debug-mode", run_.debug_mode,
                                "With a console; its measurements are then zero in documents");
    run->add_flag("--attach-console", run_.attach_console, "Show the console at once; implies --debug-mode");
    for (auto* option : {image, memory, count, ids, cid, name, debug})
        config->excludes(option);
    run->parse_complete_callback([=] {
        if (config->count() > 0) return;
        if (image->count() == 0) throw CLI::RequiredError("--eif-path");
        if (memory->count() == 0) throw CLI::RequiredError("--memory");
        if (count->count() + ids->count() == 0) throw CLI::RequiredError("--cpu-count or --cpu-ids");
    });
}

void Arguments::add_describe() {
    auto* describe = command("describe-enclaves", "The enclaves that run", describe_);
    describe->add_flag("--metadata", describe_.metadata, "With the metadata of their images");
}

void Arguments::add_terminate() {
    auto* terminate = command("terminate-enclave", "End an enclave", terminate_);
    auto options = add_choice(terminate, terminate_.enclave);
    options.push_back(terminate->add_flag("--all", terminate_.all, "All that this user may end"));
    one_of(options, terminate);
}

void Arguments::add_console() {
    auto* console = command("console", "Show the console of an enclave in debug mode", console_);
    one_of(add_choice(console, console_.enclave), console);
    console->add_option("--disconnect-timeout", console_.disconnect_timeout, "For so many seconds");
}

void Arguments::add_images() {
    auto* describe = command("describe-eif", "What an enclave image is", describe_eif_);
    describe->add_option("--eif-path", describe_eif_.eif_path, "The enclave image")->required();

    auto* pcr = command("pcr", "The measurement of a file, or of a signing certificate", pcr_);
    one_of({pcr->add_option("--input", pcr_.input, "Any file: as PCR0 to 2 measure their content"),
            pcr->add_option("--signing-certificate", pcr_.signing_certificate, "PEM: PCR8")},
           pcr);

    auto* sign = command("sign-eif", "Sign an enclave image in place", sign_);
    sign->add_option("--eif-path", sign_.eif_path, "The enclave image");
    auto* certificate = sign->add_option("--signing-certificate", sign_.signing_certificate, "PEM");
    auto* key = sign->add_option("--private-key", sign_.private_key, "PEM");
    certificate->needs(key);
    key->needs(certificate);

    auto* build = command("build-enclave", "Not done by this program: see `alcove image build`", build_);
    build->add_option("--docker-uri", build_.docker_uri, "A container image")->required();
    build->add_option("--docker-dir", build_.docker_dir, "A folder to build it from");
    build->add_option("--output-file", build_.output_file, "The enclave image")->required();
    for (const char* option : {"--name", "--version", "--metadata"})
        build->add_option(option, ignored_, "Of the image");
    auto* build_certificate = build->add_option("--signing-certificate", ignored_, "PEM");
    auto* build_key = build->add_option("--private-key", ignored_, "PEM");
    build_certificate->needs(build_key);
    build_key->needs(build_certificate);
}

}  // namespace

Parsed parse_arguments(const std::vector<std::string>& arguments) {
    return Arguments().parse(arguments);
}

}  // namespace alcove::nitro_cli

// SPDX-License-Identifier: Apache-2.0
//
// Two trees, packed one behind the other straight into the image.
#include "eif/image_builder.hpp"

#include <algorithm>

#include <elf.h>

#include "eif/build_refusal.hpp"
#include "eif/command_line.hpp"
#include "eif/cpio.hpp"
#include "eif/gzip.hpp"

namespace alcove::eif {

namespace {

constexpr uint64_t kMaxConfigurationFile = 1_MiB;  // init reads no more

// One line for each; nothing can be quoted in these files.
Result<Bytes> lines_of(const std::vector<std::string>& texts, std::string_view what) {
    std::string lines;
    for (const std::string& text : texts) {
        if (text.find('\n') != std::string::npos || text.find('\0') != std::string::npos)
            return refuse("the " + std::string(what) + " holds a line break or a zero byte: \"" +
                          text.substr(0, 100) + "\"");
        lines += text + "\n";
    }
    if (lines.size() > kMaxConfigurationFile)
        return refuse("the " + std::string(what) + " is larger than 1 MiB");
    return to_bytes(as_byte_view(lines));
}

Result<void> check_program(const FileTree& application, const std::string& program) {
    // A bare name is looked for in the enclave's PATH; that is init's business.
    if (program.find('/') == std::string::npos) return {};
    const File* file = application.resolve(program);
    if (file == nullptr || file->type != FileType::Regular)
        return refuse("the application has no program \"" + program + "\"");
    if ((file->permissions & 0111) == 0)
        return refuse("\"" + program + "\" of the application is not executable");
    return {};
}

Result<void> check_environment(const std::vector<std::string>& environment) {
    for (const std::string& variable : environment)
        if (variable.find('=') == std::string::npos || variable.front() == '=')
            return refuse("\"" + variable.substr(0, 100) + "\" is not of the form NAME=value");
    return {};
}

// The kernel refuses every module then, init ends, and the enclave with it.
Result<void> check_modules_allowed(const ImagePlan& plan) {
    const std::string words = " " + plan.command_line + " ";
    if (!plan.modules.empty() && words.find(" nomodules ") != std::string::npos)
        return fail(ErrorCode::CommandLineInvalid,
                    "the command line says \"nomodules\", but this kernel needs modules to find its devices");
    return {};
}

Metadata filled_in(Metadata metadata, const std::string& kernel) {
    const auto fill = [](std::string& field, std::string_view value) {
        if (field.empty()) field = value;
    };
    fill(metadata.build.build_time, "1970-01-01T00:00:00Z");
    fill(metadata.build.build_tool, "alcove");
    fill(metadata.build.build_tool_version, ALCOVE_VERSION);
    fill(metadata.build.operating_system, "Linux");
    fill(metadata.build.kernel_version, kernel.substr(0, kernel.find(' ')));
    return metadata;
}

Result<void> write_ramdisk(ImageWriter& writer, const FileTree& tree, const ImagePlan& plan) {
    TRY(writer.begin(SectionType::Ramdisk));
    const Sink to_image = [&writer](ByteView piece) { return writer.append(piece); };
    if (plan.compression == Compression::None) {
        TRY(write_cpio(tree, to_image));
    } else {
        GzipWriter gzip = TRY(GzipWriter::create(plan.gzip_level, to_image));
        TRY(write_cpio(tree, [&gzip](ByteView piece) { return gzip.write(piece); }));
        TRY(gzip.finish());
    }
    return writer.end();
}

}  // namespace

Result<FileTree> boot_ramdisk(const Bytes& init, const std::vector<ModuleChoice>& modules) {
    if (init.empty()) return refuse("the image has no init");
    FileTree tree;
    // Where init mounts devtmpfs; a kernel built without its own initial directory would have none.
    TRY(tree.add("dev", File::directory(0755)));
    TRY(tree.add("init", File::regular(0755, init)));
    std::vector<std::string> list;
    for (const ModuleChoice& choice : modules) {
        const std::string path = "lib/modules/" + choice.module.name + ".ko";
        TRY(tree.add(path, File::regular(0644, choice.module.content)));
        const std::string mark = choice.need == ModuleWish::Need::Optional ? "-" : "";
        list.push_back(mark + "/" + path + (choice.options.empty() ? "" : " " + choice.options));
    }
    Bytes lines = TRY(lines_of(list, "module list"));
    TRY(tree.add("modules", File::regular(0644, std::move(lines))));
    return tree;
}

Result<FileTree> application_ramdisk(const FileTree& application, const std::vector<std::string>& command,
                                     const std::vector<std::string>& environment) {
    if (command.empty() || command.front().empty())
        return refuse("no command is given that the enclave is to run");
    TRY(check_program(application, command.front()));
    TRY(check_environment(environment));
    FileTree tree;
    Bytes command_lines = TRY(lines_of(command, "command"));
    Bytes environment_lines = TRY(lines_of(environment, "environment"));
    TRY(tree.add("cmd", File::regular(0644, std::move(command_lines))));
    TRY(tree.add("env", File::regular(0644, std::move(environment_lines))));
    TRY(tree.add_tree("rootfs", application));
    return tree;
}

Result<std::string> kernel_version(ByteView kernel) {
    // The Linux/x86 boot protocol (Documentation/arch/x86/boot.rst): "HdrS" at 0x202, and at 0x20E the place
    // of the version's text less 0x200.
    constexpr uint64_t kMagic = 0x202;
    constexpr uint64_t kVersionPointer = 0x20E;
    constexpr std::string_view kHdrS = "HdrS";
    const std::string_view text = as_text(kernel);
    if (text.size() > kMagic && text.substr(kMagic).starts_with(kHdrS)) {
        const auto pointer = read_object<Le16>(kernel, kVersionPointer);
        const uint64_t place = pointer ? uint64_t{*pointer} + 0x200 : text.size();
        if (place >= text.size()) return std::string();
        const std::string_view version = text.substr(place, 128);
        return std::string(version.substr(0, version.find('\0')));
    }
    const auto elf = read_object<Elf64_Ehdr>(kernel);
    if (elf && text.starts_with(ELFMAG) && elf->e_machine == EM_X86_64) return std::string();
    return fail(ErrorCode::KernelInvalid, "the kernel is neither a bzImage nor an ELF for x86-64");
}

Result<BuiltImage> build_image(const ImagePlan& plan, const ImageSigner* signer, const Fd& output) {
    const std::string version = TRY(kernel_version(plan.kernel));
    TRY(check_command_line(plan.command_line));
    TRY(check_modules_allowed(plan));
    const FileTree boot = TRY(boot_ramdisk(plan.init, plan.modules));
    const FileTree application = TRY(application_ramdisk(plan.application, plan.command, plan.environment));

    ImageWriter writer(output, plan.options);
    TRY(writer.add(SectionType::Kernel, plan.kernel));
    TRY(writer.add(SectionType::CommandLine, as_byte_view(plan.command_line)));
    if (plan.options.version >= spec::kMetadataSince) {
        const Bytes metadata = TRY(filled_in(plan.metadata, version).encode());
        TRY(writer.add(SectionType::Metadata, metadata));
    }
    TRY(write_ramdisk(writer, boot, plan).context("the boot ramdisk"));
    TRY(write_ramdisk(writer, application, plan).context("the application's ramdisk"));
    if (signer != nullptr) TRY(writer.sign(*signer));
    BuiltImage built{};
    built.measurements = TRY(writer.finish());
    if (signer != nullptr) built.pcr8 = pcr_of_certificate(signer->certificate);
    built.size = writer.size();
    return built;
}

}  // namespace alcove::eif

// SPDX-License-Identifier: Apache-2.0
//
// Makes an enclave image from a kernel, our init, kernel modules and an application, with no container
// engine. The same plan gives the same bytes and the same measurements on every machine with the same zlib;
// without compression, on every machine.
//
//   ramdisk 1   init, lib/modules/<name>.ko, modules (the list, in load order)     -> PCR1
//   ramdisk 2   rootfs/ (the application), cmd, env                                -> PCR2
//
// The names are the convention of AWS's reference init, and `modules` ours: a line is `[-]<path> [options]`,
// with '-' in front of a module whose failure does not matter.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eif/file_tree.hpp"
#include "eif/image_writer.hpp"
#include "eif/kernel_package.hpp"
#include "eif/measure.hpp"
#include "eif/metadata.hpp"
#include "eif/signature.hpp"
#include "support/bytes.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::eif {

// Of the ramdisks. None starts sooner: Linux spends about a third of the instructions on it that it spends on
// gzip (30 MB of a program, 6.12), which under emulation is seconds; Gzip makes the smaller file, and is what
// the reference builder does.
enum class Compression { None, Gzip };

struct ImagePlan {
    ImageOptions options;
    Bytes kernel;                       // a bzImage, or an ELF with a PVH entry (which AWS does not boot)
    std::string command_line;           // see command_line.hpp
    Bytes init;                         // a static program
    std::vector<ModuleChoice> modules;  // in load order; may be empty
    FileTree application;
    std::vector<std::string> command;      // the program, found in `application`, and its arguments
    std::vector<std::string> environment;  // NAME=value
    Metadata metadata;  // what is empty of `build` is filled in, with nothing of this machine or moment
    Compression compression = Compression::None;
    int gzip_level = 6;
};

struct BuiltImage {
    Measurements measurements;
    std::optional<Pcr> pcr8;  // of a signed image
    uint64_t size;            // bytes
};

// The two ramdisks, before they are packed. ImageBuildInput for a command or environment that the files'
// form can not express, or a program that is not there.
Result<FileTree> boot_ramdisk(const Bytes& init, const std::vector<ModuleChoice>& modules);
Result<FileTree> application_ramdisk(const FileTree& application, const std::vector<std::string>& command,
                                     const std::vector<std::string>& environment);

// The version text in a bzImage ("6.12.95+deb12-cloud-amd64 ..."), nothing of an ELF; KernelInvalid when it
// is neither of them for x86-64.
Result<std::string> kernel_version(ByteView kernel);

// Writes the image to `output` (borrowed, empty). `signer` may be nullptr.
Result<BuiltImage> build_image(const ImagePlan& plan, const ImageSigner* signer, const Fd& output);

}  // namespace alcove::eif

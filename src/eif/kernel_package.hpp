// SPDX-License-Identifier: Apache-2.0
//
// A kernel and its modules, as an extracted Debian package (linux-image-*) or an installed system has them:
// boot/vmlinuz-<version> and lib/modules/<version> or usr/lib/modules/<version> below one folder.
//
// What a module needs is read from the module itself (.modinfo, "depends"), not from modules.dep: that file
// is made by depmod when a package is installed, and an extracted package has none.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "eif/kernel_module.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::eif {

// A module an image is to have. One that is not required may be missing from the kernel, and init goes on
// when it does not load.
struct ModuleWish {
    std::string name;
    std::string options;
    enum class Need { Required, Optional } need = Need::Required;
};

struct ModuleChoice {
    KernelModule module;
    std::string options;
    ModuleWish::Need need;
};

// What an enclave's devices need on a kernel that has them as modules, as Debian's cloud kernel does:
// virtio-mmio, vsock, NSM; and, where they are there, the entropy device and the host's clock. What a kernel
// has built in is left out, so the list also suits kernels of AWS's kind.
std::vector<ModuleWish> enclave_modules();

class KernelPackage {
  public:
    // `version` chooses between several kernels; with an empty one there has to be exactly one.
    // ImageBuildInput when there is none, or not enough to choose by.
    static Result<KernelPackage> open(const std::string& root, const std::string& version = "");

    const std::string& version() const { return version_; }  // "6.12.95+deb12-cloud-amd64"
    const std::string& kernel_path() const { return kernel_path_; }
    Result<Bytes> read_kernel() const;

    // The wished modules and all they depend on, each once, in the order in which they load.
    Result<std::vector<ModuleChoice>> resolve(const std::vector<ModuleWish>& wishes) const;

  private:
    KernelPackage() = default;
    Result<void> index_modules(const std::string& directory);

    std::string version_;
    std::string kernel_path_;
    std::map<std::string, std::string> paths_;  // of module files, by name
    std::set<std::string> builtin_;             // names
};

}  // namespace alcove::eif

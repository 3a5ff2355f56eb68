// SPDX-License-Identifier: Apache-2.0
//
// Finds, indexes by file name, and orders depth first.
#include "eif/kernel_package.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "eif/build_refusal.hpp"
#include "support/bits.hpp"
#include "support/system.hpp"

namespace alcove::eif {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kKernelPrefix = "vmlinuz-";
constexpr uint64_t kMaxKernel = 256_MiB;
constexpr uint64_t kMaxModuleFile = 64_MiB;

// "kernel/drivers/misc/nsm.ko.xz" is "nsm"; nothing for what is no module.
std::string module_of_path(std::string_view path) {
    const std::string_view file = path.substr(path.rfind('/') + 1);
    const size_t suffix = file.find(".ko");
    return suffix == std::string_view::npos ? "" : module_name(file.substr(0, suffix));
}

std::vector<std::string> kernel_versions(const std::string& boot) {
    std::vector<std::string> versions;
    std::error_code error;
    for (fs::directory_iterator entry(boot, error); !error && entry != fs::directory_iterator();
         entry.increment(error)) {
        const std::string name = entry->path().filename().string();
        if (name.starts_with(kKernelPrefix)) versions.push_back(name.substr(kKernelPrefix.size()));
    }
    std::ranges::sort(versions);
    return versions;
}

// Depth first: what a module depends on comes before it. A cycle, which the kernel's build excludes, would
// end where it meets a module that is being visited.
class Resolver {
  public:
    Resolver(const std::map<std::string, std::string>& paths, const std::set<std::string>& builtin)
        : paths_(paths), builtin_(builtin) {}

    Result<void> visit(const std::string& name, const std::string& options, ModuleWish::Need need) {
        if (builtin_.contains(name)) return {};
        if (!seen_.insert(name).second) {
            // Wished for as optional first, needed now.
            const auto chosen =
                std::ranges::find(choices_, name, [](const ModuleChoice& c) { return c.module.name; });
            if (chosen != choices_.end() && need == ModuleWish::Need::Required) chosen->need = need;
            if (chosen != choices_.end() && !options.empty()) chosen->options = options;
            return {};
        }
        const auto path = paths_.find(name);
        if (path == paths_.end()) {
            if (need == ModuleWish::Need::Optional) return {};
            return refuse("the kernel has no module \"" + name + "\"");
        }
        const Bytes file = TRY(sys::read_file(path->second, kMaxModuleFile));
        KernelModule module = TRY(KernelModule::parse(file).context(path->second));
        for (const std::string& other : module.depends)
            TRY(visit(other, "", need).context("\"" + name + "\" needs it"));
        choices_.push_back(ModuleChoice{std::move(module), options, need});
        return {};
    }

    std::vector<ModuleChoice> take() { return std::move(choices_); }

  private:
    const std::map<std::string, std::string>& paths_;
    const std::set<std::string>& builtin_;
    std::set<std::string> seen_;
    std::vector<ModuleChoice> choices_;
};

}  // namespace

std::vector<ModuleWish> enclave_modules() {
    using Need = ModuleWish::Need;
    return {
        {"virtio_mmio", "", Need::Required}, {"vmw_vsock_virtio_transport", "", Need::Required},
        {"nsm", "", Need::Required},         {"virtio_rng", "", Need::Optional},
        {"ptp_kvm", "", Need::Optional},     {"pvpanic_mmio", "", Need::Optional},
    };
}

Result<KernelPackage> KernelPackage::open(const std::string& root, const std::string& version) {
    KernelPackage package;
    package.version_ = version;
    if (version.empty()) {
        const auto versions = kernel_versions(root + "/boot");
        if (versions.empty()) return refuse("\"" + root + "\" has no boot/vmlinuz-*");
        if (versions.size() > 1)
            return refuse("\"" + root + "\" has several kernels; say which: " + versions.front() + ", " +
                          versions[1] + (versions.size() > 2 ? ", ..." : ""));
        package.version_ = versions.front();
    }
    package.kernel_path_ = root + "/boot/" + std::string(kKernelPrefix) + package.version_;
    std::error_code error;
    if (!fs::is_regular_file(package.kernel_path_, error))
        return refuse("there is no \"" + package.kernel_path_ + "\"");
    for (const std::string_view folder : {"/lib/modules/", "/usr/lib/modules/"}) {
        const std::string directory = root + std::string(folder) + package.version_;
        if (!fs::is_directory(directory, error)) continue;
        TRY(package.index_modules(directory));
        return package;
    }
    return refuse("\"" + root + "\" has no lib/modules/" + package.version_);
}

Result<void> KernelPackage::index_modules(const std::string& directory) {
    constexpr uint64_t kMaxList = 16_MiB;
    const Bytes list = TRY(sys::read_file(directory + "/modules.builtin", kMaxList));
    std::string_view rest = as_text(list);
    while (!rest.empty()) {
        const size_t line = std::min(rest.find('\n'), rest.size());
        const std::string name = module_of_path(rest.substr(0, line));
        if (!name.empty()) builtin_.insert(name);
        rest.remove_prefix(std::min(line + 1, rest.size()));
    }
    std::error_code error;
    for (fs::recursive_directory_iterator entry(directory, error);
         !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
        const std::string path = entry->path().string();
        const std::string name = module_of_path(path);
        if (!name.empty()) paths_.emplace(name, path);
    }
    if (error) return refuse("\"" + directory + "\" can not be read: " + error.message());
    return {};
}

Result<Bytes> KernelPackage::read_kernel() const {
    return sys::read_file(kernel_path_, kMaxKernel);
}

Result<std::vector<ModuleChoice>> KernelPackage::resolve(const std::vector<ModuleWish>& wishes) const {
    Resolver resolver(paths_, builtin_);
    for (const ModuleWish& wish : wishes)
        TRY(resolver.visit(module_name(wish.name), wish.options, wish.need));
    return resolver.take();
}

}  // namespace alcove::eif

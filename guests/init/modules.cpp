// SPDX-License-Identifier: Apache-2.0
#include "init/modules.hpp"

#include <cerrno>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <linux/module.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/console.hpp"
#include "init/file.hpp"

namespace alcove::init {

namespace {

bool is_compressed(std::string_view path) {
    return path.ends_with(".xz") || path.ends_with(".zst") || path.ends_with(".gz");
}

Result<void> load_module(const Module& module) {
    const Fd file = TRY(open_file(module.path, O_RDONLY));
    const int flags = is_compressed(module.path) ? MODULE_INIT_COMPRESSED_FILE : 0;
    if (syscall(SYS_finit_module, file.get(), module.options.c_str(), flags) != 0 && errno != EEXIST)
        return fail_errno(errno, module.path);
    return {};
}

}  // namespace

Result<void> load_modules(const std::vector<Module>& modules) {
    for (const Module& module : modules) {
        auto loaded = load_module(module).context("loading a module");
        if (!loaded && !module.optional) return loaded;
        if (!loaded) say(loaded.error().to_string() + "; going on without it");
        unlink(module.path.c_str());
    }
    return {};
}

}  // namespace alcove::init

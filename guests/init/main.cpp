// SPDX-License-Identifier: Apache-2.0
//
// Process 1 of an enclave. It makes the initramfs a place where an ordinary program can run, tells the parent
// that the machine is up, runs the one application, and ends the machine with it. Images made for AWS's init
// run unchanged: /cmd, /env, /rootfs and the heartbeat are the same.
//
// There is one answer to every failure: a line on the console, then the reset that ends the machine. An
// enclave that runs half is worth less than one that does not run.
#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <sys/reboot.h>
#include <unistd.h>

#include "init/application.hpp"
#include "init/clock.hpp"
#include "init/configuration.hpp"
#include "init/console.hpp"
#include "init/file.hpp"
#include "init/modules.hpp"
#include "init/mounts.hpp"
#include "init/parent_link.hpp"
#include "support/result.hpp"

namespace alcove::init {

namespace {

constexpr std::chrono::seconds kClockCheckInterval{60};

enum class Presence { Required, Optional };

// Takes the file away, so that the application does not find it and its memory is free.
Result<std::string> take_file(const std::string& path, Presence presence) {
    if (presence == Presence::Optional && access(path.c_str(), F_OK) != 0) return std::string();
    std::string content = TRY(read_file(path, kConfigurationLimit));
    unlink(path.c_str());
    return content;
}

Result<void> load_listed_modules() {
    const std::string text = TRY(take_file("/modules", Presence::Optional));
    const auto modules = TRY(parse_modules(text).context("/modules"));
    return load_modules(modules);
}

// The wait status of the application.
Result<int> run() {
    TRY(mount_early());
    open_console();
    TRY(load_listed_modules());
    TRY(send_heartbeat());
    ClockKeeper clock = ClockKeeper::find();
    clock.check();

    const std::string env_text = TRY(take_file("/env", Presence::Optional));
    const auto environment = TRY(parse_environment(env_text).context("/env"));
    const std::string cmd_text = TRY(take_file("/cmd", Presence::Required));
    const auto command = TRY(parse_command(cmd_text).context("/cmd"));
    TRY(enter_root());
    TRY(mount_late());

    Application application = TRY(Application::start(command, environment));
    for (;;) {
        if (const auto status = application.wait(kClockCheckInterval)) return *status;
        clock.check();
    }
}

[[noreturn]] void end_machine() {
    drain_console();
    sync();
    reboot(RB_AUTOBOOT);
    // Not reached with `reboot=k`. If it is, the end of process 1 is a panic, which ends the machine as well.
    _exit(EXIT_FAILURE);
}

}  // namespace

}  // namespace alcove::init

int main() {
    using namespace alcove::init;
    if (getpid() != 1) {
        constexpr std::string_view kRefusal = "init: runs as process 1 of an enclave only\n";
        [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kRefusal.data(), kRefusal.size());
        return EXIT_FAILURE;
    }
    const auto status = run();
    if (status) {
        report_end(*status);
    } else {
        say(status.error().to_string());
    }
    end_machine();
}

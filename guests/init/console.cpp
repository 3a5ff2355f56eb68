// SPDX-License-Identifier: Apache-2.0
#include "init/console.hpp"

#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "init/file.hpp"
#include "support/fd.hpp"

namespace alcove::init {

void open_console() {
    auto console = open_file("/dev/console", O_RDWR | O_NOCTTY);
    if (!console) console = open_file("/dev/null", O_RDWR);
    if (!console) return;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
        // A descriptor that is its own duplicate would stay close-on-exec and be gone for the application.
        if (console->get() == fd) {
            fcntl(fd, F_SETFD, 0);
            continue;
        }
        dup2(console->get(), fd);
    }
    if (console->get() <= STDERR_FILENO) static_cast<void>(console->release());
}

void say(std::string_view text) {
    // One write, so that a line of the application's cannot come between.
    const std::string line = "init: " + std::string(text) + "\n";
    [[maybe_unused]] const ssize_t written = write(STDOUT_FILENO, line.data(), line.size());
}

void drain_console() {
    using namespace std::chrono_literals;
    const auto deadline = std::chrono::steady_clock::now() + 500ms;
    int unsent = 0;
    while (ioctl(STDOUT_FILENO, TIOCOUTQ, &unsent) == 0 && unsent > 0 &&
           std::chrono::steady_clock::now() < deadline)
        std::this_thread::sleep_for(1ms);
}

}  // namespace alcove::init

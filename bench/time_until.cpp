// SPDX-License-Identifier: Apache-2.0
//
// time_until TEXT COMMAND...: starts the command, prints the milliseconds from exec to the moment TEXT stands
// in its standard output, and ends it.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "support/system.hpp"

int main(int argc, char** argv) {
    using namespace alcove;
    if (argc < 3) {
        std::fputs("usage: time_until TEXT COMMAND...\n", stderr);
        return 2;
    }
    auto pipe = sys::pipe();
    if (!pipe) return 1;
    const auto begin = std::chrono::steady_clock::now();
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(pipe->second.get(), STDOUT_FILENO);
        ::execvp(argv[2], argv + 2);
        ::_exit(127);
    }
    pipe->second.reset();
    std::string output;
    Bytes buffer(4096);
    bool found = false;
    while (!found) {
        const auto transfer = sys::read_some(pipe->first, buffer);
        if (!transfer || transfer->bytes == 0) break;
        output += as_text(ByteView(buffer).first(transfer->bytes));
        found = output.find(argv[1]) != std::string::npos;
    }
    const auto elapsed = std::chrono::steady_clock::now() - begin;
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    if (!found) {
        std::fprintf(stderr, "time_until: the command ended without '%s':\n%s\n", argv[1], output.c_str());
        return 1;
    }
    std::printf("%.1f\n", std::chrono::duration<double, std::milli>(elapsed).count());
    return 0;
}

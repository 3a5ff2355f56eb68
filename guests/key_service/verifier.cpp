// SPDX-License-Identifier: Apache-2.0
#include "key_service/verifier.hpp"

#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "key_service/hex.hpp"
#include "support/system.hpp"

namespace alcove::key_service {

namespace {

constexpr size_t kOutputLimit = 1 << 20;

void replace_all(std::string& text, std::string_view what, std::string_view with) {
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
        text.replace(at, what.size(), with);
}

Result<pid_t> start(const std::vector<std::string>& command, const Fd& output) {
    std::vector<char*> arguments;
    for (const std::string& argument : command)
        arguments.push_back(const_cast<char*>(argument.c_str()));  // execve(2) does not write to them
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, output.get(), STDOUT_FILENO);
    // Our standard input may be the connection to the enclave.
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    // We ignore SIGPIPE; a verifier that prints to nobody should not.
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    pid_t pid = 0;
    const int error = posix_spawnp(&pid, arguments.front(), &actions, &attributes, arguments.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) return fail_errno(error, "running " + command.front());
    return pid;
}

Result<std::string> read_all(const Fd& pipe) {
    std::string text;
    std::array<uint8_t, 4096> chunk{};
    for (;;) {
        const auto transfer = TRY(sys::read_some(pipe, chunk));
        if (transfer.bytes == 0) return text;
        text += as_text(ByteView(chunk).first(transfer.bytes));
        if (text.size() > kOutputLimit) return fail(ErrorCode::LimitExceeded, "the verifier prints too much");
    }
}

}  // namespace

std::vector<std::string> fill_in(const std::vector<std::string>& command, std::string_view document_path,
                                 std::string_view nonce_hex) {
    std::vector<std::string> filled = command;
    for (std::string& argument : filled) {
        replace_all(argument, "{doc}", document_path);
        replace_all(argument, "{nonce}", nonce_hex);
    }
    return filled;
}

Result<Bytes> public_key_in(std::string_view json) {
    const auto object = nlohmann::json::parse(json, nullptr, false);
    if (!object.is_object()) return fail(ErrorCode::JsonMalformed, "the verifier printed no JSON object");
    const auto field = object.find("public_key");
    if (field == object.end() || !field->is_string())
        return fail(ErrorCode::JsonMalformed, "the verifier printed no public_key");
    return from_hex(*field->get_ptr<const std::string*>()).context("the verifier's public_key");
}

Result<Bytes> verified_public_key(const std::vector<std::string>& command) {
    sys::Pair pipe = TRY(sys::pipe());
    const pid_t pid = TRY(start(command, pipe.second));
    pipe.second.reset();
    auto output = read_all(pipe.first);
    // One that prints without end is not waited for.
    if (!output) kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return fail(ErrorCode::DocumentSignature, "the verifier does not accept the document");
    const std::string text = TRY(std::move(output));
    return public_key_in(text);
}

}  // namespace alcove::key_service

// SPDX-License-Identifier: Apache-2.0
#include "cli/egress_process.hpp"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/installation.hpp"
#include "embedded/process.hpp"
#include "embedded/state_folder.hpp"
#include "support/system.hpp"

namespace alcove::cli {

namespace {

constexpr std::chrono::seconds kEndsWithin(60);
constexpr uint64_t kMaxWords = 4096;

Result<std::string> make_private_folder() {
    const char* const given = std::getenv("TMPDIR");
    std::string path = std::string(given != nullptr ? given : "/tmp") + "/alcove-egress.XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return fail_errno(errno, "a folder for the socket: " + path);
    return path;
}

void allow(const std::vector<std::string>& rules, std::vector<std::string>& arguments) {
    for (const auto& rule : rules) {
        arguments.emplace_back("--allow");
        arguments.push_back(rule);
    }
}

}  // namespace

Result<void> wait_for_line(const Fd& output, const std::string& who) {
    const auto deadline = std::chrono::steady_clock::now() + kEndsWithin;
    while (true) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd waiting{.fd = output.get(), .events = POLLIN, .revents = 0};
        if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) == 0)
            return fail(ErrorCode::Timeout, who + " does not begin");
        Bytes piece(256);
        const auto got = TRY(sys::read_some(output, piece));
        if (got.would_block) continue;
        if (got.bytes == 0) return fail(ErrorCode::Unsupported, who + " does not begin");
        if (as_text(ByteView(piece).first(got.bytes)).find('\n') != std::string_view::npos) return {};
    }
}

Result<std::unique_ptr<EgressProcess>> EgressProcess::start(const std::vector<std::string>& rules) {
    const auto program = TRY(find_egress());
    auto folder = TRY(make_private_folder());
    std::unique_ptr<EgressProcess> process(new EgressProcess(std::move(folder)));
    auto input = TRY(sys::pipe());
    auto output = TRY(sys::pipe());
    embedded::SpawnOptions options;
    options.arguments = {program, "--with-input", "--socket", process->socket_path_};
    allow(rules, options.arguments);
    options.descriptors = {input.first.get(), output.second.get(), STDERR_FILENO};
    process->pid_ = TRY(embedded::spawn(options));
    process->input_ = std::move(input.second);
    process->output_ = std::move(output.first);
    output.second.reset();
    TRY(wait_for_line(process->output_, "alcove-egress"));
    return process;
}

EgressProcess::~EgressProcess() {
    input_.reset();
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
    ::unlink(socket_path_.c_str());
    ::rmdir(folder_.c_str());
}

Result<std::string> egress_log(const std::string& enclave) {
    std::string folder = environment("ALCOVE_STATE_DIR");
    if (folder.empty()) {
        const auto host = TRY(embedded::StateFolder::default_path());
        folder = std::filesystem::path(host).parent_path().string();
    }
    return folder + "/egress-" + enclave + ".log";
}

Result<std::string> start_egress_in_background(const std::string& enclave, std::string_view host,
                                               const std::vector<std::string>& rules) {
    auto path = TRY(egress_log(enclave));
    TRY(sys::make_directories(std::filesystem::path(path).parent_path().string(), 0700));
    const auto log = TRY(sys::open(path, O_WRONLY | O_CREAT | O_APPEND, 0600));
    auto output = TRY(sys::pipe());
    embedded::SpawnOptions options;
    options.arguments = {"/proc/self/exe", "--host", std::string(host), "enclave", "egress", enclave};
    allow(rules, options.arguments);
    options.descriptors = {-1, output.second.get(), log.get()};
    options.new_session = true;
    TRY(embedded::spawn(options));
    output.second.reset();
    const auto begun = wait_for_line(output.first, "the egress of " + enclave);
    if (begun) return path;
    const auto words = sys::read_file(path, kMaxWords);
    Error error = begun.error();
    return fail(error.code(),
                error.to_string() + ": " + std::string(words ? as_text(*words) : "no word in " + path));
}

}  // namespace alcove::cli

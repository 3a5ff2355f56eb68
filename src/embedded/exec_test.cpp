// SPDX-License-Identifier: Apache-2.0
//
// Running programs: client and server joined by a socket pair, the server in a thread; and the records
// between them, whole and malformed.
#include <csignal>
#include <thread>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "embedded/exec_client.hpp"
#include "embedded/exec_protocol.hpp"
#include "embedded/exec_server.hpp"
#include "support/system.hpp"

namespace alcove::embedded {
namespace {

struct Ran {
    Result<int> code;
    std::string output;
    std::string errors;
};

std::string content_of(const Fd& file) {
    const auto size = sys::file_size(file);
    Bytes bytes(size.has_value() ? *size : 0);
    EXPECT_TRUE(sys::read_exact_at(file, bytes, 0).has_value());
    return std::string(as_text(bytes));
}

// A memory file with this content, at its beginning.
Fd file_with(const std::string& content) {
    auto file = sys::memfd("input");
    EXPECT_TRUE(file.has_value());
    EXPECT_TRUE(sys::write_all_at(*file, as_byte_view(content), 0).has_value());
    return std::move(file).value();
}

Ran run(const ExecRequest& request, const std::string& input = "") {
    auto ends = sys::socket_pair(SOCK_STREAM);
    std::thread server([&] { static_cast<void>(serve_exec(std::move(ends->second)).has_value()); });
    const Fd in = file_with(input);
    const Fd out = file_with("");
    const Fd err = file_with("");
    auto code = run_exec(ends->first, request, {.input = in.get(), .output = out.get(), .errors = err.get()});
    ends->first.reset();
    server.join();
    return {.code = std::move(code), .output = content_of(out), .errors = content_of(err)};
}

ExecRequest shell(const std::string& script) {
    ExecRequest request;
    request.arguments = {"sh", "-c", script};
    return request;
}

TEST(Exec, OutputErrorsAndExitCodeComeBackApart) {
    const auto ran = run(shell("echo out; echo err >&2; exit 7"));
    ASSERT_TRUE(ran.code.has_value());
    EXPECT_EQ(*ran.code, 7);
    EXPECT_EQ(ran.output, "out\n");
    EXPECT_EQ(ran.errors, "err\n");
}

TEST(Exec, ArgumentsAreNotReadByAShell) {
    ExecRequest request;
    request.arguments = {"printf", "%s|", "a b", "", "$HOME", "'"};
    EXPECT_EQ(run(request).output, "a b||$HOME|'|");
}

TEST(Exec, InputReachesTheProgramToItsEnd) {
    const std::string input(3'000'000, 'i');
    EXPECT_EQ(run(shell("wc -c"), input).output.find("3000000"), 0u);
}

TEST(Exec, AProgramThatReadsNothingStillEnds) {
    const auto ran = run(shell("exit 3"), std::string(5'000'000, 'i'));
    ASSERT_TRUE(ran.code.has_value()) << ran.code.error().to_string();
    EXPECT_EQ(*ran.code, 3);
}

TEST(Exec, LargeOutputArrivesWhole) {
    EXPECT_EQ(run(shell("head -c 4000000 /dev/zero")).output.size(), 4'000'000u);
}

TEST(Exec, ASignalIsReportedAsShellsDo) {
    const auto ran = run(shell("kill -TERM $$"));
    ASSERT_TRUE(ran.code.has_value());
    EXPECT_EQ(*ran.code, 128 + SIGTERM);
}

TEST(Exec, AnUnknownProgramIsAnErrorAndNoExitCode) {
    ExecRequest request;
    request.arguments = {"no-such-program-anywhere"};
    const auto ran = run(request);
    ASSERT_FALSE(ran.code.has_value());
    EXPECT_NE(ran.code.error().message().find("no-such-program-anywhere"), std::string::npos);
}

TEST(Exec, TheRequestsEnvironmentReplacesTheServersOwn) {
    auto request = shell("echo $ALCOVE_WORD $PATH");
    request.environment = {"ALCOVE_WORD=here", "PATH=/bin:/usr/bin"};
    EXPECT_EQ(run(request).output, "here /bin:/usr/bin\n");
}

TEST(Exec, ATerminalHasTheAskedSizeAndJoinsOutputAndErrors) {
    auto request = shell("stty size; tty >&2; test -t 0 && test -t 1 && test -t 2 && echo three");
    request.terminal = true;
    request.rows = 33;
    request.columns = 99;
    const auto ran = run(request);
    EXPECT_NE(ran.output.find("33 99"), std::string::npos) << ran.output;
    EXPECT_NE(ran.output.find("/dev/pts/"), std::string::npos);
    EXPECT_NE(ran.output.find("three"), std::string::npos);
    EXPECT_EQ(ran.errors, "");
}

TEST(Exec, ABackgroundProcessThatHoldsThePipesDoesNotHoldUpTheEnd) {
    const auto start = std::chrono::steady_clock::now();
    const auto ran = run(shell("sleep 20 & echo started"));
    EXPECT_EQ(ran.output, "started\n");
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
}

TEST(Exec, AClientThatGoesAwayTakesItsProgramWithIt) {
    auto ends = sys::socket_pair(SOCK_STREAM);
    std::thread server([&] { static_cast<void>(serve_exec(std::move(ends->second)).has_value()); });
    const auto encoded = encode_request(shell("echo $$; exec sleep 1000"));
    ASSERT_TRUE(encoded.has_value());
    Bytes wire;
    append_record(wire, RecordKind::Start, *encoded);
    ASSERT_TRUE(sys::write_all(ends->first, wire).has_value());
    Bytes answer(sizeof(RecordHeader));
    ASSERT_TRUE(sys::read_exact(ends->first, answer).has_value());
    Bytes number(read_object<RecordHeader>(answer)->length);
    ASSERT_TRUE(sys::read_exact(ends->first, number).has_value());
    const pid_t pid = std::stoi(std::string(as_text(number)));
    ASSERT_EQ(::kill(pid, 0), 0);

    ends->first.reset();
    server.join();

    EXPECT_EQ(::kill(pid, 0), -1) << "the server has waited for it";
}

TEST(ExecRecords, ARequestSurvivesItsEncoding) {
    ExecRequest request;
    request.arguments = {"ls", "", "-l"};
    request.environment = {"A=b"};
    request.terminal = true;
    request.rows = 1;
    request.columns = 65535;
    const auto encoded = encode_request(request);
    ASSERT_TRUE(encoded.has_value());
    const auto decoded = decode_request(*encoded);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(decoded->arguments, request.arguments);
    EXPECT_EQ(decoded->environment, request.environment);
    EXPECT_EQ(decoded->columns, 65535);
    EXPECT_TRUE(decoded->terminal);
}

TEST(ExecRecords, EveryTruncationOfARequestIsRejected) {
    ExecRequest request;
    request.arguments = {"ls", "-l"};
    request.environment = {"A=b"};
    const auto encoded = encode_request(request);
    ASSERT_TRUE(encoded.has_value());
    for (size_t size = 0; size < encoded->size(); ++size)
        EXPECT_FALSE(decode_request(ByteView(*encoded).first(size)).has_value()) << size;
}

TEST(ExecRecords, ARequestThatCanNotBeSentIsRefusedBeforehand) {
    ExecRequest request;
    EXPECT_EQ(encode_request(request).error().code(), ErrorCode::InvalidArgument);
    request.arguments = {"x", std::string("a\0b", 3)};
    EXPECT_EQ(encode_request(request).error().code(), ErrorCode::InvalidArgument);
    request.arguments = {"x", std::string(kMaxRecord, 'y')};
    EXPECT_EQ(encode_request(request).error().code(), ErrorCode::LimitExceeded);
}

TEST(ExecRecords, AnUnknownKindOrALengthOverTheLimitIsRejected) {
    RecordReader unknown;
    unknown.append(Bytes{99, 0, 0, 0, 0, 0, 0, 0});
    EXPECT_FALSE(unknown.next().has_value());
    RecordReader large;
    large.append(Bytes{2, 0, 0, 0, 1, 0x80, 0, 0});
    EXPECT_FALSE(large.next().has_value());
    RecordReader padded;
    padded.append(Bytes{2, 0, 1, 0, 1, 0, 0, 0});
    EXPECT_FALSE(padded.next().has_value());
}

}  // namespace
}  // namespace alcove::embedded

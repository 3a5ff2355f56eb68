// SPDX-License-Identifier: Apache-2.0
#include "cli/port_service.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "cli/captured_test.hpp"
#include "cli/read_to_end_test.hpp"

namespace alcove::cli {
namespace {

// Asks a connection of its own and gives what came back.
std::string ask(PortService& service, std::string_view question) {
    auto pair = sys::socket_pair(SOCK_STREAM).value();
    service.take(std::move(pair.first));
    sys::write_all(pair.second, as_byte_view(question)).value();
    ::shutdown(pair.second.get(), SHUT_WR);
    return read_to_end(pair.second);
}

PortService::Outcome next_outcome(PortService& service) {
    while (true) {
        pollfd waiting{.fd = service.fd().get(), .events = POLLIN, .revents = 0};
        EXPECT_EQ(::poll(&waiting, 1, 10'000), 1);
        auto outcomes = service.collect();
        if (!outcomes.empty()) return std::move(outcomes.front());
    }
}

TEST(PortService, AProgramHasTheConnectionAsItsInputAndOutput) {
    const auto service = PortService::create({.command = "tr a-z A-Z; exit 3", .socket_path = {}}).value();

    EXPECT_EQ(ask(*service, "loud"), "LOUD");

    const auto outcome = next_outcome(*service);
    EXPECT_EQ(outcome.connection, 1U);
    EXPECT_EQ(outcome.exit_code.value(), 3);
    EXPECT_EQ(service->at_work(), 0U);
}

TEST(PortService, ConnectionsAreJoinedWithASocket) {
    std::signal(SIGPIPE, SIG_IGN);
    const ScratchFolder folder;
    const auto listener = sys::unix_listen(folder.path("app.sock"), SOCK_STREAM, 0600).value();
    std::thread application([&] {
        const auto client = sys::accept(listener).value();
        sys::write_all(client, as_byte_view("got " + read_to_end(client))).value();
    });
    const auto service = PortService::create({.command = {}, .socket_path = folder.path("app.sock")}).value();

    EXPECT_EQ(ask(*service, "this"), "got this");

    application.join();
    EXPECT_EQ(next_outcome(*service).exit_code.value(), 0);
}

TEST(PortService, AnApplicationThatIsNotThereIsSaid) {
    const auto service = PortService::create({.command = {}, .socket_path = "/nonexistent/app.sock"}).value();

    EXPECT_EQ(ask(*service, ""), "");

    EXPECT_EQ(next_outcome(*service).exit_code.error().code(), ErrorCode::NotFound);
}

TEST(PortService, ManyAreServedAtOnce) {
    const auto service = PortService::create({.command = "cat", .socket_path = {}}).value();
    std::vector<Fd> clients;
    for (size_t i = 0; i < 16; ++i) {
        auto pair = sys::socket_pair(SOCK_STREAM).value();
        service->take(std::move(pair.first));
        clients.push_back(std::move(pair.second));
    }
    EXPECT_EQ(service->at_work(), 16U);

    for (size_t i = clients.size(); i-- > 0;) {
        sys::write_all(clients[i], as_byte_view(std::to_string(i))).value();
        ::shutdown(clients[i].get(), SHUT_WR);
        EXPECT_EQ(read_to_end(clients[i]), std::to_string(i));
    }
}

TEST(PortService, ItsEndEndsWhatIsUnderWay) {
    auto program_end = sys::socket_pair(SOCK_STREAM).value();
    auto program = PortService::create({.command = "exec sleep 600", .socket_path = {}}).value();
    program->take(std::move(program_end.first));
    const ScratchFolder folder;
    const auto listener = sys::unix_listen(folder.path("app.sock"), SOCK_STREAM, 0600).value();
    auto joined_end = sys::socket_pair(SOCK_STREAM).value();
    auto joined = PortService::create({.command = {}, .socket_path = folder.path("app.sock")}).value();
    joined->take(std::move(joined_end.first));
    const auto application = sys::accept(listener).value();

    program.reset();
    joined.reset();

    EXPECT_EQ(read_to_end(program_end.second), "");
    EXPECT_EQ(read_to_end(joined_end.second), "");
    EXPECT_EQ(read_to_end(application), "");
}

}  // namespace
}  // namespace alcove::cli

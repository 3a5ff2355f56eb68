// SPDX-License-Identifier: Apache-2.0
//
// For tests: a primary VM without a machine. Folders and files of a test's own, a driver that keeps the rules
// (ne_driver/driver_fake.hpp), and a port for heartbeats that one program at a time can have, as with vsock.
#pragma once

#include <cerrno>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/captured_test.hpp"
#include "eif/raw_image.hpp"
#include "ne_driver/driver_fake.hpp"
#include "nitro_cli/heartbeat.hpp"
#include "nitro_cli/places.hpp"

namespace alcove::nitro_cli {

// A name in the kernel that goes with its socket, and that nobody takes from another.
class FakePort final : public HeartbeatPort {
  public:
    FakePort(std::string name, std::string busy_file)
        : name_(std::move(name)), busy_file_(std::move(busy_file)) {}

    Result<Fd> listen() override {
        Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        socklen_t size = 0;
        const auto address = make_address(size);
        if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
            static_cast<void>(sys::open(busy_file_, O_WRONLY | O_CREAT).has_value());
            return fail_errno(errno, "bind", errno == EADDRINUSE ? ErrorCode::Busy : ErrorCode::SystemCall);
        }
        if (::listen(socket.get(), 32) != 0) return fail_errno(errno, "listen");
        return socket;
    }
    Result<uint64_t> peer_cid(const Fd&) override { return peer_; }
    // As which context id everybody connects.
    void set_peer(uint64_t cid) { peer_ = cid; }

    // As an enclave does. Not open when nobody listens.
    Fd connect() const {
        Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        socklen_t size = 0;
        const auto address = make_address(size);
        if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) return Fd();
        return socket;
    }
    // Says a byte and waits for an answer; whether it was the same byte.
    bool beat(uint8_t byte = kHeartbeat) const {
        const Fd socket = connect();
        uint8_t answer = 0;
        return socket.is_open() && ::send(socket.get(), &byte, 1, MSG_NOSIGNAL) == 1 &&
               ::recv(socket.get(), &answer, 1, 0) == 1 && answer == byte;
    }

  private:
    sockaddr_un make_address(socklen_t& size) const {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path + 1, name_.data(), std::min(name_.size(), sizeof address.sun_path - 1));
        size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name_.size());
        return address;
    }
    std::string name_;
    std::string busy_file_;
    uint64_t peer_ = 16;
};

// The folder of a machine with CPUs 2 and 3 in the pool, and a small image.
class FakeMachine {
  public:
    FakeMachine() {
        places_.sockets = folder_.path("run");
        places_.logs = folder_.path("log");
        places_.cpu_pool = folder_.write("ne_cpus", "2-3\n");
        places_.asset_tag = folder_.write("board_asset_tag", "i-0123456789abcdef0\n");
        image_ = folder_.write("tiny.eif", as_text(eif::RawImage::usual().assemble()));
        places_.prepare().value();
    }
    const Places& places() const { return places_; }
    const std::string& image() const { return image_; }
    const cli::ScratchFolder& folder() const { return folder_; }
    FakePort port() const { return {folder_.path("port"), folder_.path("busy")}; }
    std::string log() const {
        const auto text = sys::read_file(places_.log_file(), 1 << 20);
        return text ? std::string(as_text(*text)) : "";
    }

  private:
    cli::ScratchFolder folder_;
    Places places_;
    std::string image_;
};

}  // namespace alcove::nitro_cli

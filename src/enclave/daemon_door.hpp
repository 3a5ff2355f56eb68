// SPDX-License-Identifier: Apache-2.0
//
// Where alcoved comes in: the listening shim.sock and the one connection that is served. A daemon that has
// been restarted simply connects again, so the newest connection wins and the former one is closed. Who is
// not the daemon's user is turned away at the door.
#pragma once

#include <functional>
#include <memory>

#include "api/connection.hpp"

namespace alcove::enclave {

class DaemonDoor {
  public:
    struct Callbacks {
        std::function<Result<void>(const api::Envelope&, std::vector<Fd>)> on_message;
        std::function<void()>
            on_replaced;  // the connection that was served is gone: forget what it waits for
    };

    // The loop is borrowed and outlives the door. Callbacks run from the loop and must not destroy the door.
    static Result<std::unique_ptr<DaemonDoor>> create(EventLoop& loop, Fd listener, uid_t daemon_uid,
                                                      Callbacks callbacks);
    ~DaemonDoor();
    DaemonDoor(const DaemonDoor&) = delete;
    DaemonDoor& operator=(const DaemonDoor&) = delete;

    // To the daemon that is there; without one the message is dropped.
    void send(Bytes message, std::vector<Fd> descriptors = {});

  private:
    DaemonDoor(EventLoop& loop, Fd listener, uid_t daemon_uid, Callbacks callbacks)
        : loop_(loop),
          listener_(std::move(listener)),
          daemon_uid_(daemon_uid),
          callbacks_(std::move(callbacks)) {}
    void accept_all();
    Result<void> serve(Fd socket);

    EventLoop& loop_;
    Fd listener_;
    uid_t daemon_uid_;
    Callbacks callbacks_;
    EventLoop::WatchId watch_ = 0;
    std::unique_ptr<api::Connection> connection_;
};

}  // namespace alcove::enclave

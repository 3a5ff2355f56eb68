// SPDX-License-Identifier: Apache-2.0
//
// What a network device is plugged into: something that takes and gives whole Ethernet frames. On the event
// loop's thread, like everything here.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "support/bytes.hpp"
#include "support/event_loop.hpp"
#include "support/fd.hpp"

namespace alcove::virtio {

class NetworkLink {
  public:
    static constexpr size_t kMinFrame = 14;               // the Ethernet header
    static constexpr size_t kMaxFrame = 14 + 4 + 65'535;  // with a VLAN tag and the largest IP packet

    class User {
      public:
        virtual ~User() = default;
        virtual void frames_waiting() = 0;  // comes again and again until none is left or none is wanted
        virtual void room_again() = 0;      // once, after send() said no
        virtual void link_changed() = 0;    // is_up() is another
    };

    virtual ~NetworkLink() = default;
    // Before anything else; null when the user goes.
    void set_user(User* user) { user_ = user; }
    virtual bool is_up() const = 0;
    virtual void want_frames(bool on) = 0;
    // False: no room now, try again at room_again(). What the other side does not accept is dropped.
    virtual bool send(ByteView frame) = 0;
    // The next frame's length; its bytes are in `into`, which has kMaxFrame bytes.
    virtual std::optional<size_t> receive(MutableByteView into) = 0;
    // Lets go of what the link is over, in a state in which another process can go on with it. May block, for
    // kHandOnPatience at most; then it is closed for everybody. The link is down afterwards, and tells
    // nobody.
    virtual void hand_on() = 0;
    static constexpr std::chrono::milliseconds kHandOnPatience{1000};

  protected:
    User* user_ = nullptr;
};

// A link that is one descriptor, watched by the loop.
class DescriptorLink : public NetworkLink {
  public:
    ~DescriptorLink() override { loop_.unwatch(watch_); }
    bool is_up() const override { return fd_.is_open(); }
    void want_frames(bool on) override;
    void hand_on() override { let_go(); }

  protected:
    DescriptorLink(EventLoop& loop, Fd fd) : loop_(loop), fd_(std::move(fd)) {}
    Result<void> start();

    const Fd& fd() const { return fd_; }
    void want_room(bool on);
    // There is room: what was begun is finished, and whether the user may go on.
    virtual bool continue_sending() { return true; }
    // The other side is gone, for good. The user is told from the loop, not from within its own call.
    void close();
    // The same, silently.
    void let_go();

  private:
    void on_event(uint32_t events);
    void update();

    EventLoop& loop_;
    Fd fd_;
    EventLoop::WatchId watch_ = 0;
    bool wants_frames_ = false;
    bool wants_room_ = false;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace alcove::virtio

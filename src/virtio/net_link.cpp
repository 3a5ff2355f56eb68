// SPDX-License-Identifier: Apache-2.0
#include "virtio/net_link.hpp"

#include <utility>

#include <sys/epoll.h>

#include "support/system.hpp"

namespace alcove::virtio {

Result<void> DescriptorLink::start() {
    TRY(sys::set_non_blocking(fd_, true));
    watch_ = TRY(loop_.watch(fd_, 0, [this](uint32_t events) { on_event(events); }));
    return {};
}

void DescriptorLink::update() {
    if (watch_ == 0) return;
    const uint32_t events = (wants_frames_ ? EPOLLIN : 0U) | (wants_room_ ? EPOLLOUT : 0U);
    // Of a live watch on an open descriptor: epoll has no reason to refuse.
    loop_.change(watch_, events).value();
}

void DescriptorLink::want_frames(bool on) {
    if (std::exchange(wants_frames_, on) != on) update();
}

void DescriptorLink::want_room(bool on) {
    if (std::exchange(wants_room_, on) != on) update();
}

void DescriptorLink::let_go() {
    loop_.unwatch(std::exchange(watch_, 0));
    fd_.reset();
}

void DescriptorLink::close() {
    if (!fd_.is_open()) return;
    let_go();
    loop_.post([this, alive = std::weak_ptr(alive_)] {
        if (!alive.expired() && user_ != nullptr) user_->link_changed();
    });
}

void DescriptorLink::on_event(uint32_t events) {
    if ((events & EPOLLOUT) != 0 && wants_room_ && continue_sending()) {
        want_room(false);
        if (user_ != nullptr) user_->room_again();
    }
    if ((events & EPOLLIN) != 0 && wants_frames_ && user_ != nullptr) return user_->frames_waiting();
    // Comes unasked for and goes on coming. What was not read by then is lost with the other side.
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) close();
}

}  // namespace alcove::virtio

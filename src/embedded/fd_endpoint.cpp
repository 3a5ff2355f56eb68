// SPDX-License-Identifier: Apache-2.0
#include "embedded/fd_endpoint.hpp"

#include <utility>

#include <sys/socket.h>

#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::embedded {

FdEndpoint::FdEndpoint(EventLoop& loop, Mux& mux, StreamId id, Fd socket)
    : loop_(loop), mux_(mux), id_(id), socket_(std::move(socket)) {
    if (const auto done = sys::set_non_blocking(socket_, true); !done)
        log::error("bridge: {}", done.error().to_string());
}

FdEndpoint::~FdEndpoint() {
    loop_.unwatch(watch_);
    loop_.cancel(linger_timer_);
}

// Watches exactly these events; none at all takes the descriptor out of the loop, because a hang-up is
// reported whether or not it was asked for.
void FdEndpoint::watch(uint32_t events) {
    if (hung_up_) events = 0;
    if (events == watched_) return;
    if (events == 0) {
        loop_.unwatch(std::exchange(watch_, 0));
    } else if (watch_ == 0) {
        const auto id = loop_.watch(socket_, events, [this](uint32_t happened) { on_event(happened); });
        if (!id) {
            mux_.reset(id_, id.error());
            return;
        }
        watch_ = *id;
    } else if (const auto changed = loop_.change(watch_, events); !changed) {
        mux_.reset(id_, changed.error());
        return;
    }
    watched_ = events;
}

void FdEndpoint::on_event(uint32_t events) {
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        hung_up_ = true;
        watch(0);
        output_ended();
        mux_.sendable(id_);
        return;
    }
    if ((events & EPOLLOUT) != 0) write_out();
    if ((events & EPOLLIN) != 0) {
        // Not watched again until pull() finds nothing more: meanwhile the mux decides when to read.
        watch(watched_ & ~uint32_t{EPOLLIN});
        mux_.sendable(id_);
    }
}

StreamEndpoint::Pulled FdEndpoint::pull(MutableByteView into) {
    const auto transfer = sys::read_some(socket_, into);
    // A program that closed with bytes of ours unread leaves ECONNRESET behind what it wrote: an end as well.
    if (!transfer || (transfer->bytes == 0 && !transfer->would_block)) return {.state = Pull::End};
    if (transfer->would_block) {
        if (hung_up_) return {.state = Pull::End};
        watch(watched_ | EPOLLIN);
        return {.state = Pull::Later};
    }
    return {.state = Pull::Data, .bytes = transfer->bytes};
}

void FdEndpoint::deliver(ByteView bytes) {
    if (waiting_.empty() && !output_dead_) {
        const auto transfer = sys::write_some(socket_, bytes);
        if (transfer) {
            bytes = bytes.subspan(transfer->bytes);
            mux_.consumed(id_, transfer->bytes);
            if (bytes.empty()) return;
        } else {
            output_ended();
        }
    }
    if (output_dead_) {
        mux_.consumed(id_, bytes.size());
        return;
    }
    waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
    watch(watched_ | EPOLLOUT);
}

void FdEndpoint::write_out() {
    const auto transfer = sys::write_some(socket_, ByteView(waiting_).subspan(written_));
    if (!transfer) {
        output_ended();
        return;
    }
    written_ += transfer->bytes;
    if (written_ == waiting_.size()) {
        waiting_.clear();
        written_ = 0;
        watch(watched_ & ~uint32_t{EPOLLOUT});
        if (peer_ended_) ::shutdown(socket_.get(), SHUT_WR);  // fails only where the program is gone already
    } else if (written_ >= kWindow / 2) {
        waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(written_));
        written_ = 0;
    }
    mux_.consumed(id_, transfer->bytes);
}

void FdEndpoint::output_ended() {
    if (std::exchange(output_dead_, true)) return;
    watch(watched_ & ~uint32_t{EPOLLOUT});
    mux_.consumed(id_, waiting_.size() - written_);
    waiting_.clear();
    written_ = 0;
    linger_timer_ = loop_.after(kLinger, [this] {
        linger_timer_ = 0;
        mux_.reset(id_, Error(ErrorCode::ConnectionLost, "the other end closed the stream"));
    });
}

void FdEndpoint::opened() {
    if (hooks_.opened) hooks_.opened();
}

void FdEndpoint::peer_shutdown() {
    peer_ended_ = true;
    if (waiting_.empty()) ::shutdown(socket_.get(), SHUT_WR);
}

void FdEndpoint::closed(const Error* reason) {
    loop_.unwatch(std::exchange(watch_, 0));
    loop_.cancel(std::exchange(linger_timer_, 0));
    watched_ = 0;
    if (hooks_.closed) hooks_.closed(reason);
    socket_.reset();
}

}  // namespace alcove::embedded

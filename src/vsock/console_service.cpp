// SPDX-License-Identifier: Apache-2.0
#include "vsock/console_service.hpp"

#include <utility>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "support/system.hpp"

namespace alcove::vsock {

ConsoleService::~ConsoleService() {
    loop_.cancel(timer_);
    for (const auto& [id, reader] : readers_)
        loop_.unwatch(reader.watch);
}

void ConsoleService::add(Cid enclave, Fd ring) {
    remove(enclave);
    consoles_[enclave] = std::move(ring);
}

void ConsoleService::remove(Cid enclave) {
    if (consoles_.erase(enclave) == 0) return;
    for (auto& [id, reader] : readers_)
        if (reader.enclave == enclave) reader.is_last = true;
    pump_all();
}

void ConsoleService::open(Port port, Done done) {
    const Cid enclave{uint64_t{number(port)} - kFirstPort};
    const auto console = number(port) < kFirstPort ? consoles_.end() : consoles_.find(enclave);
    if (console == consoles_.end()) return done(fail(ErrorCode::NotFound, "there is no such console"));
    done(start(enclave, console->second));
}

Result<Fd> ConsoleService::start(Cid enclave, const Fd& ring) {
    if (readers_.size() >= kMaxReaders)
        return fail(ErrorCode::LimitExceeded, "too many read consoles at once");
    auto reader = TRY(api::ConsoleRingReader::open(ring));
    auto pair = TRY(sys::socket_pair(SOCK_STREAM));
    TRY(sys::set_non_blocking(pair.first, true));
    const ReaderId id = next_reader_++;
    auto& entry =
        readers_.try_emplace(id, Reader{enclave, std::move(reader), std::move(pair.first), {}}).first->second;
    // No events, which leaves the one that is always told of: that the reader has gone.
    auto watch = loop_.watch(entry.socket, 0, [this, id](uint32_t events) {
        if ((events & (EPOLLHUP | EPOLLERR)) != 0) return finish(id);
        if (!pump(readers_.at(id))) finish(id);
    });
    if (!watch) {
        readers_.erase(id);
        return Failure{watch.error()};
    }
    entry.watch = *watch;
    schedule();
    return std::move(pair.second);
}

bool ConsoleService::pump(Reader& reader) {
    while (true) {
        if (!write_piece(reader)) return false;
        const bool is_blocked = reader.done < reader.piece.size();
        if (is_blocked != std::exchange(reader.waits, is_blocked) &&
            !loop_.change(reader.watch, is_blocked ? uint32_t{EPOLLOUT} : 0))
            return false;
        if (is_blocked) return true;
        // Before the look: what is written after it is not the enclave's any more.
        const bool is_last = reader.is_last;
        reader.piece = reader.ring.read().data;
        reader.done = 0;
        if (reader.piece.empty()) return !is_last;
    }
}

// False when nobody reads it.
bool ConsoleService::write_piece(Reader& reader) {
    while (reader.done < reader.piece.size()) {
        const auto transfer = sys::write_some(reader.socket, ByteView(reader.piece).subspan(reader.done));
        if (!transfer) return false;
        if (transfer->would_block) return true;
        reader.done += transfer->bytes;
    }
    return true;
}

void ConsoleService::pump_all() {
    std::vector<ReaderId> done;
    for (auto& [id, reader] : readers_)
        if (!reader.waits && !pump(reader)) done.push_back(id);
    for (const ReaderId id : done)
        finish(id);
}

void ConsoleService::schedule() {
    if (timer_ != 0 || readers_.empty()) return;
    timer_ = loop_.after(kInterval, [this] {
        timer_ = 0;
        pump_all();
        schedule();
    });
}

void ConsoleService::finish(ReaderId id) {
    const auto node = readers_.extract(id);
    if (!node.empty()) loop_.unwatch(node.mapped().watch);
}

}  // namespace alcove::vsock

// SPDX-License-Identifier: Apache-2.0
#include "enclave/vmm_log.hpp"

#include <array>

#include "api/protocol.hpp"
#include "support/system.hpp"

namespace alcove::enclave {

namespace {
constexpr int kPiecesPerTurn = 16;     // then others on the loop have theirs
constexpr int kPiecesPerDrain = 1024;  // more than a pipe holds
}  // namespace

Result<std::unique_ptr<VmmLog>> VmmLog::create(EventLoop& loop, Fd pipe) {
    TRY(sys::set_non_blocking(pipe, true));
    std::unique_ptr<VmmLog> log(new VmmLog(loop, std::move(pipe)));
    VmmLog* self = log.get();
    self->watch_ = TRY(loop.watch(self->pipe_, EPOLLIN, [self](uint32_t) {
        for (int i = 0; i < kPiecesPerTurn; ++i)
            if (!self->read_piece()) return;
    }));
    return log;
}

VmmLog::~VmmLog() {
    loop_.unwatch(watch_);
}

void VmmLog::drain() {
    for (int i = 0; i < kPiecesPerDrain; ++i)
        if (!read_piece()) break;
    end_line();
}

bool VmmLog::read_piece() {
    if (!pipe_.is_open()) return false;
    std::array<uint8_t, 4096> piece;
    const auto transfer = sys::read_some(pipe_, piece);
    if (transfer && transfer->would_block) return false;
    if (!transfer || transfer->bytes == 0) {
        loop_.unwatch(watch_);
        pipe_.reset();
        end_line();
        return false;
    }
    for (const uint8_t byte : ByteView(piece).first(transfer->bytes)) {
        if (byte != '\n') line_.push_back(static_cast<char>(byte));
        if (byte == '\n' || line_.size() == kMaxLine) end_line();
    }
    return true;
}

void VmmLog::end_line() {
    if (line_.empty()) return;
    last_line_ = api::printable(as_byte_view(line_));
    line_.clear();
    uint64_t suppressed = 0;
    if (!limit_.allow(suppressed)) return;
    if (suppressed != 0) log::warn("vmm: {} lines left out", suppressed);
    log::info("vmm: {}", last_line_);
}

}  // namespace alcove::enclave

// SPDX-License-Identifier: Apache-2.0
#include "vmm/epc_balloon.hpp"

#include <algorithm>

#include "sgx/engine.hpp"

namespace alcove::vmm {

namespace {

// An enclave without pages is a SECS and a page of versions.
constexpr sgx::IdlePages kUnit{.secs = 1, .version_arrays = 1};
constexpr uint64_t kUnitBytes = 2 * sgx::kPageSize;

}  // namespace

EpcBalloon::EpcBalloon(EventLoop& loop, uint64_t target)
    : target_(target),
      port_(loop, kPortName,
            {.opened =
                 [this](bool is_open) {
                     reported_ = 0;
                     partial_size_ = 0;
                     if (is_open) tell();
                 },
             .came = [this](ByteView bytes) { take(bytes); }}) {}

uint64_t EpcBalloon::demand(uint64_t target) {
    return (target + kUnit.bytes() - 1) / kUnit.bytes() * kUnitBytes;
}

void EpcBalloon::set_target(uint64_t target) {
    target_ = target;
    tell();
}

void EpcBalloon::tell() {
    const BalloonMessage message{.version = BalloonMessage::kVersion,
                                 .kind = BalloonMessage::kHold,
                                 .reserved = 0,
                                 .bytes = demand(target_)};
    port_.tell(to_bytes(object_bytes(message)));
}

void EpcBalloon::take(ByteView bytes) {
    while (!bytes.empty()) {
        const size_t part = std::min(bytes.size(), partial_.size() - partial_size_);
        std::copy_n(bytes.begin(), part, partial_.begin() + static_cast<ptrdiff_t>(partial_size_));
        bytes = bytes.subspan(part);
        partial_size_ += part;
        if (partial_size_ < partial_.size()) return;
        partial_size_ = 0;
        const auto message = read_object<BalloonMessage>(ByteView(partial_)).value();  // as large as it is
        if (message.version == BalloonMessage::kVersion && message.kind == BalloonMessage::kHeld)
            reported_ = message.bytes;
    }
}

}  // namespace alcove::vmm

// SPDX-License-Identifier: Apache-2.0
#include "nsm/device.hpp"

#include <algorithm>

namespace alcove::nsm {

void NsmDevice::activate(virtio::Activation activation) {
    link_ = activation.link;
    queue_ = std::move(activation.queues[0]);
}

void NsmDevice::reset() {
    ++generation_;
    answering_ = false;
    failure_.reset();
    requests_.clear();
    buffers_.clear();
    queue_.reset();
    link_ = nullptr;
}

Result<void> NsmDevice::process_queue(uint16_t) {
    TRY(queue_->disable_notifications());
    bool has_more = true;
    while (has_more) {
        TRY(take_chains());
        has_more = TRY(queue_->enable_notifications());
    }
    return work();
}

Result<void> NsmDevice::take_chains() {
    while (true) {
        virtio::Chain chain;
        const bool taken = TRY(queue_->pop(chain));
        if (!taken) return {};
        const bool has_buffer = chain.writable_bytes > 0;
        if (chain.readable_bytes > 0) {
            requests_.push_back({.chain = std::move(chain), .has_buffer = has_buffer});
        } else {
            buffers_.push_back(std::move(chain));
        }
    }
}

// Begins with the next request when there is one and a buffer for its answer.
Result<void> NsmDevice::work() {
    working_ = true;
    while (!answering_ && !failure_ && !requests_.empty() &&
           (requests_.front().has_buffer || !buffers_.empty())) {
        const auto& request = requests_.front();
        begin(request.chain, request.has_buffer ? request.chain : buffers_.front());
    }
    working_ = false;
    if (failure_) return Failure{*failure_};
    return {};
}

void NsmDevice::begin(const virtio::Chain& request, const virtio::Chain& buffer) {
    // One byte more than is allowed is copied, so that too much shows.
    Bytes copy(std::min<size_t>(request.readable_bytes, kMaxRequestSize + 1));
    copy.resize(virtio::copy_from(request.readable, 0, copy));
    answering_ = true;
    service_.handle(
        copy, std::min(buffer.writable_bytes, kMaxResponseSize),
        [this, generation = generation_](const Bytes& response) { on_response(generation, response); });
}

// From within work(), or later from the loop.
void NsmDevice::on_response(uint64_t generation, const Bytes& response) {
    if (generation != generation_) return;
    answering_ = false;
    auto result = give_back(response);
    if (!result) failure_ = std::move(result).error();
    if (working_) return;
    const auto worked = work();
    if (!worked) link_->needs_reset(worked.error());
}

// Both used entries are published together: Linux takes the second as soon as it has seen the first.
Result<void> NsmDevice::give_back(ByteView response) {
    const auto request = std::move(requests_.front());
    requests_.pop_front();
    auto buffer = request.chain;
    if (!request.has_buffer) {
        buffer = std::move(buffers_.front());
        buffers_.pop_front();
        TRY(queue_->push_used(request.chain.head, 0));
    }
    const auto written =
        static_cast<uint32_t>(virtio::copy_to(queue_->memory(), buffer.writable, 0, response));
    TRY(queue_->push_used(buffer.head, written));
    const bool interrupt = TRY(queue_->publish_and_check());
    if (interrupt) link_->interrupt(virtio::queue_bit(0));
    return {};
}

}  // namespace alcove::nsm

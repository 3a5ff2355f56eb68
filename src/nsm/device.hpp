// SPDX-License-Identifier: Apache-2.0
//
// virtio-nsm (nitro.md 4.1): one queue, no features, no configuration. For a request a driver makes two
// chains available, first the request's bytes, then a buffer, and takes them back in that order with one
// interrupt: the request with length 0, the buffer with the answer's. Also served: both in one chain, the two
// in the other order, pieces of any size. Requests and buffers pair up in the order in which each kind came.
//
//            both there                 the attestor has answered
//     idle ───────────────► answering ────────────────────────────► idle ...
//
// One request is worked on at a time. What waits is bounded by the ring.
#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "nsm/service.hpp"
#include "virtio/device.hpp"

namespace alcove::nsm {

class NsmDevice : public virtio::VirtioDevice {
  public:
    static constexpr uint16_t kQueueSize = 16;
    static constexpr uint32_t kMaxResponseSize = 0x3000;  // of the buffer that is looked at

    // The client is borrowed and outlives the device. All on the event loop's thread.
    explicit NsmDevice(AttestorClient& client) : service_(client) {}
    ~NsmDevice() override { reset(); }
    NsmDevice(const NsmDevice&) = delete;
    NsmDevice& operator=(const NsmDevice&) = delete;

    std::string_view name() const override { return "nsm"; }
    uint32_t device_id() const override { return virtio::device_id::kNitroSecureModule; }
    std::vector<uint16_t> queue_sizes() const override { return {kQueueSize}; }

    void activate(virtio::Activation activation) override;
    void reset() override;
    Result<void> process_queue(uint16_t index) override;

    const NsmService::Counters& counters() const { return service_.counters(); }

  private:
    struct Waiting {
        virtio::Chain chain;
        bool has_buffer;  // the answer goes into the same chain
    };

    Result<void> take_chains();
    Result<void> work();
    void begin(const virtio::Chain& request, const virtio::Chain& buffer);
    void on_response(uint64_t generation, const Bytes& response);
    Result<void> give_back(ByteView response);

    NsmService service_;
    virtio::DriverLink* link_ = nullptr;
    std::optional<virtio::Queue> queue_;
    std::deque<Waiting> requests_;  // the first is the one worked on
    std::deque<virtio::Chain> buffers_;
    bool answering_ = false;        // the first request is with the service
    bool working_ = false;          // work() runs: it goes on by itself after an answer
    std::optional<Error> failure_;  // the driver broke the ring: nothing more until reset
    uint64_t generation_ = 0;       // of activations: an answer to an earlier one is dropped
};

}  // namespace alcove::nsm

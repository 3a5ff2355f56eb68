// SPDX-License-Identifier: Apache-2.0
//
// A device for the tests of the transports: remembers what was done with it, and gives each chain back as it
// is.
#pragma once

#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "virtio/device.hpp"

namespace alcove::virtio {

class FakeDevice : public VirtioDevice {
  public:
    std::string_view name() const override { return "fake"; }
    uint32_t device_id() const override { return 42; }
    uint64_t features() const override { return bit<uint64_t>(3) | bit<uint64_t>(40); }
    std::vector<uint16_t> queue_sizes() const override { return {64, 128}; }
    bool wants_one_interrupt() const override { return one_interrupt; }
    Bytes config() const override { return config_bytes; }
    void write_config(uint64_t offset, ByteView data) override {
        config_writes.emplace_back(offset, to_bytes(data));
    }
    void activate(Activation activation) override {
        active = std::move(activation);
        is_active = true;
    }
    void reset() override {
        is_active = false;
        active = {};
        ++resets;
    }
    Result<void> process_queue(uint16_t index) override {
        EXPECT_TRUE(is_active);
        processed.push_back(index);
        Chain chain;
        const bool taken = TRY(active.queues[index].pop(chain));
        if (!taken) return {};
        TRY(active.queues[index].push_used(chain.head, 0));
        const bool interrupt = TRY(active.queues[index].publish_and_check());
        if (interrupt) active.link->interrupt(queue_bit(index));
        return {};
    }

    bool one_interrupt = false;
    Bytes config_bytes = {1, 2, 3, 4, 5, 6};
    std::vector<std::pair<uint64_t, Bytes>> config_writes;
    Activation active;
    bool is_active = false;
    int resets = 0;
    std::vector<uint16_t> processed;
};

}  // namespace alcove::virtio

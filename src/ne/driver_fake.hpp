// SPDX-License-Identifier: Apache-2.0
//
// The other side of the device, for tests and fuzzers: what the Linux driver does to the registers, in its
// order and with its widths (nitro.md 1.4, 1.5), without waiting for anything.
#pragma once

#include <atomic>

#include "bus/bus_device.hpp"
#include "bus/interrupt_line.hpp"
#include "ne/spec.hpp"
#include "support/bytes.hpp"

namespace alcove::ne {

class CountingLine : public bus::MaskableLine {
  public:
    void trigger() override { count_.fetch_add(1, std::memory_order_relaxed); }
    void forget_pending() override {}
    uint64_t count() const { return count_.load(std::memory_order_relaxed); }

  private:
    std::atomic<uint64_t> count_ = 0;
};

class FakeDriver {
  public:
    explicit FakeDriver(bus::BusDevice& device) : device_(device) {}

    template <typename Int>
    Int get(uint64_t offset) {
        std::array<uint8_t, sizeof(Int)> bytes{};
        device_.read(offset, bytes);
        return std::bit_cast<Int>(bytes);
    }
    template <typename Int>
    void put(uint64_t offset, Int value) {
        device_.write(offset, std::bit_cast<std::array<uint8_t, sizeof(Int)>>(value));
    }

    void disable() { put<uint8_t>(reg::ENABLE, ENABLE_OFF); }
    bool is_off() { return get<uint8_t>(reg::ENABLE) == ENABLE_OFF; }
    // Version, then enable, each read back once. False: the probe would fail with -EIO.
    bool enable() {
        put<uint16_t>(reg::VERSION, VERSION_MAX);
        if (get<uint16_t>(reg::VERSION) != VERSION_MAX) return false;
        put<uint8_t>(reg::ENABLE, ENABLE_ON);
        return get<uint8_t>(reg::ENABLE) == ENABLE_ON;
    }

    template <typename Body>
    void command(const Body& body) {
        copy_in(reg::SEND_DATA, object_bytes(body));
        put<uint32_t>(reg::COMMAND, static_cast<uint32_t>(Body::kCommand));
    }
    Reply reply() {
        Bytes bytes(sizeof(Reply));
        for (size_t at = 0; at < bytes.size(); at += 4)
            device_.read(reg::RECV_DATA + at, MutableByteView(bytes).subspan(at, 4));
        return read_object<Reply>(bytes).value();
    }
    int32_t rc() { return static_cast<int32_t>(get<uint32_t>(reg::RECV_DATA)); }

  private:
    // As the kernel's memcpy_toio() on x86: 4 bytes at a time, then a tail of 2 and of 1.
    void copy_in(uint64_t offset, ByteView bytes) {
        for (const size_t width : {4U, 2U, 1U}) {
            while (bytes.size() >= width) {
                device_.write(offset, bytes.first(width));
                bytes = bytes.subspan(width);
                offset += width;
            }
        }
    }

    bus::BusDevice& device_;
};

}  // namespace alcove::ne

// SPDX-License-Identifier: Apache-2.0
//
// A split virtqueue, seen from the device (VIRTIO 1.2, 2.7). Its configuration is fixed when it is made
// and was checked whole: size, alignment, and that all three parts lie in guest RAM. Everything in the
// rings is the guest's word: each index, descriptor and length is copied once and the copy is checked. A
// ring that breaks the rules is an Error; the device hands it up and the driver has to reset.
//
// Notifications go both ways. Towards the driver: push_used() collects, publish() shows the driver what
// was collected, take_interrupt() says whether it wants to be interrupted for what it has not been
// told about yet (with EVENT_IDX it may have asked to be left alone until a certain index). Towards us:
// with notifications disabled the driver adds chains silently; enable_notifications() closes the race by
// looking once more.
//
// Belongs to the event loop's thread.
#pragma once

#include <cstdint>
#include <memory>

#include "memory/guest_memory.hpp"
#include "support/result.hpp"
#include "virtio/chain.hpp"
#include "virtio/spec.hpp"

namespace alcove::virtio {

struct QueueLayout {
    uint16_t size = 0;  // a power of two
    memory::GuestAddress descriptor_table;
    memory::GuestAddress available_ring;
    memory::GuestAddress used_ring;
    bool operator==(const QueueLayout&) const = default;
};

class Queue {
  public:
    // Longest indirect table that is taken. The specification's bound is the queue size, which Linux does
    // not keep for indirect chains.
    static constexpr uint32_t kMaxIndirectEntries = 1024;

    // `features` are those the driver accepted. ErrorCode::InvalidArgument for a bad size or alignment,
    // ErrorCode::GuestAddressInvalid when a part is not in RAM.
    static Result<Queue> create(std::shared_ptr<memory::GuestMemory> memory, const QueueLayout& layout,
                                uint64_t features);
    // A queue the driver did not enable: never has a chain.
    static Queue disabled() { return Queue(); }

    bool is_enabled() const { return layout_.size != 0; }
    uint16_t size() const { return layout_.size; }
    const memory::GuestMemory& memory() const { return *memory_; }

    // Takes the next chain into `chain`, whose storage is used again. False when there is none.
    // ErrorCode::InvalidMessage (or GuestAddressInvalid) when the driver broke the rules: the queue is then
    // of no use until reset.
    Result<bool> pop(Chain& chain);
    // Puts the last `count` chains that were taken back, unused; they must not have been pushed.
    void unpop(uint16_t count);

    // Gives a chain back with `written` bytes filled from the start of its writable part. The driver sees
    // it at publish().
    Result<void> push_used(uint16_t head, uint32_t written);
    Result<void> publish();
    // Whether the driver wants an interrupt for what was published since the last decision.
    Result<bool> take_interrupt();
    // publish() and take_interrupt(): for devices that answer in batches.
    Result<bool> publish_and_check() {
        TRY(publish());
        return take_interrupt();
    }
    // Chains published since the last interrupt decision.
    uint16_t unsignalled() const { return static_cast<uint16_t>(published_used_ - signalled_used_); }

    Result<void> disable_notifications();
    // True when chains came before the driver could know: go on working, nobody will call. With EVENT_IDX,
    // `ahead` chains may come silently and the one after them rings; who asks for that looks after a while
    // of its own accord.
    Result<bool> enable_notifications(uint16_t ahead = 0);

    // Chains taken and not yet given back.
    uint16_t in_flight() const { return in_flight_; }

  private:
    Queue() = default;
    Queue(std::shared_ptr<memory::GuestMemory> memory, const QueueLayout& layout, uint64_t features);

    Result<uint16_t> available_count() const;
    Result<void> append(Chain& chain, const Descriptor& descriptor);
    Result<void> append_indirect(Chain& chain, const Descriptor& descriptor);
    memory::GuestAddress available_at(uint64_t offset) const;
    memory::GuestAddress used_at(uint64_t offset) const;

    std::shared_ptr<memory::GuestMemory> memory_;
    QueueLayout layout_;
    bool indirect_ = false;
    bool event_index_ = false;

    // Free-running, modulo 2^16, like the indices in the rings.
    uint16_t next_available_ = 0;
    uint16_t next_used_ = 0;       // where push_used() writes
    uint16_t published_used_ = 0;  // what the driver sees
    uint16_t signalled_used_ = 0;  // up to where the driver has been told
    uint16_t in_flight_ = 0;
};

}  // namespace alcove::virtio

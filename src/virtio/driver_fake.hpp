// SPDX-License-Identifier: Apache-2.0
//
// The other side of every device, for tests and fuzzers: a driver that builds rings in guest memory and
// works registers, and hostile where a test wants it to be. It allocates guest memory upwards and never
// frees.
//
//     FakeMachine machine;                      // memory, loop, interrupt line
//     RngDevice device(machine.loop());
//     FakeDriver driver(machine, device);
//     driver.start();                           // negotiates, sets up queues, DRIVER_OK
//     auto& queue = driver.queue(0);
//     queue.add({}, {64});                      // one chain: nothing readable, 64 bytes writable
//     driver.notify(0);
//     machine.run();                            // the loop, until nothing happens
//     auto used = queue.take_used();
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "virtio/mmio_transport.hpp"

namespace alcove::virtio {

class CountingLine : public bus::InterruptLine {
  public:
    void trigger() override { count_.fetch_add(1, std::memory_order_relaxed); }
    uint64_t count() const { return count_.load(std::memory_order_relaxed); }

  private:
    std::atomic<uint64_t> count_ = 0;  // raised from any thread
};

// What a device needs around it. The thread that makes it is the loop's thread.
class FakeMachine {
  public:
    static constexpr uint64_t kMemoryBase = 0x10000;
    explicit FakeMachine(uint64_t memory_size = 16 * 1024 * 1024);

    EventLoop& loop() { return *loop_; }
    const std::shared_ptr<memory::GuestMemory>& memory() { return memory_; }
    CountingLine& line() { return line_; }

    // Guest memory that nobody else has; aborts when there is no more.
    memory::GuestAddress allocate(uint64_t size, uint64_t alignment = 16);
    // Forgets all allocations: for fuzzers, between runs.
    void release_all() { next_ = kMemoryBase; }
    Bytes bytes_at(memory::GuestAddress address, uint64_t size) const;

    // Runs the loop until a round finds nothing to do.
    void run();
    // Runs the loop until `done` says so; false when that takes longer than `limit`.
    bool run_until(const std::function<bool()>& done,
                   std::chrono::milliseconds limit = std::chrono::seconds(120));

  private:
    std::unique_ptr<EventLoop> loop_;
    std::shared_ptr<memory::GuestMemory> memory_;
    uint64_t size_;
    uint64_t next_ = kMemoryBase;
    CountingLine line_;
};

// The driver's side of one split virtqueue.
class FakeQueue {
  public:
    FakeQueue(FakeMachine& machine, uint16_t size, uint64_t features);

    struct Piece {
        memory::GuestAddress address;
        uint32_t length;
        bool is_writable;
    };
    struct Used {
        uint16_t head;
        uint32_t length;
    };

    const QueueLayout& layout() const { return layout_; }
    uint16_t free_descriptors() const { return static_cast<uint16_t>(free_.size()); }

    // Makes one chain available and says its head; nothing when descriptors are used up.
    std::optional<uint16_t> add(const std::vector<Piece>& pieces);
    // The same through an indirect table.
    std::optional<uint16_t> add_indirect(const std::vector<Piece>& pieces);
    // Allocates buffers: one readable piece with these bytes, then writable pieces of these lengths.
    std::optional<uint16_t> add(ByteView readable, const std::vector<uint32_t>& writable);
    // The pieces of a chain that was added, by head, also after it was used.
    const std::vector<Piece>& pieces(uint16_t head) const { return chains_[head]; }
    Bytes written(const Used& used) const;  // what the device says it wrote

    // The next chain the device gave back.
    std::optional<Used> take_used();
    uint16_t used_index() const;

    // EVENT_IDX: whether the device wants to know of what was added since the last call.
    bool wants_notification();
    // EVENT_IDX: interrupt when `ahead` more chains than were taken have been used. 0: the next one.
    void want_interrupt(uint16_t ahead = 0);

    // Raw, for drivers that do not keep the rules.
    void write_descriptor(uint16_t index, const Descriptor& descriptor);
    void make_available(uint16_t head);  // without any descriptor behind it
    void set_available_index(uint16_t index);
    uint16_t available_index() const { return available_; }

  private:
    std::optional<uint16_t> reserve(size_t count, std::vector<uint16_t>& indices);

    FakeMachine& machine_;
    QueueLayout layout_;
    std::vector<uint16_t> free_;
    std::vector<std::vector<Piece>> chains_;     // by head
    std::vector<std::vector<uint16_t>> in_use_;  // by head: its descriptors
    uint16_t available_ = 0;
    uint16_t announced_ = 0;
    uint16_t taken_ = 0;
};

class FakeDriver {
  public:
    FakeDriver(FakeMachine& machine, VirtioDevice& device, bus::DoorbellHost* doorbells = nullptr);

    static constexpr memory::GuestAddress kBase{0xd0000000};
    static constexpr uint64_t kUsualFeatures =
        feature::VERSION_1 | feature::INDIRECT_DESC | feature::EVENT_IDX;

    MmioTransport& transport() { return *transport_; }
    FakeMachine& machine() { return machine_; }

    uint32_t read(uint32_t reg);
    void write(uint32_t reg, uint32_t value);
    uint64_t device_features();

    // The whole initialisation of VIRTIO 1.2, 3.1.1, in its parts and together. `sizes` of 0 leave a queue
    // disabled; without sizes each has its largest, but not more than 256.
    bool negotiate(uint64_t features = kUsualFeatures);  // FEATURES_OK stuck
    void set_up_queue(uint16_t index, const QueueLayout& layout);
    void start(uint64_t features = kUsualFeatures, const std::vector<uint16_t>& sizes = {});
    void reset();

    FakeQueue& queue(uint16_t index) { return *queues_[index]; }
    void notify(uint16_t index) { write(mmio::QueueNotify, index); }
    // As a driver does: only when the device asked for it.
    void notify_if_wanted(uint16_t index) {
        if (queue(index).wants_notification()) notify(index);
    }

  private:
    FakeMachine& machine_;
    std::unique_ptr<MmioTransport> transport_;
    std::vector<std::unique_ptr<FakeQueue>> queues_;
};

}  // namespace alcove::virtio

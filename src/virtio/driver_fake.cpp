// SPDX-License-Identifier: Apache-2.0
#include "virtio/driver_fake.hpp"

#include <algorithm>

namespace alcove::virtio {

using memory::GuestAddress;

FakeMachine::FakeMachine(uint64_t memory_size) : size_(memory_size) {
    // Aborting is right here: a test cannot go on without either.
    loop_ = EventLoop::create().value();
    memory_ =
        memory::GuestMemory::create_anonymous({.base = GuestAddress(kMemoryBase), .size = size_}).value();
}

GuestAddress FakeMachine::allocate(uint64_t size, uint64_t alignment) {
    next_ = align_up(next_, alignment);
    const GuestAddress address(next_);
    next_ += size;
    ALCOVE_CHECK(next_ <= kMemoryBase + size_, "the fake machine has enough memory");
    return address;
}

Bytes FakeMachine::bytes_at(GuestAddress address, uint64_t size) const {
    Bytes bytes(size);
    if (size > 0) memory_->read_bytes(address, bytes).value();
    return bytes;
}

void FakeMachine::run() {
    constexpr int kMany = 100'000;
    int rounds = 0;
    while (loop_->run_once(std::chrono::milliseconds(0)).value() > 0)
        ALCOVE_CHECK(++rounds < kMany, "the loop comes to rest");
}

bool FakeMachine::run_until(const std::function<bool()>& done, std::chrono::milliseconds limit) {
    const auto deadline = EventLoop::Clock::now() + limit;
    while (!done()) {
        if (EventLoop::Clock::now() > deadline) return false;
        (void)loop_->run_once(std::chrono::milliseconds(10));
    }
    return true;
}

FakeQueue::FakeQueue(FakeMachine& machine, uint16_t size, uint64_t) : machine_(machine) {
    layout_ = {.size = size,
               .descriptor_table = machine.allocate(ring::descriptor_table_bytes(size), 16),
               .available_ring = machine.allocate(ring::available_bytes(size), 2),
               .used_ring = machine.allocate(ring::used_bytes(size), 4)};
    machine.memory()->fill_zero(layout_.descriptor_table, ring::descriptor_table_bytes(size)).value();
    machine.memory()->fill_zero(layout_.available_ring, ring::available_bytes(size)).value();
    machine.memory()->fill_zero(layout_.used_ring, ring::used_bytes(size)).value();
    for (uint16_t i = size; i > 0; --i)
        free_.push_back(static_cast<uint16_t>(i - 1));
    chains_.resize(size);
    in_use_.resize(size);
}

std::optional<uint16_t> FakeQueue::reserve(size_t count, std::vector<uint16_t>& indices) {
    if (count == 0 || free_.size() < count) return std::nullopt;
    for (size_t i = 0; i < count; ++i) {
        indices.push_back(free_.back());
        free_.pop_back();
    }
    in_use_[indices[0]] = indices;
    return indices[0];
}

std::optional<uint16_t> FakeQueue::add(const std::vector<Piece>& pieces) {
    std::vector<uint16_t> indices;
    const auto head = reserve(pieces.size(), indices);
    if (!head) return std::nullopt;
    for (size_t i = 0; i < pieces.size(); ++i) {
        const bool has_next = i + 1 < pieces.size();
        const unsigned flags =
            (pieces[i].is_writable ? descriptor_flag::WRITE : 0U) | (has_next ? descriptor_flag::NEXT : 0U);
        write_descriptor(indices[i], {.addr = pieces[i].address.value(),
                                      .len = pieces[i].length,
                                      .flags = static_cast<uint16_t>(flags),
                                      .next = has_next ? indices[i + 1] : uint16_t{0}});
    }
    chains_[*head] = pieces;
    make_available(*head);
    return head;
}

std::optional<uint16_t> FakeQueue::add_indirect(const std::vector<Piece>& pieces) {
    std::vector<uint16_t> indices;
    const auto head = reserve(1, indices);
    if (!head) return std::nullopt;
    const auto table = machine_.allocate(pieces.size() * sizeof(Descriptor));
    for (size_t i = 0; i < pieces.size(); ++i) {
        const unsigned flags = (pieces[i].is_writable ? descriptor_flag::WRITE : 0U) |
                               (i + 1 < pieces.size() ? descriptor_flag::NEXT : 0U);
        const Descriptor entry{.addr = pieces[i].address.value(),
                               .len = pieces[i].length,
                               .flags = static_cast<uint16_t>(flags),
                               .next = static_cast<uint16_t>(i + 1)};
        machine_.memory()->write(GuestAddress(table.value() + i * sizeof(Descriptor)), entry).value();
    }
    write_descriptor(*head, {.addr = table.value(),
                             .len = static_cast<uint32_t>(pieces.size() * sizeof(Descriptor)),
                             .flags = descriptor_flag::INDIRECT,
                             .next = 0});
    chains_[*head] = pieces;
    make_available(*head);
    return head;
}

std::optional<uint16_t> FakeQueue::add(ByteView readable, const std::vector<uint32_t>& writable) {
    std::vector<Piece> pieces;
    if (!readable.empty()) {
        const auto address = machine_.allocate(readable.size());
        machine_.memory()->write_bytes(address, readable).value();
        pieces.push_back({address, static_cast<uint32_t>(readable.size()), false});
    }
    for (const uint32_t length : writable)
        pieces.push_back({machine_.allocate(length), length, true});
    return add(pieces);
}

Bytes FakeQueue::written(const Used& used) const {
    Bytes bytes;
    uint32_t left = used.length;
    for (const auto& piece : chains_[used.head]) {
        if (!piece.is_writable) continue;
        const uint32_t count = std::min(left, piece.length);
        const Bytes part = machine_.bytes_at(piece.address, count);
        bytes.insert(bytes.end(), part.begin(), part.end());
        left -= count;
    }
    return bytes;
}

uint16_t FakeQueue::used_index() const {
    return machine_.memory()
        ->load_acquire_u16(GuestAddress(layout_.used_ring.value() + ring::kIndexOffset))
        .value();
}

std::optional<FakeQueue::Used> FakeQueue::take_used() {
    if (used_index() == taken_) return std::nullopt;
    const uint64_t entry = taken_ & (layout_.size - 1U);
    const auto element =
        machine_.memory()
            ->read<UsedElement>(
                GuestAddress(layout_.used_ring.value() + ring::kEntriesOffset + entry * sizeof(UsedElement)))
            .value();
    ++taken_;
    const auto head = static_cast<uint16_t>(element.id);
    ALCOVE_CHECK(head < layout_.size && !in_use_[head].empty(), "the device gives back what it was given");
    for (const uint16_t index : in_use_[head])
        free_.push_back(index);
    in_use_[head].clear();
    return Used{.head = head, .length = element.len};
}

bool FakeQueue::wants_notification() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const uint16_t old = std::exchange(announced_, available_);
    const uint16_t event = machine_.memory()
                               ->load_acquire_u16(GuestAddress(layout_.used_ring.value() +
                                                               ring::avail_event_offset(layout_.size)))
                               .value();
    return static_cast<uint16_t>(available_ - event - 1) < static_cast<uint16_t>(available_ - old);
}

void FakeQueue::want_interrupt(uint16_t ahead) {
    machine_.memory()
        ->store_release_u16(
            GuestAddress(layout_.available_ring.value() + ring::used_event_offset(layout_.size)),
            static_cast<uint16_t>(taken_ + ahead))
        .value();
}

void FakeQueue::write_descriptor(uint16_t index, const Descriptor& descriptor) {
    machine_.memory()
        ->write(GuestAddress(layout_.descriptor_table.value() + sizeof(Descriptor) * uint64_t{index}),
                descriptor)
        .value();
}

void FakeQueue::make_available(uint16_t head) {
    const uint64_t entry = available_ & (layout_.size - 1U);
    machine_.memory()
        ->write<Le16>(GuestAddress(layout_.available_ring.value() + ring::kEntriesOffset + 2 * entry), head)
        .value();
    set_available_index(static_cast<uint16_t>(available_ + 1));
}

void FakeQueue::set_available_index(uint16_t index) {
    available_ = index;
    machine_.memory()
        ->store_release_u16(GuestAddress(layout_.available_ring.value() + ring::kIndexOffset), index)
        .value();
}

FakeDriver::FakeDriver(FakeMachine& machine, VirtioDevice& device, bus::DoorbellHost* doorbells)
    : machine_(machine) {
    transport_ = MmioTransport::create({.loop = &machine.loop(),
                                        .memory = machine.memory(),
                                        .base = kBase,
                                        .line = &machine.line(),
                                        .doorbells = doorbells},
                                       device)
                     .value();
}

uint32_t FakeDriver::read(uint32_t reg) {
    Le32 value;
    transport_->read(reg, {reinterpret_cast<uint8_t*>(&value), sizeof value});
    return value;
}

void FakeDriver::write(uint32_t reg, uint32_t value) {
    const Le32 wire = value;
    transport_->write(reg, object_bytes(wire));
}

uint64_t FakeDriver::device_features() {
    write(mmio::DeviceFeaturesSel, 1);
    const uint64_t high = read(mmio::DeviceFeatures);
    write(mmio::DeviceFeaturesSel, 0);
    return (high << 32) | read(mmio::DeviceFeatures);
}

bool FakeDriver::negotiate(uint64_t features) {
    write(mmio::Status, 0);
    write(mmio::Status, status::ACKNOWLEDGE);
    write(mmio::Status, status::ACKNOWLEDGE | status::DRIVER);
    write(mmio::DriverFeaturesSel, 0);
    write(mmio::DriverFeatures, static_cast<uint32_t>(features));
    write(mmio::DriverFeaturesSel, 1);
    write(mmio::DriverFeatures, static_cast<uint32_t>(features >> 32));
    write(mmio::Status, status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK);
    return (read(mmio::Status) & status::FEATURES_OK) != 0;
}

void FakeDriver::set_up_queue(uint16_t index, const QueueLayout& layout) {
    const auto write_both = [this](mmio::Register low, mmio::Register high, GuestAddress address) {
        write(low, static_cast<uint32_t>(address.value()));
        write(high, static_cast<uint32_t>(address.value() >> 32));
    };
    write(mmio::QueueSel, index);
    write(mmio::QueueNum, layout.size);
    write_both(mmio::QueueDescLow, mmio::QueueDescHigh, layout.descriptor_table);
    write_both(mmio::QueueDriverLow, mmio::QueueDriverHigh, layout.available_ring);
    write_both(mmio::QueueDeviceLow, mmio::QueueDeviceHigh, layout.used_ring);
    write(mmio::QueueReady, 1);
}

void FakeDriver::start(uint64_t features, const std::vector<uint16_t>& sizes) {
    ALCOVE_CHECK(negotiate(features), "the device takes the features");
    queues_.clear();
    for (uint16_t index = 0;; ++index) {
        write(mmio::QueueSel, index);
        const uint32_t largest = read(mmio::QueueNumMax);
        if (largest == 0) break;
        const uint16_t size =
            index < sizes.size() ? sizes[index] : static_cast<uint16_t>(std::min<uint32_t>(largest, 256));
        queues_.push_back(size == 0 ? nullptr : std::make_unique<FakeQueue>(machine_, size, features));
        if (size != 0) set_up_queue(index, queues_.back()->layout());
    }
    write(mmio::Status, status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK);
    machine_.run();
}

void FakeDriver::reset() {
    write(mmio::Status, 0);
}

}  // namespace alcove::virtio

// SPDX-License-Identifier: Apache-2.0
#include "virtio/queue.hpp"

#include <atomic>
#include <bit>
#include <limits>
#include <utility>

#include "support/bits.hpp"
#include "support/checked.hpp"

namespace alcove::virtio {

namespace {

using memory::GuestAddress;
using memory::GuestRange;

Failure broken(const char* rule) {
    return fail(ErrorCode::InvalidMessage, std::string("virtqueue: ") + rule);
}

Result<void> check_part(const memory::GuestMemory& memory, GuestAddress base, uint64_t size,
                        uint64_t alignment, const char* part) {
    if (!is_aligned(base.value(), alignment))
        return fail(ErrorCode::InvalidArgument, std::string("virtqueue: misaligned ") + part);
    if (!base.plus(size) || !memory.is_ram(GuestRange{.base = base, .size = size}))
        return fail(ErrorCode::GuestAddressInvalid, std::string("virtqueue: not in RAM: ") + part);
    return {};
}

// Orders our store to one index before our load of the other side's: each side stores, then looks, so that
// at least one of the two sees the other (VIRTIO 1.2, 2.7.7.2 and 2.7.10).
void store_then_load_barrier() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace

Queue::Queue(std::shared_ptr<memory::GuestMemory> memory, const QueueLayout& layout, uint64_t features)
    : memory_(std::move(memory)),
      layout_(layout),
      indirect_((features & feature::INDIRECT_DESC) != 0),
      event_index_((features & feature::EVENT_IDX) != 0) {}

Result<Queue> Queue::create(std::shared_ptr<memory::GuestMemory> memory, const QueueLayout& layout,
                            uint64_t features) {
    const uint16_t size = layout.size;
    if (size == 0 || size > ring::kMaxSize || !std::has_single_bit(size))
        return fail(ErrorCode::InvalidArgument, "virtqueue: size is not a power of two up to 32768");
    TRY(check_part(*memory, layout.descriptor_table, ring::descriptor_table_bytes(size), 16,
                   "descriptor table"));
    TRY(check_part(*memory, layout.available_ring, ring::available_bytes(size), 2, "available ring"));
    TRY(check_part(*memory, layout.used_ring, ring::used_bytes(size), 4, "used ring"));
    return Queue(std::move(memory), layout, features);
}

// Both cannot wrap: create() checked the whole ring.
GuestAddress Queue::available_at(uint64_t offset) const {
    return GuestAddress(layout_.available_ring.value() + offset);
}
GuestAddress Queue::used_at(uint64_t offset) const {
    return GuestAddress(layout_.used_ring.value() + offset);
}

Result<uint16_t> Queue::available_count() const {
    const auto index = TRY(memory_->load_acquire_u16(available_at(ring::kIndexOffset)));
    const auto count = static_cast<uint16_t>(index - next_available_);
    if (count > layout_.size) return broken("the available index jumped further than the queue is long");
    return count;
}

Result<bool> Queue::pop(Chain& chain) {
    if (!is_enabled()) return false;
    const auto count = TRY(available_count());
    if (count == 0) return false;
    if (in_flight_ == layout_.size) return broken("more chains are available than the queue has entries");

    chain.descriptors = 0;
    chain.readable.clear();
    chain.writable.clear();
    chain.readable_bytes = 0;
    chain.writable_bytes = 0;
    const auto entry = static_cast<uint16_t>(next_available_ & (layout_.size - 1));
    const auto head = TRY(memory_->read<Le16>(available_at(ring::kEntriesOffset + uint64_t{2} * entry)));
    chain.head = head;

    uint16_t index = head;
    while (true) {
        if (index >= layout_.size) return broken("a descriptor index lies outside the table");
        if (chain.descriptors == layout_.size) return broken("a descriptor chain is longer than the queue");
        const auto descriptor = TRY(memory_->read<Descriptor>(
            GuestAddress(layout_.descriptor_table.value() + sizeof(Descriptor) * uint64_t{index})));
        ++chain.descriptors;
        const uint16_t flags = descriptor.flags;
        if ((flags & descriptor_flag::INDIRECT) != 0) {
            if ((flags & descriptor_flag::NEXT) != 0) return broken("an indirect descriptor has a next one");
            TRY(append_indirect(chain, descriptor));
            break;
        }
        TRY(append(chain, descriptor));
        if ((flags & descriptor_flag::NEXT) == 0) break;
        index = descriptor.next;
    }
    ++next_available_;
    ++in_flight_;
    return true;
}

void Queue::unpop(uint16_t count) {
    ALCOVE_CHECK(count <= in_flight_, "only chains that were taken go back");
    next_available_ = static_cast<uint16_t>(next_available_ - count);
    in_flight_ = static_cast<uint16_t>(in_flight_ - count);
}

Result<void> Queue::append(Chain& chain, const Descriptor& descriptor) {
    const uint32_t length = descriptor.len;
    const bool is_writable = (descriptor.flags & descriptor_flag::WRITE) != 0;
    if (!is_writable && !chain.writable.empty())
        return broken("a readable descriptor follows a writable one");
    const uint64_t total = uint64_t{chain.readable_bytes} + chain.writable_bytes + length;
    if (total > std::numeric_limits<uint32_t>::max()) return broken("a chain is longer than 4 GiB");
    if (length == 0) return {};
    const auto slice = TRY(memory_->slice(GuestAddress(descriptor.addr), length));
    (is_writable ? chain.writable : chain.readable).push_back(slice);
    (is_writable ? chain.writable_bytes : chain.readable_bytes) += length;
    return {};
}

// VIRTIO 1.2, 2.7.5.3. The WRITE flag of the descriptor that names the table has no meaning.
Result<void> Queue::append_indirect(Chain& chain, const Descriptor& descriptor) {
    if (!indirect_) return broken("an indirect descriptor that was not negotiated");
    const uint32_t length = descriptor.len;
    if (length == 0 || length % sizeof(Descriptor) != 0)
        return broken("the length of an indirect table is no multiple of 16");
    const auto entries = static_cast<uint32_t>(length / sizeof(Descriptor));
    if (entries > kMaxIndirectEntries) return broken("an indirect table is too long");
    const GuestAddress table(descriptor.addr);
    if (!table.plus(length) || !memory_->is_ram(GuestRange{.base = table, .size = length}))
        return fail(ErrorCode::GuestAddressInvalid, "virtqueue: not in RAM: indirect table");

    uint32_t index = 0;
    for (uint32_t visited = 0; visited < entries; ++visited) {
        const auto entry = TRY(
            memory_->read<Descriptor>(GuestAddress(table.value() + sizeof(Descriptor) * uint64_t{index})));
        const uint16_t flags = entry.flags;
        if ((flags & descriptor_flag::INDIRECT) != 0) return broken("an indirect table names another");
        TRY(append(chain, entry));
        if ((flags & descriptor_flag::NEXT) == 0) return {};
        index = entry.next;
        if (index >= entries) return broken("an index lies outside its indirect table");
    }
    return broken("an indirect table has a loop");
}

Result<void> Queue::push_used(uint16_t head, uint32_t written) {
    ALCOVE_CHECK(in_flight_ > 0, "only a chain that was taken is given back");
    const auto entry = static_cast<uint16_t>(next_used_ & (layout_.size - 1));
    TRY(memory_->write(used_at(ring::kEntriesOffset + sizeof(UsedElement) * uint64_t{entry}),
                       UsedElement{.id = head, .len = written}));
    ++next_used_;
    --in_flight_;
    return {};
}

Result<void> Queue::publish() {
    if (published_used_ == next_used_) return {};
    TRY(memory_->store_release_u16(used_at(ring::kIndexOffset), next_used_));
    published_used_ = next_used_;
    return {};
}

Result<bool> Queue::take_interrupt() {
    if (published_used_ == signalled_used_) return false;
    store_then_load_barrier();
    const uint16_t old = std::exchange(signalled_used_, published_used_);
    if (!event_index_) {
        const auto flags = TRY(memory_->load_acquire_u16(available_at(ring::kFlagsOffset)));
        return (flags & ring::AVAIL_F_NO_INTERRUPT) == 0;
    }
    const auto used_event =
        TRY(memory_->load_acquire_u16(available_at(ring::used_event_offset(layout_.size))));
    // Did the index pass used_event + 1 on its way from old to published (VIRTIO 1.2, 2.7.10)?
    return static_cast<uint16_t>(published_used_ - used_event - 1) <
           static_cast<uint16_t>(published_used_ - old);
}

Result<void> Queue::disable_notifications() {
    // With EVENT_IDX the old avail_event has been passed and does so again only after 2^16 more chains.
    if (!is_enabled() || event_index_) return {};
    return memory_->write<Le16>(used_at(ring::kFlagsOffset), ring::USED_F_NO_NOTIFY);
}

Result<bool> Queue::enable_notifications(uint16_t ahead) {
    if (!is_enabled()) return false;
    if (event_index_) {
        TRY(memory_->store_release_u16(used_at(ring::avail_event_offset(layout_.size)),
                                       static_cast<uint16_t>(next_available_ + ahead)));
    } else {
        ahead = 0;
        TRY(memory_->write<Le16>(used_at(ring::kFlagsOffset), 0));
    }
    store_then_load_barrier();
    const auto count = TRY(available_count());
    return count > ahead;
}

}  // namespace alcove::virtio

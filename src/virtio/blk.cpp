// SPDX-License-Identifier: Apache-2.0
#include "virtio/blk.hpp"

#include <algorithm>
#include <utility>

#include <sys/epoll.h>

namespace alcove::virtio {

using namespace blk;

BlockDevice::BlockDevice(EventLoop& loop, BlockFile file, std::string serial, EventFd done_event)
    : loop_(loop), file_(std::move(file)), serial_(std::move(serial)), done_event_(std::move(done_event)) {}

Result<std::unique_ptr<BlockDevice>> BlockDevice::create(EventLoop& loop, BlockFile file,
                                                         std::string serial) {
    auto event = TRY(EventFd::create());
    std::unique_ptr<BlockDevice> device(
        new BlockDevice(loop, std::move(file), std::move(serial), std::move(event)));
    device->done_watch_ = TRY(loop.watch(device->done_event_.fd(), EPOLLIN | EPOLLET,
                                         [raw = device.get()](uint32_t) { raw->on_done(); }));
    for (size_t i = 0; i < kWorkers; ++i)
        device->workers_.emplace_back([raw = device.get()] { raw->work(); });
    return device;
}

BlockDevice::~BlockDevice() {
    reset();
    loop_.unwatch(done_watch_);
    {
        const std::lock_guard lock(mutex_);
        shared_.ending = true;
    }
    work_changed_.notify_all();
    for (auto& worker : workers_)
        worker.join();
}

uint64_t BlockDevice::features() const {
    constexpr uint64_t kAlways = blk::feature::SEG_MAX | blk::feature::BLK_SIZE | blk::feature::FLUSH;
    if (file_.is_read_only()) return kAlways | blk::feature::RO;
    return kAlways | blk::feature::DISCARD | blk::feature::WRITE_ZEROES;
}

Bytes BlockDevice::config() const {
    return to_bytes(object_bytes(Config{.capacity = file_.sectors(),
                                        .size_max = 0,
                                        .seg_max = kQueueSize - 2U,  // header and status
                                        .cylinders = 0,
                                        .blk_size = static_cast<uint32_t>(kSectorSize),
                                        .min_io_size = 0,
                                        .opt_io_size = 0,
                                        .num_queues = 1,
                                        .max_discard_sectors = kMaxDiscardSectors,
                                        .max_discard_seg = kMaxSegments,
                                        .discard_sector_alignment = 8,
                                        .max_write_zeroes_sectors = kMaxZeroesSectors,
                                        .max_write_zeroes_seg = kMaxSegments,
                                        .write_zeroes_may_unmap = 1}));
}

void BlockDevice::activate(Activation activation) {
    queue_ = std::move(activation.queues[0]);
    link_ = activation.link;
    write_through_ = (activation.features & blk::feature::FLUSH) == 0;
}

void BlockDevice::drain() {
    std::unique_lock lock(mutex_);
    idle_changed_.wait(lock, [this] { return shared_.waiting.empty() && shared_.working == 0; });
}

void BlockDevice::reset() {
    {
        // What no worker has begun need not happen any more.
        const std::lock_guard lock(mutex_);
        shared_.waiting.clear();
    }
    drain();
    {
        const std::lock_guard lock(mutex_);
        shared_.done.clear();
    }
    queue_.reset();
    link_ = nullptr;
}

// ---- on the loop

Result<void> BlockDevice::process_queue(uint16_t) {
    bool has_more = true;
    while (has_more) {
        TRY(queue_->disable_notifications());
        TRY(take_requests());
        has_more = TRY(queue_->enable_notifications());
    }
    return publish();
}

std::unique_ptr<BlockDevice::Request> BlockDevice::spare() {
    if (spares_.empty()) return std::make_unique<Request>();
    auto request = std::move(spares_.back());
    spares_.pop_back();
    return request;
}

Result<void> BlockDevice::take_requests() {
    while (true) {
        auto request = spare();
        const bool taken = TRY(queue_->pop(request->chain));
        if (!taken) {
            spares_.push_back(std::move(request));
            return {};
        }
        TRY(begin(std::move(request)));
    }
}

Result<void> BlockDevice::begin(std::unique_ptr<Request> request) {
    // Nowhere to put even the status.
    if (request->chain.writable_bytes == 0)
        return fail(ErrorCode::InvalidMessage, "block: a request without room for its status");
    request->data.clear();
    request->ranges.clear();
    request->status = prepare(*request);
    if (request->status != S_OK || request->type == T_GET_ID) return finish(std::move(request));
    {
        const std::lock_guard lock(mutex_);
        shared_.waiting.push_back(std::move(request));
    }
    work_changed_.notify_one();
    return {};
}

uint8_t BlockDevice::prepare(Request& request) {
    const auto& chain = request.chain;
    RequestHeader header;
    std::array<uint8_t, sizeof header> bytes;
    if (copy_from(chain.readable, 0, bytes) != sizeof header) return S_IOERR;
    header = *read_object<RequestHeader>(bytes);
    request.type = header.type;
    request.sector = header.sector;
    request.write_through = write_through_;
    switch (request.type) {
        case T_IN:
            ++counters_.reads;
            append_part(chain.writable, 0, chain.writable_bytes - 1, request.data);
            return S_OK;
        case T_OUT:
            ++counters_.writes;
            append_part(chain.readable, sizeof header, chain.readable_bytes, request.data);
            return S_OK;
        case T_FLUSH:
            ++counters_.flushes;
            return S_OK;
        case T_GET_ID:
            return answer_id(request);
        case T_DISCARD:
        case T_WRITE_ZEROES:
            return prepare_ranges(request);
        default:
            return S_UNSUPP;
    }
}

// VIRTIO 1.2, 5.2.6.2: what each segment may ask for.
uint8_t BlockDevice::prepare_ranges(Request& request) {
    if (file_.is_read_only()) return S_UNSUPP;
    const uint32_t bytes = request.chain.readable_bytes - static_cast<uint32_t>(sizeof(RequestHeader));
    const uint32_t count = bytes / sizeof(Segment);
    if (count == 0 || count > kMaxSegments || bytes % sizeof(Segment) != 0) return S_IOERR;
    std::array<uint8_t, kMaxSegments * sizeof(Segment)> copy;
    copy_from(request.chain.readable, sizeof(RequestHeader), MutableByteView(copy).first(bytes));
    const bool is_discard = request.type == T_DISCARD;
    for (uint32_t i = 0; i < count; ++i) {
        const auto segment = *read_object<Segment>(copy, i * sizeof(Segment));
        const uint32_t flags = segment.flags;
        if ((flags & ~UNMAP) != 0 || (is_discard && flags != 0)) return S_UNSUPP;
        if (segment.num_sectors > (is_discard ? kMaxDiscardSectors : kMaxZeroesSectors)) return S_IOERR;
        request.ranges.push_back(
            {.sector = segment.sector,
             .count = segment.num_sectors,
             .zeroing = flags != 0 ? BlockFile::Zeroing::MayUnmap : BlockFile::Zeroing::KeepSpace});
    }
    return S_OK;
}

uint8_t BlockDevice::answer_id(const Request& request) {
    std::array<uint8_t, kIdSize> id{};
    std::copy_n(serial_.begin(), std::min(serial_.size(), kIdSize), id.begin());
    const size_t room = std::min<size_t>(kIdSize, request.chain.writable_bytes - 1);
    copy_to(queue_->memory(), request.chain.writable, 0, ByteView(id).first(room));
    return S_OK;
}

Result<void> BlockDevice::finish(std::unique_ptr<Request> request) {
    if (request->status != S_OK) ++counters_.failures;
    const auto& chain = request->chain;
    copy_to(queue_->memory(), chain.writable, chain.writable_bytes - 1, ByteView(&request->status, 1));
    // The status is the last byte, so all of it counts as written.
    TRY(queue_->push_used(chain.head, chain.writable_bytes));
    spares_.push_back(std::move(request));
    return {};
}

Result<void> BlockDevice::publish() {
    const bool interrupt = TRY(queue_->publish_and_check());
    if (interrupt) link_->interrupt(queue_bit(0));
    return {};
}

void BlockDevice::on_done() {
    std::vector<std::unique_ptr<Request>> done;
    {
        const std::lock_guard lock(mutex_);
        done.swap(shared_.done);
    }
    if (!queue_) return;
    const auto give_back = [&]() -> Result<void> {
        for (auto& request : done)
            TRY(finish(std::move(request)));
        return publish();
    };
    const auto result = give_back();
    if (!result) link_->needs_reset(result.error());
}

// ---- on a worker

void BlockDevice::work() {
    std::unique_lock lock(mutex_);
    while (true) {
        work_changed_.wait(lock, [this] { return shared_.ending || !shared_.waiting.empty(); });
        if (shared_.ending) return;
        auto request = std::move(shared_.waiting.front());
        shared_.waiting.pop_front();
        ++shared_.working;
        lock.unlock();
        carry_out(*request);
        lock.lock();
        --shared_.working;
        shared_.done.push_back(std::move(request));
        if (shared_.done.size() == 1) done_event_.signal();
        if (shared_.working == 0 && shared_.waiting.empty()) idle_changed_.notify_all();
    }
}

void BlockDevice::carry_out(Request& request) const {
    const auto attempt = [&]() -> Result<void> {
        switch (request.type) {
            case T_IN:
                return file_.read(request.sector, request.data);
            case T_OUT:
                TRY(file_.write(request.sector, request.data));
                break;
            case T_DISCARD:
                for (const auto& range : request.ranges)
                    TRY(file_.discard(range.sector, range.count));
                break;
            case T_WRITE_ZEROES:
                for (const auto& range : request.ranges)
                    TRY(file_.write_zeroes(range.sector, range.count, range.zeroing));
                break;
            default:
                return file_.flush();
        }
        if (request.write_through) TRY(file_.flush());
        return {};
    };
    request.status = attempt() ? S_OK : S_IOERR;
}

}  // namespace alcove::virtio

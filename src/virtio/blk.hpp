// SPDX-License-Identifier: Apache-2.0
//
// virtio-blk (VIRTIO 1.2, 5.2) on a raw file. A disk may take its time, and the event loop has other devices
// to serve, so requests are carried out by a few threads of the device's own:
//
//     event loop                               workers
//     pop, copy header, check    ──waiting──►  preadv, pwritev, fdatasync, fallocate
//     status byte, used ring     ◄──done────   (eventfd for the first of a batch)
//
// The ring, and every decision, stay on the loop; a worker has a finished order and the slices it is about.
// Requests in flight are bounded by the queue, and complete in any order, as the specification allows; a
// flush covers what had completed before it was asked for. reset() and drain() wait for the workers, so that
// none of them uses guest memory afterwards. They wait for the disk: one that hangs holds up the loop.
//
// Without FLUSH accepted by the driver every write is on the host's disk before it completes (5.2.5).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/event_fd.hpp"
#include "support/event_loop.hpp"
#include "virtio/blk_file.hpp"
#include "virtio/blk_spec.hpp"
#include "virtio/device.hpp"

namespace alcove::virtio {

class BlockDevice : public VirtioDevice {
  public:
    static constexpr uint16_t kQueueSize = 256;
    static constexpr size_t kWorkers = 4;
    static constexpr uint32_t kMaxSegments = 16;               // of DISCARD and WRITE_ZEROES
    static constexpr uint32_t kMaxDiscardSectors = 0x20'0000;  // a segment: 1 GiB
    static constexpr uint32_t kMaxZeroesSectors = 0x2'0000;    // a segment: 64 MiB, perhaps written out

    // `serial` is what GET_ID answers, cut at 20 bytes. Starts the workers.
    static Result<std::unique_ptr<BlockDevice>> create(EventLoop& loop, BlockFile file, std::string serial);
    ~BlockDevice() override;
    BlockDevice(const BlockDevice&) = delete;
    BlockDevice& operator=(const BlockDevice&) = delete;

    std::string_view name() const override { return "blk"; }
    uint32_t device_id() const override { return device_id::kBlock; }
    uint64_t features() const override;
    std::vector<uint16_t> queue_sizes() const override { return {kQueueSize}; }
    Bytes config() const override;

    void activate(Activation activation) override;
    void reset() override;
    Result<void> process_queue(uint16_t index) override;

    // Guest memory is about to be taken away: when this returns, no request holds any of it. On the loop's
    // thread, which is also the one that takes new requests: none comes before the caller returns to the
    // loop, and by then memory that is gone is refused by GuestMemory. Waits for every request under way,
    // whatever its range.
    void drain();

    struct Counters {
        uint64_t reads = 0;
        uint64_t writes = 0;
        uint64_t flushes = 0;
        uint64_t failures = 0;  // requests answered with another status than OK
    };
    const Counters& counters() const { return counters_; }  // on the loop's thread

  private:
    struct Range {
        uint64_t sector;
        uint64_t count;
        BlockFile::Zeroing zeroing;
    };
    // An order for a worker, and its result.
    struct Request {
        Chain chain;
        uint32_t type = 0;
        uint64_t sector = 0;
        std::vector<memory::GuestSlice> data;
        std::vector<Range> ranges;
        bool write_through = false;
        uint8_t status = blk::S_OK;
    };

    BlockDevice(EventLoop& loop, BlockFile file, std::string serial, EventFd done_event);

    // On the loop's thread.
    Result<void> take_requests();
    Result<void> begin(std::unique_ptr<Request> request);
    // What the header asks for: S_OK when a worker can go ahead, or the answer.
    uint8_t prepare(Request& request);
    uint8_t prepare_ranges(Request& request);
    uint8_t answer_id(const Request& request);
    Result<void> finish(std::unique_ptr<Request> request);
    void on_done();
    Result<void> publish();
    std::unique_ptr<Request> spare();

    // On the workers' threads.
    void work();
    void carry_out(Request& request) const;

    EventLoop& loop_;
    const BlockFile file_;
    const std::string serial_;

    struct Shared {
        std::deque<std::unique_ptr<Request>> waiting;
        std::vector<std::unique_ptr<Request>> done;
        size_t working = 0;  // taken by a worker, not done
        bool ending = false;
    };
    std::mutex mutex_;  // of shared_
    std::condition_variable work_changed_;
    std::condition_variable idle_changed_;
    Shared shared_;
    EventFd done_event_;
    EventLoop::WatchId done_watch_ = 0;

    // Loop thread only.
    std::optional<Queue> queue_;
    DriverLink* link_ = nullptr;
    bool write_through_ = false;
    std::vector<std::unique_ptr<Request>> spares_;
    Counters counters_;

    std::vector<std::thread> workers_;  // last: they use everything above
};

}  // namespace alcove::virtio

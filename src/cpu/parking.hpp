// SPDX-License-Identifier: Apache-2.0
//
// Where a vCPU's thread stands while memory slots change: outside of the guest, with nothing half done. One
// thread asks and lets go, the vCPU's thread waits; nothing here knows KVM.
//
//     request() ──► the vCPU leaves the guest ──► wait() calls `parked` and waits ──► release()
//
// The next request may follow a release at once, before the waiting thread has noticed: it is told of the new
// one then, without having been in the guest between.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>

namespace alcove::cpu {

class Parking {
  public:
    enum class Guest { Leave, Enter };
    // Makes the vCPU leave the guest, wherever it is, and stay out of it; or lets it in again. Called under
    // the lock, so that the last word is that of the last request.
    using Direct = std::function<void(Guest)>;

    explicit Parking(Direct direct) : direct_(std::move(direct)) {}

    // From any thread. `parked` is called once on the vCPU's thread, or not at all when stop() comes first.
    // One request at a time, each ended by release().
    void request(std::function<void()> parked);
    void release();
    // Ends the wait, now and for good; the vCPU stays out of the guest.
    void stop();

    // By the vCPU's thread, outside of the guest: returns when nobody wants it to stand here.
    void wait();

  private:
    Direct direct_;
    std::mutex mutex_;  // of all below
    std::condition_variable changed_;
    bool requested_ = false;
    bool stopped_ = false;
    std::function<void()> parked_;  // of a request that the vCPU's thread has not seen yet
};

}  // namespace alcove::cpu

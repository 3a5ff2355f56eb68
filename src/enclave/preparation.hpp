// SPDX-License-Identifier: Apache-2.0
//
// The long work before an enclave runs: copying and measuring the image, reserving the memory, telling the
// attestor. Each is a thread of its own, so that the loop goes on answering; results come back on the loop.
// Destroying it cancels what still runs and waits for it, which takes one step of the work.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "enclave/attestor_link.hpp"
#include "enclave/image_intake.hpp"
#include "support/event_loop.hpp"

namespace alcove::enclave {

// The three pieces of work. Tests put simpler ones in; the defaults are the real thing.
struct PreparationWork {
    std::function<Result<TakenImage>(const Fd&, const ImageIntake&, const std::atomic<bool>&)> take_image;
    std::function<Result<Fd>(uint64_t bytes, uint32_t page_size, const std::atomic<bool>&)> reserve_ram;
    std::function<Result<api::attestor::ResumeToken>(const Channel&, const ImageFacts&,
                                                     const std::atomic<bool>&)>
        seal;

    static PreparationWork real();
};

class Preparation {
  public:
    // All on the loop's thread, and none after cancel().
    struct Callbacks {
        std::function<void(uint64_t bytes_done)> on_progress;
        std::function<void(Result<TakenImage>)> on_image;
        std::function<void(Result<Fd>)> on_memory;
        std::function<void(Result<api::attestor::ResumeToken>)> on_sealed;
    };

    Preparation(EventLoop& loop, PreparationWork work, Callbacks callbacks);
    ~Preparation();
    Preparation(const Preparation&) = delete;
    Preparation& operator=(const Preparation&) = delete;

    void take_image(Fd source, uint64_t image_bytes, uint64_t guest_memory_bytes);
    void reserve_memory(uint64_t bytes, uint32_t page_size);
    void seal(Fd attestor_copy, const ImageFacts& facts);  // a duplicate of the VM's connection
    void cancel();

  private:
    struct Shared;  // what the threads and this object have in common

    std::shared_ptr<Shared> shared_;
    std::vector<std::thread> threads_;
};

}  // namespace alcove::enclave

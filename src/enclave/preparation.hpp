// SPDX-License-Identifier: Apache-2.0
//
// The long work before an enclave runs: copying and measuring the image, reserving the memory, telling the
// attestor. Each is a thread of its own, so that the loop goes on answering; results come back on the loop.
// Destroying it cancels what still runs, sealing with the rest, and waits for it, which takes one step of the
// work.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "enclave/attestor_link.hpp"
#include "enclave/image_intake.hpp"
#include "memory/region_mover.hpp"
#include "support/event_loop.hpp"

namespace alcove::enclave {

// The pieces of work. Tests put simpler ones in; the defaults are the real thing.
struct PreparationWork {
    std::function<Result<TakenImage>(const Fd&, const ImageIntake&, const std::atomic<bool>&)> take_image;
    std::function<Result<Fd>(uint64_t bytes, uint32_t page_size)> open_ram;
    std::function<Result<void>(const Fd&, uint64_t bytes, uint32_t page_size, const std::atomic<bool>&)>
        fill_ram;
    std::function<Result<api::attestor::ResumeToken>(const Channel&, const ImageFacts&, uint32_t flags,
                                                     const std::atomic<bool>&)>
        seal;
    // Of a carved enclave (carved_memory.hpp).
    std::function<Result<void>(memory::FilePart from, memory::FilePart to, uint64_t length, memory::MoveSizes,
                               memory::MoveCounters&)>
        move_region;
    std::function<Result<void>(memory::FilePart from, memory::FilePart to, uint64_t length, memory::MoveSizes,
                               memory::MoveCounters&)>
        return_region;
    std::function<Result<void>(const Fd&, uint64_t expected, std::span<const memory::FileRange>)>
        reserve_missing;

    static PreparationWork real();
};

class Preparation {
  public:
    // All on the loop's thread, and none after cancel() but on_sealed: what the attestor was told can not be
    // untold, so who cancels has to hear of it.
    struct Callbacks {
        std::function<void(api::shim::Progress)> on_progress;
        std::function<void(Result<TakenImage>)> on_image;
        std::function<void(Result<Fd>)> on_memory;             // it may be used
        std::function<void(Result<void>)> on_memory_reserved;  // behind on_memory, unless that failed
        std::function<void(Result<api::attestor::ResumeToken>)> on_sealed;
    };

    Preparation(EventLoop& loop, PreparationWork work, Callbacks callbacks);
    ~Preparation();
    Preparation(const Preparation&) = delete;
    Preparation& operator=(const Preparation&) = delete;

    // `released_page_size` as in ImageIntake.
    void take_image(Fd source, const ImageLocation& location, uint64_t guest_memory_bytes,
                    std::optional<uint32_t> released_page_size = std::nullopt);
    // Small pages that are not there yet come when they are touched, so the VM need not wait for the others;
    // it would wait long for gigabytes. Of huge pages there may be none left then, and they are there first.
    // `former` is the memory of the life before, if it is here still: that goes first, whoever else has it.
    void reserve_memory(uint64_t bytes, uint32_t page_size, Fd former);
    // A duplicate of the VM's connection; the flags of attestor::Measured.
    void seal(Fd attestor_copy, const ImageFacts& facts, uint32_t flags);
    void cancel();

  private:
    struct Shared;  // what the threads and this object have in common

    std::shared_ptr<Shared> shared_;
    std::vector<std::thread> threads_;
};

}  // namespace alcove::enclave

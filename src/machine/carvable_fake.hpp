// SPDX-License-Identifier: Apache-2.0
//
// For tests: a machine with memory in two regions and a vCPU that is somewhere, without KVM.
#pragma once

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "machine/carvable.hpp"
#include "support/bits.hpp"
#include "support/event_loop.hpp"
#include "support/system.hpp"

namespace alcove::machine {

class FakeCarvable : public Carvable {
  public:
    static constexpr uint64_t kHigh = 4_GiB;  // guest address of the second half of its RAM

    FakeCarvable(EventLoop& loop, uint64_t ram_size) : loop_(loop), ram_(sys::memfd("test").value()) {
        EXPECT_TRUE(sys::truncate(ram_, ram_size));
        const std::vector<memory::GuestMemory::Region> regions{
            {.range = {memory::GuestAddress(0), ram_size / 2}, .file_offset = 0},
            {.range = {memory::GuestAddress(kHigh), ram_size / 2}, .file_offset = ram_size / 2}};
        memory_ = memory::GuestMemory::create(ram_, regions).value();
    }

    void with_vcpus_parked(std::function<void()> work) override {
        waiting_.push_back(std::move(work));
        if (!never_parks) park();
    }
    // The vCPUs leave the guest after all, later on.
    void park() {
        loop_.post([this] {
            parked_ = true;
            for (const auto& work : std::exchange(waiting_, {}))
                work();
            parked_ = false;
        });
    }
    Result<void> remove_memory(memory::GuestRange range) override {
        EXPECT_TRUE(parked_);
        if (refuses_slots) return fail(ErrorCode::KvmRefused, "no memory");
        absent.push_back(range);
        return {};
    }
    Result<void> restore_memory(memory::GuestRange range) override {
        EXPECT_TRUE(parked_);
        EXPECT_TRUE(memory_->is_ram(range)) << "a guest would meet the fence";
        if (refuses_slots) return fail(ErrorCode::KvmRefused, "no memory");
        std::erase(absent, range);
        return {};
    }
    Result<void> reserve_memory(std::span<const memory::GuestRange> ranges) override {
        reserved.insert(reserved.end(), ranges.begin(), ranges.end());
        if (reserves_to_refuse == 0) return {};
        --reserves_to_refuse;
        return fail(reserve_error, "no pages");
    }
    const std::shared_ptr<memory::GuestMemory>& memory() const override { return memory_; }
    void give_up(std::string) override { ++given_up; }

    const Fd& ram() const { return ram_; }

    bool never_parks = false;
    bool refuses_slots = false;
    int reserves_to_refuse = 0;
    ErrorCode reserve_error = ErrorCode::OutOfMemory;
    std::vector<memory::GuestRange> reserved;
    std::vector<memory::GuestRange> absent;
    int given_up = 0;

  private:
    EventLoop& loop_;
    Fd ram_;
    std::shared_ptr<memory::GuestMemory> memory_;
    std::vector<std::function<void()>> waiting_;
    bool parked_ = false;
};

}  // namespace alcove::machine

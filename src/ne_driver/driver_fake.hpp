// SPDX-License-Identifier: Apache-2.0
//
// For tests: the driver's rules (nitro.md 1.10, 1.11, 2.2) in one process, without a machine to take anything
// from. Memory that an enclave was given is kept as it was at that moment, to be looked at.
#pragma once

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include <linux/nitro_enclaves.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "ne_driver/driver.hpp"
#include "ne_driver/huge_pages.hpp"
#include "support/check.hpp"
#include "support/system.hpp"

namespace alcove::ne_driver {

// Pages of ordinary memory: so many of each size.
class FakePages final : public PageSource {
  public:
    explicit FakePages(std::map<uint64_t, unsigned> left) : left_(std::move(left)) {}

    std::optional<HugePage> take(uint64_t size) override {
        const auto found = left_.find(size);
        if (found == left_.end() || found->second == 0) return std::nullopt;
        --found->second;
        // At a multiple of 2 MiB, which an ordinary mapping need not be.
        void* data = ::mmap(nullptr, size + 2_MiB, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ALCOVE_CHECK(data != MAP_FAILED, "memory can be mapped");
        const auto begin = reinterpret_cast<uint64_t>(data);
        const uint64_t aligned = align_up<uint64_t>(begin, 2_MiB);
        if (aligned > begin) ::munmap(data, aligned - begin);
        if (aligned < begin + 2_MiB)
            ::munmap(reinterpret_cast<void*>(aligned + size), begin + 2_MiB - aligned);
        return HugePage(reinterpret_cast<void*>(aligned), size);
    }
    unsigned left(uint64_t size) const { return left_.at(size); }

  private:
    std::map<uint64_t, unsigned> left_;
};

// One thread a core.
class FakeDriver final : public Driver {
  public:
    struct State {
        std::vector<uint64_t> regions;  // sizes
        std::vector<uint8_t> memory;    // the first bytes of all regions in a row
        std::vector<uint32_t> vcpus;
        Mode mode = Mode::Production;
        uint64_t cid = 0;
        bool started = false;
        bool freed = false;
        Fd end;  // closing it ends the enclave
    };

    explicit FakeDriver(std::set<uint32_t> pool, uint64_t first_slot = 1)
        : pool_(std::move(pool)), first_slot_(first_slot) {}

    Result<std::unique_ptr<Enclave>> create_enclave() override {
        if (pool_.empty()) return refusal("NE_CREATE_VM", NE_ERR_NO_CPUS_AVAIL_IN_POOL);
        auto pair = sys::socket_pair(SOCK_STREAM).value();
        states_.push_back(std::make_unique<State>());
        states_.back()->end = std::move(pair.second);
        return std::unique_ptr<Enclave>(std::make_unique<FakeEnclave>(
            *this, *states_.back(), std::move(pair.first), first_slot_ + states_.size() - 1));
    }

    State& state(size_t number) { return *states_.at(number); }
    size_t created() const { return states_.size(); }
    size_t pool_size() const { return pool_.size(); }
    // What happens to an enclave right after its start was answered.
    void when_started(std::function<void(State&)> then) { when_started_ = std::move(then); }
    // The most regions an enclave can have.
    void limit_regions(size_t most) { most_regions_ = most; }

  private:
    static constexpr size_t kKept = 32 << 20;
    static constexpr uint64_t kImageOffset = 8 << 20;

    class FakeEnclave final : public Enclave {
      public:
        FakeEnclave(FakeDriver& driver, State& state, Fd fd, uint64_t slot_uid)
            : driver_(driver), state_(state), fd_(std::move(fd)), slot_uid_(slot_uid) {}
        ~FakeEnclave() override {
            driver_.pool_.insert(state_.vcpus.begin(), state_.vcpus.end());
            state_.freed = true;
        }
        uint64_t slot_uid() const override { return slot_uid_; }
        const Fd& fd() const override { return fd_; }
        Result<uint64_t> image_offset() override { return kImageOffset; }
        Result<void> add_memory(MutableByteView region) override {
            const int refused = check(region);
            if (refused != 0) return refusal("NE_SET_USER_MEMORY_REGION", refused);
            ranges_.emplace_back(region.data(), region.data() + region.size());
            state_.regions.push_back(region.size());
            const size_t kept = std::min<size_t>(kKept - state_.memory.size(), region.size());
            state_.memory.insert(state_.memory.end(), region.begin(),
                                 region.begin() + static_cast<long>(kept));
            return {};
        }
        Result<uint32_t> add_vcpu(uint32_t id) override {
            const int refused = check_vcpu(id);
            if (refused != 0) return refusal("NE_ADD_VCPU", refused);
            const uint32_t chosen = id == 0 ? *driver_.pool_.begin() : id;
            driver_.pool_.erase(chosen);
            state_.vcpus.push_back(chosen);
            return chosen;
        }
        Result<uint64_t> start(Mode mode, uint64_t cid) override {
            const int refused = check_start(cid);
            if (refused != 0) return refusal("NE_START_ENCLAVE", refused);
            state_.started = true;
            state_.mode = mode;
            state_.cid = cid == 0 ? 15 + slot_uid_ : cid;
            if (driver_.when_started_) driver_.when_started_(state_);
            return state_.cid;
        }

      private:
        int check(MutableByteView region) const {
            if (state_.started) return NE_ERR_NOT_IN_INIT_STATE;
            if (region.size() % 2_MiB != 0 || region.empty()) return NE_ERR_INVALID_MEM_REGION_SIZE;
            if (reinterpret_cast<uint64_t>(region.data()) % 2_MiB != 0)
                return NE_ERR_UNALIGNED_MEM_REGION_ADDR;
            const bool used = std::ranges::any_of(ranges_, [&](const auto& range) {
                return region.data() < range.second && range.first < region.data() + region.size();
            });
            if (used) return NE_ERR_MEM_REGION_ALREADY_USED;
            return ranges_.size() == driver_.most_regions_ ? NE_ERR_MEM_MAX_REGIONS : 0;
        }
        int check_vcpu(uint32_t id) const {
            if (state_.started) return NE_ERR_NOT_IN_INIT_STATE;
            if (id >= 64) return NE_ERR_INVALID_VCPU;
            if (id == 0) return driver_.pool_.empty() ? NE_ERR_NO_CPUS_AVAIL_IN_POOL : 0;
            if (std::ranges::find(state_.vcpus, id) != state_.vcpus.end()) return NE_ERR_VCPU_ALREADY_USED;
            return driver_.pool_.contains(id) ? 0 : NE_ERR_VCPU_NOT_IN_CPU_POOL;
        }
        int check_start(uint64_t cid) const {
            if (state_.started) return NE_ERR_NOT_IN_INIT_STATE;
            uint64_t size = 0;
            for (const uint64_t region : state_.regions)
                size += region;
            if (size == 0) return NE_ERR_NO_MEM_REGIONS_ADDED;
            if (size < 64_MiB) return NE_ERR_ENCLAVE_MEM_MIN_SIZE;
            if (state_.vcpus.empty()) return NE_ERR_NO_VCPUS_ADDED;
            const bool reserved = (cid > 0 && cid <= 3) || cid >= 0xffffffff;
            return reserved ? NE_ERR_INVALID_ENCLAVE_CID : 0;
        }

        FakeDriver& driver_;
        State& state_;
        Fd fd_;
        uint64_t slot_uid_;
        std::vector<std::pair<const uint8_t*, const uint8_t*>> ranges_;
    };

    std::set<uint32_t> pool_;
    uint64_t first_slot_;
    std::vector<std::unique_ptr<State>> states_;
    std::function<void(State&)> when_started_;
    size_t most_regions_ = 65536;
};

}  // namespace alcove::ne_driver

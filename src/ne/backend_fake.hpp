// SPDX-License-Identifier: Apache-2.0
//
// For tests and fuzzers: a host in the same thread, with the real rules and memory that moves by itself.
// Answers when told to, so that a test decides what happens in between.
#pragma once

#include <deque>

#include "ne/backend.hpp"
#include "ne/slot_table.hpp"

namespace alcove::ne {

inline Parent small_parent() {
    return {.ram = {{memory::GuestAddress(0), 256_MiB}}, .core_of_vcpu = {0, 0, 1, 1, 2, 2}};
}

class FakeBackend : public Backend {
  public:
    bool at_once = true;          // answers from within execute() and release_all()
    int32_t host_rc = 0;          // what comes of the work that a command needs
    bool keeps_old_done = false;  // breaks the contract: answers a command that a release has ended

    explicit FakeBackend(Parent parent = small_parent())
        : table_(SlotTable::create(std::move(parent), [this] { return SlotUid{++uids_ << 16}; }).value()) {}

    void execute(const Request& request, Done done) override {
        ALCOVE_CHECK(!command_, "the device has one command in hand at most");
        ++executed_;
        requests_.push_back(request);
        command_ = std::move(done);
        if (at_once) deliver();
    }
    void release_all(std::function<void()> released) override {
        ALCOVE_CHECK(!released_, "the device asks once");
        ++releases_;
        released_ = std::move(released);
        if (at_once) deliver_release();
    }

    // Carries the command in hand out; false when there is none.
    bool deliver() {
        if (!command_) return false;
        const auto done = *std::exchange(command_, std::nullopt);
        auto outcome = table_.begin(requests_.back());
        done(std::holds_alternative<Reply>(outcome) ? std::get<Reply>(outcome) : table_.finish(host_rc));
        return true;
    }
    bool deliver_release() {
        if (!released_) return false;
        const auto released = *std::exchange(released_, std::nullopt);
        if (!keeps_old_done) command_.reset();
        table_.begin_release();
        table_.finish_release();
        released();
        return true;
    }

    SlotTable& table() { return table_; }
    const std::vector<Request>& requests() const { return requests_; }
    size_t executed() const { return executed_; }
    size_t releases() const { return releases_; }
    bool has_command() const { return command_.has_value(); }
    bool has_release() const { return released_.has_value(); }

  private:
    uint64_t uids_ = 0;
    SlotTable table_;
    std::vector<Request> requests_;
    std::optional<Done> command_;
    std::optional<std::function<void()>> released_;
    size_t executed_ = 0;
    size_t releases_ = 0;
};

}  // namespace alcove::ne

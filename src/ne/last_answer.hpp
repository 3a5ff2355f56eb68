// SPDX-License-Identifier: Apache-2.0
//
// What makes a command happen once though alcoved may be restarted in the middle of it: the number of the
// last one and its reply, stored together with the slots they changed. A VMM that got no answer asks again
// with the same number (api/ne_messages.hpp).
#pragma once

#include <cstdint>
#include <optional>

#include "ne/spec.hpp"
#include "support/check.hpp"

namespace alcove::ne {

class LastAnswer {
  public:
    enum class Verdict {
        New,         // begin() it
        InHand,      // asked again before it was done: it will be answered when it is
        Answered,    // asked again after it was done: reply()
        OutOfOrder,  // no VMM of ours sends this
    };

    struct Saved {
        uint32_t number = 0;           // of the last command that was begun
        bool in_hand = false;          // it was not answered yet
        std::optional<Reply> reply{};  // nothing: it is in hand, or there was no command
    };

    LastAnswer() = default;
    explicit LastAnswer(const Saved& saved) : saved_(saved) {}

    Verdict judge(uint32_t number) const {
        if (number == saved_.number && saved_.in_hand) return Verdict::InHand;
        if (number == saved_.number && saved_.reply) return Verdict::Answered;
        return number == saved_.number + 1 && !saved_.in_hand ? Verdict::New : Verdict::OutOfOrder;
    }
    void begin(uint32_t number) {
        ALCOVE_CHECK(judge(number) == Verdict::New, "one command at a time, in order");
        saved_ = {.number = number, .in_hand = true};
    }
    void answer(const Reply& reply) {
        ALCOVE_CHECK(saved_.in_hand, "a command is in hand");
        saved_ = {.number = saved_.number, .reply = reply};
    }

    const Reply& reply() const {
        ALCOVE_CHECK(saved_.reply, "the command was answered");
        return *saved_.reply;
    }
    const Saved& saved() const { return saved_; }

  private:
    Saved saved_;
};

}  // namespace alcove::ne

// SPDX-License-Identifier: Apache-2.0
//
// How a leaf function ends before its end: with a status code, with an exception of the processor's, or
// because the host failed. The first two are the architecture's own answers and no errors of ours, so they
// have a type beside Result. A leaf reads like the manual's pseudocode: one check a line, each leaving at
// once.
//
//     Outcome<void> epa(Call& call) {
//         TRY_LEAF(require(call.registers().rbx == kPtVa));      // else #GP(0)
//         const auto page = TRY_LEAF(call.epc_page(call.registers().rcx, Access::Write));
//
// TRY_LEAF stands where TRY may stand (support/result.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <variant>

#include "sgx/spec.hpp"
#include "support/result.hpp"

namespace alcove::sgx {

struct Exception {
    uint8_t vector = 0;
    uint32_t error_code = 0;
    uint64_t address = 0;  // CR2 of a #PF
    bool operator==(const Exception&) const = default;
};

inline constexpr Exception kGeneralProtection{.vector = vector::GP};
inline constexpr Exception kUndefinedOpcode{.vector = vector::UD};

enum class StatusFlag : uint8_t {
    ZF,  // a failure
    CF,  // an outcome to know of
};
struct Status {
    StatusCode code = StatusCode::SUCCESS;
    StatusFlag flag = StatusFlag::ZF;
    bool operator==(const Status&) const = default;
};

using Ending = std::variant<Status, Exception, Error>;

// An Ending on its way into an Outcome.
struct Ended {
    Ending ending;
};

template <typename T>
class [[nodiscard]] Outcome {
    using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

  public:
    Outcome() requires(std::is_void_v<T>) : state_(std::in_place_index<0>) {}
    template <typename U>
    requires(!std::is_void_v<T> && std::is_convertible_v<U, Value> &&
             !std::is_same_v<std::remove_cvref_t<U>, Outcome>)
        Outcome(U&& value)  // NOLINT(google-explicit-constructor)
        : state_(std::in_place_index<0>, std::forward<U>(value)) {}
    Outcome(Ended ended)  // NOLINT(google-explicit-constructor)
        : state_(std::in_place_index<1>, std::move(ended.ending)) {}
    Outcome(Status status)  // NOLINT(google-explicit-constructor)
        : state_(std::in_place_index<1>, status) {}
    Outcome(Exception exception)  // NOLINT(google-explicit-constructor)
        : state_(std::in_place_index<1>, exception) {}
    Outcome(Failure failure)  // NOLINT(google-explicit-constructor)
        : state_(std::in_place_index<1>, std::move(failure.error)) {}

    bool has_value() const { return state_.index() == 0; }
    explicit operator bool() const { return has_value(); }

    Value value() && {
        ALCOVE_CHECK(has_value(), "value() of a leaf that ended");
        return std::move(*std::get_if<0>(&state_));
    }
    const Value& operator*() const& {
        ALCOVE_CHECK(has_value(), "value of a leaf that ended");
        return *std::get_if<0>(&state_);
    }
    Ending ending() && {
        ALCOVE_CHECK(!has_value(), "ending() of a leaf that did not end");
        return std::move(*std::get_if<1>(&state_));
    }
    // What it ended with, if with that.
    template <typename E>
    const E* ended_with() const {
        return has_value() ? nullptr : std::get_if<E>(std::get_if<1>(&state_));
    }

  private:
    std::variant<Value, Ending> state_;
};

// The manual's "IF (...) THEN #GP(0)", turned round.
inline Outcome<void> require(bool condition) {
    if (!condition) return kGeneralProtection;
    return {};
}

template <typename T>
Outcome<T> outcome_of(Result<T> result) {
    if (!result) return Failure{std::move(result).error()};
    if constexpr (std::is_void_v<T>) {
        return {};
    } else {
        return std::move(result).value();
    }
}

}  // namespace alcove::sgx

// Gives the value, or ends the enclosing function the same way.
#define TRY_LEAF(expression)                                                     \
    ({                                                                           \
        auto alcove_try_outcome = (expression);                                  \
        if (!alcove_try_outcome.has_value()) [[unlikely]]                        \
            return ::alcove::sgx::Ended{std::move(alcove_try_outcome).ending()}; \
        std::move(alcove_try_outcome).value();                                   \
    })

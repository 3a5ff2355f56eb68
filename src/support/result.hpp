// SPDX-License-Identifier: Apache-2.0
//
// Result<T>: a value or an Error, for every function that can fail. Malformed input is an ordinary event
// here, so the signature and the call both have to show that a function can fail; exceptions show neither,
// and bare status codes with out-parameters can be forgotten. The members are named as those of
// std::expected, which g++ 12 does not have under -std=c++20; unlike it, an ignored Result is a warning.
//
//     Result<Fd> open_image(const std::string& path) {
//         auto fd = TRY(sys::open(path, O_RDONLY));       // a whole initializer of one variable
//         TRY(check_size(fd));                            // or a whole statement
//         return fd;
//     }
//
// TRY must not stand inside braces or an argument list: g++ 12 and clang 14 both skip destructors when the
// statement expression leaves a half-built aggregate.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "support/check.hpp"
#include "support/error.hpp"

namespace alcove {

// An Error on its way into a Result.
struct Failure {
    Error error;
};

inline Failure fail(ErrorCode code, std::string message) {
    return Failure{Error(code, std::move(message))};
}

inline Failure fail_errno(int errno_value, std::string what, ErrorCode code = ErrorCode::SystemCall) {
    return Failure{Error::from_errno(errno_value, std::move(what), code)};
}

template <typename T>
class [[nodiscard]] Result {
    static_assert(!std::is_reference_v<T>, "return a pointer or a std::reference_wrapper");

  public:
    using value_type = T;

    Result(T value)
        : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
    Result(Failure failure)                                    // NOLINT(google-explicit-constructor)
        : state_(std::in_place_index<1>, std::move(failure.error)) {}
    template <typename U>
    requires(std::is_convertible_v<U, T> && !std::is_same_v<std::remove_cvref_t<U>, T> &&
             !std::is_same_v<std::remove_cvref_t<U>, Failure> &&
             !std::is_same_v<std::remove_cvref_t<U>, Result>)
        Result(U&& value)  // NOLINT(google-explicit-constructor)
        : state_(std::in_place_index<0>, std::forward<U>(value)) {}

    bool has_value() const { return state_.index() == 0; }
    explicit operator bool() const { return has_value(); }

    // Only after has_value(), or with a comment that says why it cannot fail.
    T& value() & {
        ALCOVE_CHECK(has_value(), "value() of a failed Result");
        return *std::get_if<0>(&state_);
    }
    const T& value() const& {
        ALCOVE_CHECK(has_value(), "value() of a failed Result");
        return *std::get_if<0>(&state_);
    }
    T&& value() && {
        ALCOVE_CHECK(has_value(), "value() of a failed Result");
        return std::move(*std::get_if<0>(&state_));
    }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }

    template <typename U>
    T value_or(U&& other) && {
        return has_value() ? std::move(*std::get_if<0>(&state_)) : static_cast<T>(std::forward<U>(other));
    }

    const Error& error() const& {
        ALCOVE_CHECK(!has_value(), "error() of a successful Result");
        return *std::get_if<1>(&state_);
    }
    Error error() && {
        ALCOVE_CHECK(!has_value(), "error() of a successful Result");
        return std::move(*std::get_if<1>(&state_));
    }

    Result context(std::string what) && {
        if (has_value()) return std::move(*this);
        return Failure{std::move(*this).error().context(std::move(what))};
    }

  private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
  public:
    using value_type = void;

    Result() = default;
    Result(Failure failure) : error_(std::move(failure.error)) {}  // NOLINT(google-explicit-constructor)

    bool has_value() const { return !error_.has_value(); }
    explicit operator bool() const { return has_value(); }
    void value() const { ALCOVE_CHECK(has_value(), "value() of a failed Result"); }

    const Error& error() const& {
        ALCOVE_CHECK(!has_value(), "error() of a successful Result");
        return *error_;
    }
    Error error() && {
        ALCOVE_CHECK(!has_value(), "error() of a successful Result");
        return std::move(*error_);
    }

    Result context(std::string what) && {
        if (has_value()) return {};
        return Failure{std::move(*this).error().context(std::move(what))};
    }

  private:
    std::optional<Error> error_;
};

}  // namespace alcove

// Gives the value, or returns the error from the enclosing function.
#define TRY(expression)                                                     \
    ({                                                                      \
        auto alcove_try_result = (expression);                              \
        if (!alcove_try_result.has_value()) [[unlikely]]                    \
            return ::alcove::Failure{std::move(alcove_try_result).error()}; \
        std::move(alcove_try_result).value();                               \
    })

// SPDX-License-Identifier: Apache-2.0
#include "support/error.hpp"

#include <cstring>
#include <utility>

namespace alcove {

Error Error::from_errno(int errno_value, std::string what, ErrorCode code) {
    Error error(code, std::move(what));
    error.errno_ = errno_value;
    return error;
}

Error Error::context(std::string what) && {
    contexts_.push_back(std::move(what));
    return std::move(*this);
}

std::string Error::to_string() const {
    std::string text;
    for (auto it = contexts_.rbegin(); it != contexts_.rend(); ++it)
        text += *it + ": ";
    text += message_;
    if (errno_ != 0) {
        char buffer[128];
        text += std::string(": ") + strerror_r(errno_, buffer, sizeof buffer);
    }
    return text;
}

std::string code_label(ErrorCode code) {
    const auto number = static_cast<unsigned>(code);
    return (number < 10 ? "E0" : "E") + std::to_string(number);
}

}  // namespace alcove

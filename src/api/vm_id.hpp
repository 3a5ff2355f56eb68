// SPDX-License-Identifier: Apache-2.0
//
// The name of one VM between our processes and in the names of its folders, so its alphabet is that of a
// harmless file name: 1 to 64 of a-z, 0-9 and '-'. alcoved makes it (32 hexadecimal digits); the others only
// check it.
#pragma once

#include <string>
#include <string_view>

#include "api/text_field.hpp"
#include "support/result.hpp"

namespace alcove::api {

class VmId {
  public:
    using Field = TextField<64>;

    static Result<VmId> parse(std::string_view text);  // ErrorCode::InvalidArgument
    static Result<VmId> parse(const Field& field);     // ErrorCode::InvalidMessage

    const std::string& text() const { return text_; }
    Field field() const { return Field::of(text_); }
    auto operator<=>(const VmId&) const = default;

  private:
    explicit VmId(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

}  // namespace alcove::api

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "support/system.hpp"

namespace alcove::cli {

// Until the other end closes, or breaks.
inline std::string read_to_end(const Fd& fd) {
    std::string text;
    Bytes buffer(65536);
    while (true) {
        const auto transfer = sys::read_some(fd, buffer);
        if (!transfer || transfer->bytes == 0) return text;
        text += as_text(ByteView(buffer).first(transfer->bytes));
    }
}

}  // namespace alcove::cli

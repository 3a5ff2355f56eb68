// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "codec/cbor_writer.hpp"

namespace alcove::nsm {

// A request without fields, as a guest sends it.
inline Bytes bare(std::string_view name) {
    codec::cbor::Writer writer;
    writer.text(name);
    return to_bytes(writer.view());
}

}  // namespace alcove::nsm

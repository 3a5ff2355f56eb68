// SPDX-License-Identifier: Apache-2.0
//
// What an enclave's process reads from whoever connects, and what the command line reads from a process.
#include <cstddef>
#include <cstdint>

#include "nitro_cli/wire.hpp"
#include "support/check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace alcove;
    const ByteView bytes(data, size);
    nitro_cli::wire::RequestReader whole;
    const auto request = whole.feed(bytes);
    if (request && *request) {
        nitro_cli::wire::RequestReader again;
        const auto same = again.feed(nitro_cli::wire::encode(**request));
        ALCOVE_CHECK(same && *same && **same == **request, "what is a request can be written and read again");
    }
    static_cast<void>(nitro_cli::wire::decode_message(bytes).has_value());
    return 0;
}

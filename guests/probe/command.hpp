// SPDX-License-Identifier: Apache-2.0
//
// The one line a connection to the probe begins with, as README.md lists them.
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include "probe/pattern.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::probe {

struct Echo {};
struct Sink {};
struct Discard {};
struct Source {
    uint64_t bytes;
    uint64_t seed;
    uint64_t message = Pattern::kChunk;  // bytes of each write, 1..kChunk
};
struct Connect {
    uint32_t port;
    uint64_t bytes;
};
struct Reach {
    uint32_t cid;
    uint32_t port;
};
struct Attest {
    uint64_t documents;  // 1..1000000
};
struct Document {
    Bytes nonce;  // 1..512 bytes
};
struct Orphans {
    uint64_t count;  // 1..1000
};
struct StepClock {
    uint64_t milliseconds;  // 1000..3600000, forwards
};
struct Report {};
struct Exit {
    int code;  // 0..255
};
struct Panic {};
struct PowerOff {};
struct Abort {};

using Command = std::variant<Echo, Sink, Discard, Source, Connect, Reach, Attest, Document, Orphans,
                             StepClock, Report, Exit, Panic, PowerOff, Abort>;

// Without the newline. Words are separated by one space, numbers are decimal.
Result<Command> parse_command(std::string_view line);

}  // namespace alcove::probe

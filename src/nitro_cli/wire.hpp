// SPDX-License-Identifier: Apache-2.0
//
// What nitro-cli and the process that accompanies an enclave say to each other over the Unix socket
// <slot_uid>.sock. It is the original's protocol (aws-nitro-enclaves-cli 1.5.0, src/common/mod.rs), so that
// either tool sees the other's enclaves:
//
//     request:  frame(name of the command), the same again, and for some commands frame(arguments)
//     answer:   for GetEnclaveCID and GetEnclaveFlags a number;
//               otherwise (but not for Terminate) the number 0xEEC0, then frames, each a map of one:
//               {"StdOutMessage": text}, {"StdErrMessage": text}, {"Status": integer}
//
// A number is 8 bytes, little-endian; a frame is the length of a CBOR item as such a number, and the item.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "support/bytes.hpp"
#include "support/fd.hpp"
#include "support/result.hpp"

namespace alcove::nitro_cli::wire {

inline constexpr uint64_t kConfirmation = 0xeec0;

enum class Command { Terminate, Describe, GetEnclaveCid, GetEnclaveFlags, GetEnclaveName, GetIdByName };

struct Request {
    Command command;
    bool metadata = false;  // of Describe
    std::string name = {};  // of GetIdByName

    bool operator==(const Request&) const = default;
};
Bytes encode(const Request& request);

// Collects a request from pieces. InvalidCommand when it is none, or too long.
class RequestReader {
  public:
    // The request once it is whole; nothing is taken after that.
    Result<std::optional<Request>> feed(ByteView piece);

  private:
    Bytes bytes_;
};

Bytes encode_number(uint64_t number);
enum class Stream { Out, Err };
Bytes encode_message(Stream stream, std::string_view text);
Bytes encode_status(int status);

// What came before the end of the connection.
struct Answer {
    std::string out;
    std::optional<int> status;
};
Result<uint64_t> read_number(const Fd& socket);
// Until the end. `err` gets messages for standard error as they come. Serde when it is no answer.
Result<Answer> read_answer(const Fd& socket, const std::function<void(std::string_view)>& err);

// One frame's content, for read_answer().
struct Message {
    std::optional<std::pair<Stream, std::string>> text;
    std::optional<int> status;
};
Result<Message> decode_message(ByteView item);

}  // namespace alcove::nitro_cli::wire

// SPDX-License-Identifier: Apache-2.0
//
// How a program is run over one byte stream: records, each an 8-byte header and a payload. The first record
// from the client is Start; the last from the server is Exit or Failed. A stream that ends without one
// means that the other side is gone: the server then hangs up the program.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "support/bytes.hpp"
#include "support/endian.hpp"
#include "support/result.hpp"

namespace alcove::embedded {

enum class RecordKind : uint8_t {
    // client -> server
    Start = 1,     // ExecRequest, encoded
    Input = 2,     // bytes for standard input
    InputEnd = 3,  // end of standard input
    Resize = 4,    // WindowSize
    Signal = 5,    // le32: signal number
    // server -> client
    Output = 16,  // bytes of standard output, or of the terminal
    Errors = 17,  // bytes of standard error
    Exit = 18,    // le32: exit code, 128 + n for signal n
    Failed = 19,  // text: the program could not be started
};

struct RecordHeader {
    uint8_t kind = 0;
    std::array<uint8_t, 3> zero{};
    Le32 length;
};
static_assert(sizeof(RecordHeader) == 8 && alignof(RecordHeader) == 1);

struct WindowSize {
    Le16 rows;
    Le16 columns;
};
static_assert(sizeof(WindowSize) == 4);

inline constexpr size_t kMaxRecord = 32 * 1024;  // payload; also bounds a Start, hence a command line

struct ExecRequest {
    std::vector<std::string> arguments;    // the first is the program, looked up in the host's PATH
    std::vector<std::string> environment;  // "NAME=value", on top of the host's own
    bool terminal = false;                 // run on a pty; output and errors then come as one
    uint16_t rows = 24;
    uint16_t columns = 80;
};

// ErrorCode::LimitExceeded when it does not fit one record; ErrorCode::InvalidArgument for an empty command
// or a word with a NUL in it.
Result<Bytes> encode_request(const ExecRequest& request);
Result<ExecRequest> decode_request(ByteView payload);

void append_record(Bytes& out, RecordKind kind, ByteView payload);

struct Record {
    RecordKind kind;
    ByteView payload;  // in the reader: valid until its next call
};

// Cuts a byte stream into records.
class RecordReader {
  public:
    void append(ByteView bytes);
    Result<std::optional<Record>> next();

  private:
    Bytes bytes_;
    size_t begin_ = 0;
};

}  // namespace alcove::embedded

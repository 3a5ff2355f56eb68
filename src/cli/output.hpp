// SPDX-License-Identifier: Apache-2.0
//
// Where a command's words go: results on standard output, everything else on standard error, so that results
// can be piped. With --json the result is one object, and so is an error.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "codec/json.hpp"
#include "support/error.hpp"

namespace alcove::cli {

using codec::json::Json;

// The outside of a call: the process's descriptors, or strings in tests.
struct Streams {
    std::function<void(std::string_view)> out;
    std::function<void(std::string_view)> err;
    bool out_is_terminal = false;
    bool err_is_terminal = false;

    // A guest's bytes for standard output: made harmless where a terminal shows them.
    std::string shown(std::string_view bytes) const;

    static Streams of_process();
};

class Output {
  public:
    Output(Streams streams, bool json, bool quiet)
        : streams_(std::move(streams)), json_(json), quiet_(quiet) {}

    bool json() const { return json_; }
    // Progress is for eyes only.
    bool shows_progress() const { return !quiet_ && !json_; }
    const Streams& streams() const { return streams_; }

    void text(std::string_view text) const { streams_.out(text); }
    void line(std::string_view text) const;
    void object(const Json& json) const;
    // One of the two, as the user wants it.
    void result(const Json& json, std::string_view text) const;
    void note(std::string_view text) const;  // on standard error; not with --quiet
    void error(const Error& error) const;

  private:
    Streams streams_;
    bool json_;
    bool quiet_;
};

// InvalidArgument with --json, for commands whose output is somebody else's bytes; `why` says whose.
Result<void> needs_bytes(const Output& output, const std::string& why);

// "error E33 image-section: ...\nremedy: ...\n"
std::string error_text(const Error& error);
Json error_object(const Error& error);

// A guest's bytes made harmless for a terminal: control characters that could move the cursor or change the
// terminal's state become '?'. Newline, return, tab and backspace pass.
std::string for_terminal(std::string_view bytes);
// A text of somebody else's as part of a line of ours: no control character at all.
std::string one_line(std::string_view text);

}  // namespace alcove::cli

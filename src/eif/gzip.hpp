// SPDX-License-Identifier: Apache-2.0
//
// Gzip (RFC 1952) as a stream, with nothing in it but the data: no name, no time.
#pragma once

#include <memory>

#include "eif/sink.hpp"
#include "support/bytes.hpp"
#include "support/result.hpp"

namespace alcove::eif {

class GzipWriter {
  public:
    // `level` is zlib's, 1 to 9.
    static Result<GzipWriter> create(int level, Sink output);
    GzipWriter(GzipWriter&&) noexcept;
    GzipWriter& operator=(GzipWriter&&) noexcept;
    ~GzipWriter();

    Result<void> write(ByteView data);
    Result<void> finish();  // once, at the end

  private:
    struct State;
    explicit GzipWriter(std::unique_ptr<State> state);
    Result<void> run(ByteView data, int flush);

    std::unique_ptr<State> state_;  // zlib keeps a pointer to it
};

}  // namespace alcove::eif

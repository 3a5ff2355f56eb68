// SPDX-License-Identifier: Apache-2.0
//
// zlib's own gzip header has a zero time and no name.
#include "eif/gzip.hpp"

#include <algorithm>
#include <limits>

#include <zlib.h>

#include "support/bits.hpp"
#include "support/check.hpp"

namespace alcove::eif {

namespace {

constexpr int kGzipWindow = 15 + 16;  // the largest window, with gzip's header and trailer
constexpr int kMemoryLevel = 8;       // zlib's default

}  // namespace

struct GzipWriter::State {
    explicit State(Sink sink) : output(std::move(sink)), buffer(256_KiB) {}
    ~State() { ::deflateEnd(&stream); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    Sink output;
    Bytes buffer;
    z_stream stream{};
};

GzipWriter::GzipWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
GzipWriter::GzipWriter(GzipWriter&&) noexcept = default;
GzipWriter& GzipWriter::operator=(GzipWriter&&) noexcept = default;
GzipWriter::~GzipWriter() = default;

Result<GzipWriter> GzipWriter::create(int level, Sink output) {
    if (level < 1 || level > 9) return fail(ErrorCode::InvalidArgument, "a gzip level is 1 to 9");
    auto state = std::make_unique<State>(std::move(output));
    const int status =
        ::deflateInit2(&state->stream, level, Z_DEFLATED, kGzipWindow, kMemoryLevel, Z_DEFAULT_STRATEGY);
    if (status != Z_OK) return fail(ErrorCode::OutOfMemory, "zlib can not start to compress");
    return GzipWriter(std::move(state));
}

Result<void> GzipWriter::run(ByteView data, int flush) {
    z_stream& stream = state_->stream;
    int status = Z_OK;
    do {
        const auto count = std::min<size_t>(data.size(), std::numeric_limits<uInt>::max());
        stream.next_in = const_cast<Bytef*>(data.data());  // zlib does not write to it
        stream.avail_in = static_cast<uInt>(count);
        stream.next_out = state_->buffer.data();
        stream.avail_out = static_cast<uInt>(state_->buffer.size());
        status = ::deflate(&stream, flush);
        ALCOVE_CHECK(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR,
                     "zlib's state is intact");
        data = data.subspan(count - stream.avail_in);
        TRY(state_->output(ByteView(state_->buffer).first(state_->buffer.size() - stream.avail_out)));
    } while (!data.empty() || (flush == Z_FINISH && status != Z_STREAM_END));
    return {};
}

Result<void> GzipWriter::write(ByteView data) {
    if (data.empty()) return {};
    return run(data, Z_NO_FLUSH);
}

Result<void> GzipWriter::finish() {
    return run({}, Z_FINISH);
}

}  // namespace alcove::eif

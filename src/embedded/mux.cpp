// SPDX-License-Identifier: Apache-2.0
#include "embedded/mux.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace alcove::embedded {

Mux::~Mux() {
    const Error gone(ErrorCode::ConnectionLost, "the connection to the embedded host was lost");
    auto streams = std::exchange(streams_, {});
    for (auto& [id, stream] : streams)
        if (stream.endpoint) stream.endpoint->closed(&gone);
}

// ---- local side -----------------------------------------------------------------------------------------

Result<StreamId> Mux::open(const std::string& target,
                           const std::function<std::unique_ptr<StreamEndpoint>(StreamId)>& make) {
    ALCOVE_CHECK(role_ == Role::Opener, "only the opener opens streams");
    if (target.empty() || target.size() > kMaxTarget)
        return fail(ErrorCode::InvalidArgument, "a stream's target has 1 to 4096 bytes");
    if (streams_.size() >= kMaxStreams)
        return fail(ErrorCode::LimitExceeded,
                    "the embedded host already serves " + std::to_string(kMaxStreams) + " connections");
    if (last_id_ == std::numeric_limits<StreamId>::max())
        return fail(ErrorCode::LimitExceeded, "this session has no stream numbers left");
    const StreamId id = ++last_id_;
    Stream& stream = streams_[id];
    stream.target = target;
    stream.announce = true;
    stream.endpoint = make(id);
    queue_control(id, stream);
    queue_ready(id, stream);
    wake_();
    return id;
}

void Mux::sendable(StreamId id) {
    const auto at = streams_.find(id);
    if (at == streams_.end()) return;
    queue_ready(id, at->second);
    wake_();
}

void Mux::consumed(StreamId id, size_t bytes) {
    const auto at = streams_.find(id);
    if (at == streams_.end()) return;
    Stream& stream = at->second;
    ALCOVE_CHECK(bytes <= stream.held, "an endpoint consumes only what was delivered");
    stream.held -= static_cast<uint32_t>(bytes);
    stream.owed += static_cast<uint32_t>(bytes);
    if (credit_due(stream)) {
        queue_control(id, stream);
        wake_();
    }
}

void Mux::reset(StreamId id, Error reason) {
    const auto at = streams_.find(id);
    if (at == streams_.end() || !at->second.endpoint) return;
    Stream& stream = at->second;
    retired_.push_back(std::move(stream.endpoint));
    retired_.back()->closed(&reason);
    stream.reset = std::make_unique<Error>(std::move(reason));
    queue_control(id, stream);
    wake_();
}

// ---- what came over the wire ----------------------------------------------------------------------------

Result<void> Mux::receive(const Frame& frame) {
    retired_.clear();
    if (frame.type == FrameType::Open) return accept_stream(frame);
    const auto at = streams_.find(frame.stream);
    if (at == streams_.end() || at->second.reset) {
        // Frames that were under way when the stream was reset are ordinary; a number that never was is not.
        if (frame.stream == 0 || frame.stream > last_id_)
            return fail(ErrorCode::InvalidMessage, "a frame names a stream that was never opened");
        // The other side's Reset crossed ours: it has forgotten the stream, and needs none from us.
        if (at != streams_.end() && frame.type == FrameType::Reset) streams_.erase(at);
        return {};
    }
    switch (frame.type) {
        case FrameType::Open:
            break;  // handled above
        case FrameType::Opened:
            if (role_ == Role::Acceptor || at->second.established || at->second.announce)
                return fail(ErrorCode::InvalidMessage, "a stream was accepted that was not being opened");
            at->second.established = true;
            at->second.endpoint->opened();
            return {};
        case FrameType::Data:
            return take_data(at, frame.payload);
        case FrameType::Credit:
            return take_credit(at, frame.payload);
        case FrameType::Shutdown:
            if (at->second.peer_shutdown || !at->second.established)
                return fail(ErrorCode::InvalidMessage, "a stream was ended that was not open");
            at->second.peer_shutdown = true;
            if (credit_due(at->second)) queue_control(at->first, at->second);
            at->second.endpoint->peer_shutdown();
            retire_if_finished(frame.stream);
            return {};
        case FrameType::Reset:
            take_reset(at, frame.payload);
            return {};
    }
    return {};
}

Result<void> Mux::accept_stream(const Frame& frame) {
    if (role_ != Role::Acceptor) return fail(ErrorCode::InvalidMessage, "the accepting side opened a stream");
    if (frame.stream <= last_id_) return fail(ErrorCode::InvalidMessage, "a stream number was used twice");
    if (streams_.size() >= kMaxStreams) return fail(ErrorCode::LimitExceeded, "too many streams were opened");
    const StreamId id = last_id_ = frame.stream;
    auto endpoint = accept_(id, std::string(as_text(frame.payload)));
    Stream& stream = streams_[id];
    if (endpoint) {
        stream.endpoint = std::move(endpoint).value();
        stream.announce = stream.established = true;
        queue_ready(id, stream);
    } else {
        stream.reset = std::make_unique<Error>(std::move(endpoint).error());
    }
    queue_control(id, stream);
    return {};
}

Result<void> Mux::take_data(Streams::iterator at, ByteView payload) {
    Stream& stream = at->second;
    if (!stream.established || stream.peer_shutdown)
        return fail(ErrorCode::InvalidMessage, "data came for a stream that was not open");
    if (payload.size() > stream.allowance)
        return fail(ErrorCode::InvalidMessage, "more data came than the window allows");
    stream.allowance -= static_cast<uint32_t>(payload.size());
    stream.held += static_cast<uint32_t>(payload.size());
    stream.endpoint->deliver(payload);
    return {};
}

Result<void> Mux::take_credit(Streams::iterator at, ByteView payload) {
    Stream& stream = at->second;
    const uint32_t bytes =
        read_object<CreditPayload>(payload)->bytes;  // the length was checked with the header
    if (bytes == 0 || bytes > stream.unacknowledged)
        return fail(ErrorCode::InvalidMessage, "credit came for bytes that were never sent");
    stream.unacknowledged -= bytes;
    stream.credit += bytes;
    queue_ready(at->first, stream);
    retire_if_finished(at->first);
    return {};
}

void Mux::take_reset(Streams::iterator at, ByteView payload) {
    const auto code = static_cast<ErrorCode>(static_cast<uint16_t>(read_object<ResetPayload>(payload)->code));
    const Error reason(code, std::string(as_text(payload.subspan(sizeof(ResetPayload)))));
    retire(at, &reason);
}

// ---- what goes out --------------------------------------------------------------------------------------

bool Mux::credit_due(const Stream& stream) const {
    // A quarter of the window keeps the sender busy with few frames; at the end every byte is acknowledged.
    return stream.owed >= kWindow / 4 || (stream.peer_shutdown && stream.owed > 0);
}

void Mux::queue_control(StreamId id, Stream& stream) {
    if (std::exchange(stream.in_control, true)) return;
    control_.push_back(id);
}

void Mux::queue_ready(StreamId id, Stream& stream) {
    if (stream.in_ready || stream.send_ended || stream.credit == 0 || !stream.endpoint) return;
    stream.in_ready = true;
    ready_.push_back(id);
}

void Mux::produce(Bytes& out, size_t limit) {
    retired_.clear();
    while (out.size() < limit && has_output()) {
        // Control frames first: they are short, and they let the other side go on.
        auto& queue = control_.empty() ? ready_ : control_;
        const StreamId id = queue.front();
        const bool control = &queue == &control_;
        queue.pop_front();
        if (control) {
            produce_control(id, out);
        } else {
            produce_data(id, out);
        }
    }
}

void Mux::produce_control(StreamId id, Bytes& out) {
    const auto at = streams_.find(id);
    if (at == streams_.end()) return;
    Stream& stream = at->second;
    stream.in_control = false;
    if (std::exchange(stream.announce, false)) {
        if (role_ == Role::Opener) {
            append_frame(out, FrameType::Open, id, as_byte_view(stream.target));
            stream.target.clear();
        } else if (!stream.reset) {
            append_frame(out, FrameType::Opened, id, {});
        }
    }
    if (stream.reset) {
        Bytes payload(sizeof(ResetPayload));
        const ResetPayload code{.code = static_cast<uint16_t>(stream.reset->code())};
        const auto code_bytes = object_bytes(code);
        std::copy(code_bytes.begin(), code_bytes.end(), payload.begin());
        const std::string text = stream.reset->to_string().substr(0, kMaxReason);
        payload.insert(payload.end(), text.begin(), text.end());
        append_frame(out, FrameType::Reset, id, payload);
        streams_.erase(at);
        return;
    }
    if (credit_due(stream)) {
        const CreditPayload credit{.bytes = stream.owed};
        append_frame(out, FrameType::Credit, id, object_bytes(credit));
        stream.allowance += std::exchange(stream.owed, 0);
    }
    if (stream.send_ended && !std::exchange(stream.shutdown_sent, true))
        append_frame(out, FrameType::Shutdown, id, {});
    retire_if_finished(id);
}

void Mux::produce_data(StreamId id, Bytes& out) {
    const auto at = streams_.find(id);
    if (at == streams_.end()) return;
    Stream& stream = at->second;
    stream.in_ready = false;
    if (!stream.endpoint || stream.credit == 0) return;

    const size_t start = out.size();
    const size_t most = std::min<size_t>(stream.credit, kMaxPayload);
    out.resize(start + sizeof(FrameHeader) + most);
    const auto pulled = stream.endpoint->pull(MutableByteView(out).subspan(start + sizeof(FrameHeader)));
    out.resize(start + (pulled.state == StreamEndpoint::Pull::Data ? sizeof(FrameHeader) + pulled.bytes : 0));
    switch (pulled.state) {
        case StreamEndpoint::Pull::Later:
            return;
        case StreamEndpoint::Pull::End:
            stream.send_ended = true;
            queue_control(id, stream);
            return;
        case StreamEndpoint::Pull::Data:
            break;
    }
    ALCOVE_CHECK(pulled.bytes >= 1 && pulled.bytes <= most, "an endpoint fills at most what it was given");
    FrameHeader header;
    header.type = static_cast<uint8_t>(FrameType::Data);
    header.length = static_cast<uint16_t>(pulled.bytes);
    header.stream = id;
    const auto head = object_bytes(header);
    std::copy(head.begin(), head.end(), out.begin() + static_cast<std::ptrdiff_t>(start));
    stream.credit -= static_cast<uint32_t>(pulled.bytes);
    stream.unacknowledged += static_cast<uint32_t>(pulled.bytes);
    queue_ready(id, stream);
}

// ---- the end of a stream --------------------------------------------------------------------------------

void Mux::retire_if_finished(StreamId id) {
    const auto at = streams_.find(id);
    if (at == streams_.end()) return;
    const Stream& stream = at->second;
    const bool sent_all = stream.shutdown_sent && stream.unacknowledged == 0;
    const bool got_all = stream.peer_shutdown && stream.held == 0 && stream.owed == 0;
    if (sent_all && got_all && !stream.reset) retire(at, nullptr);
}

void Mux::retire(Streams::iterator at, const Error* reason) {
    auto endpoint = std::move(at->second.endpoint);
    streams_.erase(at);  // queue entries that name it are skipped
    if (!endpoint) return;
    retired_.push_back(std::move(endpoint));
    retired_.back()->closed(reason);
}

}  // namespace alcove::embedded

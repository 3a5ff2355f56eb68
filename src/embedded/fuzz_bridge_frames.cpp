// SPDX-License-Identifier: Apache-2.0
//
// Foreign bytes for a bridge session in its running state, in either role, in reads of varying size. What is
// looked for: crashes, checks that fail, streams beyond the limit.
#include <algorithm>
#include <string>

#include "embedded/session.hpp"

namespace {

using namespace alcove;
using namespace alcove::embedded;

class EchoEndpoint : public StreamEndpoint {
  public:
    EchoEndpoint(Mux& mux, StreamId id) : mux_(mux), id_(id) {}
    Pulled pull(MutableByteView into) override {
        if (waiting_.empty()) return {.state = ended_ ? Pull::End : Pull::Later};
        const size_t count = std::min(into.size(), waiting_.size());
        std::copy_n(waiting_.begin(), count, into.begin());
        waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(count));
        mux_.consumed(id_, count);
        return {.state = Pull::Data, .bytes = count};
    }
    void deliver(ByteView bytes) override {
        ALCOVE_CHECK(waiting_.size() + bytes.size() <= kWindow, "no more than a window is ever delivered");
        waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
        if (bytes[0] == 0xee) {
            mux_.reset(id_, Error(ErrorCode::Cancelled, "asked for"));
        } else {
            mux_.sendable(id_);
        }
    }
    void peer_shutdown() override {
        ended_ = true;
        mux_.sendable(id_);
    }
    void closed(const Error*) override {}

  private:
    Mux& mux_;
    StreamId id_;
    Bytes waiting_;
    bool ended_ = false;
};

void attack(ByteView input, Mux::Role role, size_t portion) {
    Mux* self = nullptr;
    Mux mux(
        role,
        [&](StreamId id, const std::string& target) -> Result<std::unique_ptr<StreamEndpoint>> {
            if (target == "no") return fail(ErrorCode::NotFound, "refused");
            return std::make_unique<EchoEndpoint>(*self, id);
        },
        [] {});
    self = &mux;
    if (role == Mux::Role::Opener)
        for (int i = 0; i < 3; ++i)
            static_cast<void>(
                mux.open("t", [&](StreamId id) { return std::make_unique<EchoEndpoint>(mux, id); })
                    .has_value());
    FrameReader reader;
    Bytes out;
    while (!input.empty()) {
        const auto space = reader.space();
        const size_t count = std::min({space.size(), input.size(), portion});
        std::copy_n(input.begin(), count, space.begin());
        reader.commit(count);
        input = input.subspan(count);
        for (auto frame = reader.next();; frame = reader.next()) {
            if (!frame) return;
            if (!frame->has_value()) break;
            if (!mux.receive(**frame)) return;
        }
        out.clear();
        mux.produce(out, kMaxFrame);
        ALCOVE_CHECK(out.size() <= 2 * kMaxFrame, "output is bounded");
        ALCOVE_CHECK(mux.stream_count() <= kMaxStreams, "streams are bounded");
    }
}

// The greeting's search, and the fall from running back to it.
void greet(ByteView input, Session::Role role) {
    Session session(
        role, Session::Callbacks{
                  .accept = [](StreamId, const std::string&) -> Result<std::unique_ptr<StreamEndpoint>> {
                      return fail(ErrorCode::NotFound, "refused");
                  },
                  .wake = [] {},
                  .changed = [](Session::State) {},
              });
    session.restart();
    Bytes out;
    while (!input.empty()) {
        const auto space = session.space();
        const size_t count = std::min(space.size(), input.size());
        std::copy_n(input.begin(), count, space.begin());
        session.received(count);
        input = input.subspan(count);
        out.clear();
        session.produce(out, kMaxFrame);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 2) return 0;
    const ByteView input(data + 2, size - 2);
    const size_t portion = 1 + data[1] * size_t{64};
    switch (data[0] % 4) {
        case 0:
            attack(input, Mux::Role::Acceptor, portion);
            break;
        case 1:
            attack(input, Mux::Role::Opener, portion);
            break;
        case 2:
            greet(input, Session::Role::Outer);
            break;
        default:
            greet(input, Session::Role::Inner);
            break;
    }
    return 0;
}

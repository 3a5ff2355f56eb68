// SPDX-License-Identifier: Apache-2.0
#include "probe/service.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

#include <unistd.h>

#include "key_service/hex.hpp"
#include "probe/clock_step.hpp"
#include "probe/command.hpp"
#include "probe/digest.hpp"
#include "probe/machine_end.hpp"
#include "probe/nsm_message.hpp"
#include "probe/orphans.hpp"
#include "probe/pattern.hpp"
#include "vsock/sockets.hpp"

namespace alcove::probe {

namespace {

constexpr size_t kBufferBytes = 65536;
constexpr size_t kLongestLine = 4096;
constexpr size_t kNonceBytes = 32;
constexpr std::chrono::seconds kPatienceWithInit(10);
constexpr std::chrono::seconds kPatienceWithClock(150);  // the init looks at it once a minute

Result<void> write_pattern(Channel& channel, const Source& source) {
    const Pattern pattern(source.seed);
    for (uint64_t sent = 0; sent < source.bytes;) {
        const ByteView chunk = pattern.at(sent).first(std::min(source.message, source.bytes - sent));
        TRY(channel.write(chunk));
        sent += chunk.size();
    }
    channel.end_writing();
    return {};
}

Bytes request_with(const Bytes& nonce) {
    return encode_attestation_request({.user_data = {}, .nonce = nonce, .public_key = {}});
}

Result<Reply> attestation(secure_module::SecureModule& module, ByteView request) {
    const Bytes bytes = TRY(module.ask(request));
    auto reply = TRY(decode_reply(bytes));
    if (reply.name != "Attestation") return fail(ErrorCode::InvalidMessage, reply.to_string());
    return reply;
}

class Executor {
  public:
    Executor(Channel& channel, const Surroundings& surroundings)
        : channel_(channel), surroundings_(surroundings) {}

    Result<void> operator()(Echo) {
        Bytes buffer(kBufferBytes);
        for (;;) {
            const size_t count = TRY(channel_.read(buffer));
            if (count == 0) break;
            TRY(channel_.write(ByteView(buffer).first(count)));
        }
        channel_.end_writing();
        return {};
    }

    Result<void> operator()(Sink) {
        Bytes buffer(kBufferBytes);
        Digest digest(Digest::Kind::Sha256);
        uint64_t bytes = 0;
        for (;;) {
            const size_t count = TRY(channel_.read(buffer));
            if (count == 0) break;
            digest.add(ByteView(buffer).first(count));
            bytes += count;
        }
        return write_line(std::to_string(bytes) + " " + key_service::to_hex(digest.finish()));
    }

    Result<void> operator()(Discard) {
        Bytes buffer(kBufferBytes);
        uint64_t bytes = 0;
        for (;;) {
            const size_t count = TRY(channel_.read(buffer));
            if (count == 0) break;
            bytes += count;
        }
        return write_line(std::to_string(bytes));
    }

    Result<void> operator()(Source source) { return write_pattern(channel_, source); }

    Result<void> operator()(Connect connect) {
        Fd socket = TRY(surroundings_.connect(kParentCid, connect.port));
        Channel parent = Channel::over_socket(std::move(socket));
        TRY(write_pattern(parent, {.bytes = connect.bytes, .seed = connect.port}));
        const std::string answer = TRY(parent.read_line(kLongestLine));
        return write_line(answer);
    }

    Result<void> operator()(Reach reach) {
        const Fd socket = TRY(surroundings_.connect(reach.cid, reach.port));
        return write_line("reached");
    }

    Result<void> operator()(Attest attest) {
        const auto module = TRY(surroundings_.open_module());
        const Bytes request = request_with(Bytes(kNonceBytes, 0x5a));
        const auto begin = std::chrono::steady_clock::now();
        for (uint64_t i = 0; i < attest.documents; ++i)
            TRY(attestation(*module, request));
        const auto elapsed =
            std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
        return write_line(std::to_string(attest.documents) + " " + std::to_string(elapsed.count()));
    }

    Result<void> operator()(const Document& document) {
        const auto module = TRY(surroundings_.open_module());
        const Reply reply = TRY(attestation(*module, request_with(document.nonce)));
        const Value* encoded = TRY(reply.fields.field("document", Value::Kind::Bytes));
        return write_line(key_service::to_hex(encoded->bytes));
    }

    Result<void> operator()(Orphans orphans) {
        const size_t left = TRY(orphans_left(orphans.count, kPatienceWithInit));
        return write_line(std::to_string(orphans.count) + " " + std::to_string(left));
    }

    Result<void> operator()(StepClock step) {
        const auto taken =
            TRY(time_until_put_right(std::chrono::milliseconds(step.milliseconds), kPatienceWithClock));
        if (!taken) return fail(ErrorCode::Timeout, "nobody put the clock right");
        return write_line(std::to_string(taken->count()));
    }

    Result<void> operator()(Report) { return channel_.write(as_byte_view(surroundings_.report)); }

    Result<void> operator()(Exit exit) { _exit(exit.code); }
    Result<void> operator()(Abort) { std::abort(); }
    Result<void> operator()(Panic) { return panic_machine(); }
    Result<void> operator()(PowerOff) { return power_off_machine(); }

    Result<void> write_line(const std::string& line) { return channel_.write(as_byte_view(line + "\n")); }

  private:
    Channel& channel_;
    const Surroundings& surroundings_;
};

}  // namespace

Result<void> serve(Channel& channel, const Surroundings& surroundings) {
    Executor executor(channel, surroundings);
    const auto run = [&]() -> Result<void> {
        const std::string line = TRY(channel.read_line(kLongestLine));
        const Command command = TRY(parse_command(line));
        return std::visit(executor, command);
    };
    Result<void> outcome = run();
    // In `echo` and `source` it comes as one more line of the stream, which their checksums show.
    if (!outcome) static_cast<void>(executor.write_line("FAILED " + outcome.error().to_string()));
    return outcome;
}

}  // namespace alcove::probe

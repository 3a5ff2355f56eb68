// SPDX-License-Identifier: Apache-2.0
#include "probe/command.hpp"

#include <charconv>
#include <limits>
#include <string>
#include <vector>

#include "key_service/hex.hpp"

namespace alcove::probe {

namespace {

std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    for (;;) {
        const size_t space = line.find(' ');
        words.push_back(line.substr(0, space));
        if (space == std::string_view::npos) return words;
        line.remove_prefix(space + 1);
    }
}

Result<uint64_t> parse_number(std::string_view word, uint64_t most) {
    uint64_t number = 0;
    const char* const end = word.data() + word.size();
    const auto [stopped, error] = std::from_chars(word.data(), end, number);
    if (error != std::errc() || stopped != end || number > most)
        return fail(ErrorCode::TextMalformed, "not a number from 0 to " + std::to_string(most));
    return number;
}

constexpr uint64_t kMostDocuments = 1000000;
constexpr size_t kLongestNonce = 512;
constexpr uint64_t kMostOrphans = 1000;
constexpr uint64_t kShortestStep = 1000;
constexpr uint64_t kLongestStep = 3600000;
constexpr uint64_t kAny = std::numeric_limits<uint64_t>::max();

}  // namespace

Result<Command> parse_command(std::string_view line) {
    const std::vector<std::string_view> words = words_of(line);
    const std::string_view name = words.front();
    const size_t arguments = words.size() - 1;
    if (name == "echo" && arguments == 0) return Command(Echo{});
    if (name == "sink" && arguments == 0) return Command(Sink{});
    if (name == "discard" && arguments == 0) return Command(Discard{});
    if (name == "report" && arguments == 0) return Command(Report{});
    if (name == "panic" && arguments == 0) return Command(Panic{});
    if (name == "poweroff" && arguments == 0) return Command(PowerOff{});
    if (name == "abort" && arguments == 0) return Command(Abort{});
    if (name == "exit" && arguments == 1) {
        const uint64_t code = TRY(parse_number(words[1], 255));
        return Command(Exit{static_cast<int>(code)});
    }
    if (name == "attest" && arguments == 1) {
        const uint64_t documents = TRY(parse_number(words[1], kMostDocuments));
        if (documents == 0) return fail(ErrorCode::InvalidArgument, "there is no rate of no documents");
        return Command(Attest{.documents = documents});
    }
    if (name == "document" && arguments == 1) {
        auto nonce = TRY(key_service::from_hex(words[1]));
        if (nonce.empty() || nonce.size() > kLongestNonce)
            return fail(ErrorCode::InvalidArgument,
                        "a nonce has 1 to " + std::to_string(kLongestNonce) + " bytes");
        return Command(Document{std::move(nonce)});
    }
    if (name == "orphans" && arguments == 1) {
        const uint64_t count = TRY(parse_number(words[1], kMostOrphans));
        if (count == 0) return fail(ErrorCode::InvalidArgument, "nobody is no orphan");
        return Command(Orphans{.count = count});
    }
    if (name == "step-clock" && arguments == 1) {
        const uint64_t milliseconds = TRY(parse_number(words[1], kLongestStep));
        if (milliseconds < kShortestStep)
            return fail(ErrorCode::InvalidArgument, "so short a step is not seen");
        return Command(StepClock{.milliseconds = milliseconds});
    }
    if (name == "source" && (arguments == 2 || arguments == 3)) {
        Source source{};
        source.bytes = TRY(parse_number(words[1], kAny));
        source.seed = TRY(parse_number(words[2], kAny));
        if (arguments == 3) source.message = TRY(parse_number(words[3], Pattern::kChunk));
        if (source.message == 0) return fail(ErrorCode::InvalidArgument, "messages of nothing have no end");
        return Command(source);
    }
    if (name == "connect" && arguments == 2) {
        const uint64_t port = TRY(parse_number(words[1], std::numeric_limits<uint32_t>::max()));
        const uint64_t bytes = TRY(parse_number(words[2], kAny));
        return Command(Connect{.port = static_cast<uint32_t>(port), .bytes = bytes});
    }
    if (name == "reach" && arguments == 2) {
        const uint64_t cid = TRY(parse_number(words[1], std::numeric_limits<uint32_t>::max()));
        const uint64_t port = TRY(parse_number(words[2], std::numeric_limits<uint32_t>::max()));
        return Command(Reach{.cid = static_cast<uint32_t>(cid), .port = static_cast<uint32_t>(port)});
    }
    return fail(ErrorCode::InvalidArgument, "no such command, or another number of arguments");
}

}  // namespace alcove::probe

// SPDX-License-Identifier: Apache-2.0
#include "cli/output.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/progress.hpp"
#include "cli/table.hpp"
#include "cli/tree.hpp"

namespace alcove::cli {
namespace {

struct Words {
    std::string out;
    std::string err;
    std::mutex mutex;  // progress writes from its own thread

    Streams streams(bool terminal = false) {
        return {.out = [this](std::string_view text) { out += text; },
                .err =
                    [this](std::string_view text) {
                        const std::lock_guard lock(mutex);
                        err += text;
                    },
                .out_is_terminal = terminal,
                .err_is_terminal = terminal};
    }
};

TEST(Output, AnErrorHasCodeNameMessageAndRemedy) {
    Words words;

    Output(words.streams(), false, false).error(Error(ErrorCode::ImageSection, "no kernel").context("a.eif"));

    EXPECT_EQ(
        words.err,
        "error E33 image-section: a.eif: no kernel\nremedy: `alcove image describe` shows the sections; "
        "build the image anew.\n");
    EXPECT_EQ(words.out, "");
}

TEST(Output, WithJsonAnErrorIsAnObjectAsWell) {
    Words words;

    Output(words.streams(), true, false).error(Error(ErrorCode::ImageCrc, "bad"));

    const auto json = codec::json::parse(words.out).value();
    EXPECT_EQ(json["error"]["code"], "E32");
    EXPECT_EQ(json["error"]["name"], "image-crc");
    EXPECT_EQ(json["error"]["message"], "bad");
    EXPECT_NE(words.err.find("error E32"), std::string::npos);
}

TEST(Output, AResultIsTextOrJson) {
    Words text;
    Words json;

    Output(text.streams(), false, false).result({{"a", 1}}, "a is 1\n");
    Output(json.streams(), true, false).result({{"a", 1}}, "a is 1\n");

    EXPECT_EQ(text.out, "a is 1\n");
    EXPECT_EQ(json.out, "{\n  \"a\": 1\n}\n");
}

TEST(Output, AGuestCannotSteerTheTerminal) {
    EXPECT_EQ(for_terminal("plain\ttext\r\n"), "plain\ttext\r\n");
    EXPECT_EQ(for_terminal("\x1b[2J\x07\x7f\x9b"
                           "1m"),
              "?[2J???1m");
    EXPECT_EQ(one_line("name\nsignature  good"), "name signature  good");
    EXPECT_EQ(for_terminal(std::string_view("\0x", 2)), "?x");
}

TEST(Progress, ShortWorkIsNotMentioned) {
    Words words;
    const Output output(words.streams(true), false, false);
    { const Progress progress(output, "working"); }

    EXPECT_EQ(words.err, "");
}

TEST(Progress, LongWorkOnATerminalIsOneLineThatGoesAway) {
    Words words;
    const Output output(words.streams(true), false, false);
    {
        Progress progress(output, "working",
                          {.quiet_for = std::chrono::milliseconds(1),
                           .terminal_every = std::chrono::milliseconds(5),
                           .plain_every = std::chrono::hours(1)});
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        progress.update("still working");
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }

    EXPECT_NE(words.err.find("\r\033[Kworking (0 s)"), std::string::npos);
    EXPECT_NE(words.err.find("still working"), std::string::npos);
    EXPECT_EQ(words.err.find('\n'), std::string::npos);
    EXPECT_TRUE(words.err.ends_with("\r\033[K"));
}

TEST(Progress, ElsewhereItIsALineNowAndThen) {
    Words words;
    const Output output(words.streams(false), false, false);
    {
        const Progress progress(output, "working",
                                {.quiet_for = std::chrono::milliseconds(1),
                                 .terminal_every = std::chrono::milliseconds(1),
                                 .plain_every = std::chrono::hours(1)});
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }

    EXPECT_EQ(words.err, "working (0 s)\n");
}

TEST(Progress, QuietAndJsonAreSilent) {
    Words words;
    const Output quiet(words.streams(true), false, true);
    const Output json(words.streams(true), true, false);
    {
        const Progress::Pace pace{.quiet_for = std::chrono::milliseconds(0),
                                  .terminal_every = std::chrono::milliseconds(1),
                                  .plain_every = std::chrono::milliseconds(1)};
        const Progress one(quiet, "working", pace);
        const Progress other(json, "working", pace);
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }

    EXPECT_EQ(words.err, "");
}

TEST(Progress, TimesAndSharesReadWell) {
    EXPECT_EQ(elapsed_text(std::chrono::milliseconds(1999)), "1 s");
    EXPECT_EQ(elapsed_text(std::chrono::minutes(3) + std::chrono::seconds(5)), "3 min 5 s");
    EXPECT_EQ(percent_text(1, 0), "0 %");
    EXPECT_EQ(percent_text(1, 3), "33 %");
    EXPECT_EQ(percent_text(5, 3), "100 %");
    EXPECT_EQ(percent_text(UINT64_MAX, UINT64_MAX), "100 %");
}

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
    EXPECT_EQ(render_table({{"A", "B"}, {"long cell", "x"}, {"y"}}), "A          B\nlong cell  x\ny\n");
    EXPECT_EQ(render_fields({{"a", "1"}, {"bcd", "2"}}, 2), "  a    1\n  bcd  2\n");
    EXPECT_EQ(render_table({}), "");
}

TEST(Table, SizesReadWell) {
    EXPECT_EQ(size_text(0), "0 bytes");
    EXPECT_EQ(size_text(512ULL << 20), "512 MiB");
    EXPECT_EQ(size_text(1536ULL << 20), "1.5 GiB");
    EXPECT_EQ(size_text(UINT64_MAX), "15.9 EiB");
}

TEST(Tree, PartsAreFoundByPath) {
    const Json tree = {{"counters", {{"kvm_runs", {{"total", 7}}}}}, {"list", {10, 20}}};

    EXPECT_EQ(**find_part(tree, "counters.kvm_runs.total"), 7);
    EXPECT_EQ(**find_part(tree, "list.1"), 20);
    EXPECT_EQ(*find_part(tree, "").value(), tree);
    const auto missing = find_part(tree, "counters.exits");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code(), ErrorCode::NotFound);
    EXPECT_NE(missing.error().message().find("there is kvm_runs"), std::string::npos);
    EXPECT_FALSE(find_part(tree, "list.2"));
    EXPECT_FALSE(find_part(tree, "list.x"));
    EXPECT_FALSE(find_part(tree, "counters.kvm_runs.total.deeper"));
}

TEST(Tree, EveryLeafIsALine) {
    const Json tree = {{"state", "running"},      {"ready", true},
                       {"reason", nullptr},       {"cpus", {2, 3}},
                       {"empty", Json::object()}, {"lease", {{"nodes", {{{"node", 0}}, {{"node", 1}}}}}}};

    EXPECT_EQ(render_tree(tree),
              "state: running\nready: yes\nreason: -\ncpus: 2 3\nempty: -\nlease:\n  nodes:\n    0:\n"
              "      node: 0\n    1:\n      node: 1\n");
    EXPECT_EQ(render_tree(7), "7\n");
    EXPECT_EQ(render_tree({1, 2}), "1 2\n");
    EXPECT_EQ(render_tree(Json::object()), "-\n");
}

}  // namespace
}  // namespace alcove::cli

// SPDX-License-Identifier: Apache-2.0
#include "probe/command.hpp"

#include <gtest/gtest.h>

namespace alcove::probe {
namespace {

template <typename T>
T parsed(std::string_view line) {
    const auto command = parse_command(line);
    return std::get<T>(command.value());
}

TEST(ProbeCommand, PlainCommandsAreTheirNames) {
    EXPECT_TRUE(std::holds_alternative<Echo>(parse_command("echo").value()));
    EXPECT_TRUE(std::holds_alternative<Sink>(parse_command("sink").value()));
    EXPECT_TRUE(std::holds_alternative<Discard>(parse_command("discard").value()));
    EXPECT_TRUE(std::holds_alternative<Report>(parse_command("report").value()));
    EXPECT_TRUE(std::holds_alternative<Panic>(parse_command("panic").value()));
    EXPECT_TRUE(std::holds_alternative<PowerOff>(parse_command("poweroff").value()));
    EXPECT_TRUE(std::holds_alternative<Abort>(parse_command("abort").value()));
}

TEST(ProbeCommand, ArgumentsAreTakenInOrder) {
    EXPECT_EQ(parsed<Source>("source 104857600 7").bytes, 104857600u);
    EXPECT_EQ(parsed<Source>("source 104857600 7").seed, 7u);
    EXPECT_EQ(parsed<Source>("source 104857600 7").message, 65536u);
    EXPECT_EQ(parsed<Source>("source 104857600 7 64").message, 64u);
    EXPECT_EQ(parsed<Connect>("connect 4294967295 12").port, 4294967295u);
    EXPECT_EQ(parsed<Connect>("connect 4294967295 12").bytes, 12u);
    EXPECT_EQ(parsed<Reach>("reach 16 6000").cid, 16u);
    EXPECT_EQ(parsed<Reach>("reach 16 6000").port, 6000u);
    EXPECT_EQ(parsed<Exit>("exit 255").code, 255);
    EXPECT_EQ(parsed<Attest>("attest 1000000").documents, 1000000u);
    EXPECT_EQ(parsed<Document>("document 00fF").nonce, Bytes({0x00, 0xff}));
    EXPECT_EQ(parsed<Orphans>("orphans 1000").count, 1000u);
    EXPECT_EQ(parsed<StepClock>("step-clock 3600000").milliseconds, 3600000u);
}

TEST(ProbeCommand, NumbersOutOfRangeAreRefused) {
    EXPECT_FALSE(parse_command("exit 256"));
    EXPECT_FALSE(parse_command("exit -1"));
    EXPECT_FALSE(parse_command("attest 0"));
    EXPECT_FALSE(parse_command("attest 1000001"));
    EXPECT_FALSE(parse_command("document 0"));
    EXPECT_FALSE(parse_command("document " + std::string(1026, '0')));
    EXPECT_FALSE(parse_command("orphans 0"));
    EXPECT_FALSE(parse_command("orphans 1001"));
    EXPECT_FALSE(parse_command("step-clock 999"));
    EXPECT_FALSE(parse_command("step-clock 3600001"));
    EXPECT_FALSE(parse_command("connect 4294967296 1"));
    EXPECT_FALSE(parse_command("reach 4294967296 1"));
    EXPECT_FALSE(parse_command("reach 16"));
    EXPECT_FALSE(parse_command("source 18446744073709551616 1"));
    EXPECT_FALSE(parse_command("source 1x 1"));
    EXPECT_FALSE(parse_command("source  1"));
    EXPECT_FALSE(parse_command("source 1 2 0"));
    EXPECT_FALSE(parse_command("source 1 2 65537"));
}

TEST(ProbeCommand, OtherWordsAndCountsAreRefused) {
    EXPECT_FALSE(parse_command(""));
    EXPECT_FALSE(parse_command("Echo"));
    EXPECT_FALSE(parse_command("echo 1"));
    EXPECT_FALSE(parse_command("exit"));
    EXPECT_FALSE(parse_command("source 1 2 3 4"));
    EXPECT_FALSE(parse_command("echo\r"));
}

}  // namespace
}  // namespace alcove::probe

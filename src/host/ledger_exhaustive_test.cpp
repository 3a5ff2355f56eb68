// SPDX-License-Identifier: Apache-2.0
//
// Every sequence of a few demands and returns on small hosts, checked after each step against what must
// always hold: no core has two owners, nothing is created or lost, and a refusal changes nothing.
#include <array>
#include <map>
#include <optional>
#include <set>

#include <gtest/gtest.h>

#include "host/ledger.hpp"
#include "support/bits.hpp"

namespace alcove::host {
namespace {

Capacity small_host() {
    // Node 0: the host's core (one thread pair), one core of two threads. Node 1: a pair and a single.
    Capacity capacity;
    const auto core = [](uint32_t cpu, uint32_t node, uint32_t threads) {
        Core made{.id = CoreId{cpu}, .node = NumaNode{node}, .package = 0, .cpus = {}};
        for (uint32_t i = 0; i < threads; ++i)
            made.cpus.push_back(CpuId{cpu + i});
        return made;
    };
    capacity.reserve = {core(0, 0, 2)};
    capacity.nodes = {
        {.node = NumaNode{0}, .lendable = {core(2, 0, 2)}, .small_bytes = 4_MiB, .huge_bytes = 2_MiB},
        {.node = NumaNode{1},
         .lendable = {core(4, 1, 2), core(6, 1, 1)},
         .small_bytes = 2_MiB,
         .huge_bytes = 4_MiB}};
    return capacity;
}

struct Totals {
    std::set<uint32_t> cores;
    uint64_t small = 0;
    uint64_t huge = 0;
    bool core_twice = false;
    bool operator==(const Totals&) const = default;
};

Totals totals_of(const std::vector<NodeAccount>& account) {
    Totals totals;
    for (const auto& node : account) {
        for (const auto& line : node.lines) {
            totals.small += line.small_bytes;
            totals.huge += line.huge_bytes;
            for (const auto core : line.cores)
                totals.core_twice |= !totals.cores.insert(core.value).second;
        }
    }
    return totals;
}

struct Choice {
    uint32_t vcpus;
    uint64_t bytes;
    PageSize pages;
    CpuPolicy policy;
    Placement placement;
};

std::vector<Choice> all_choices() {
    std::vector<Choice> choices;
    for (const uint32_t vcpus : {1U, 2U, 3U, 5U})
        for (const uint64_t bytes : {2_MiB, 4_MiB, 6_MiB})
            for (const auto pages : {PageSize::Size4K, PageSize::Size2M})
                for (const auto placement : {Placement::OneNode, Placement::AnyNodes})
                    choices.push_back({vcpus, bytes, pages, CpuPolicy::Dedicated, placement});
    choices.push_back({4, 2_MiB, PageSize::Size4K, CpuPolicy::Shared, Placement::AnyNodes});
    return choices;
}

Demand to_demand(const Choice& choice, const std::string& owner) {
    return {.owner = owner,
            .vcpus = choice.vcpus,
            .memory_bytes = choice.bytes,
            .pages = choice.pages,
            .policy = choice.policy,
            .placement = choice.placement};
}

void expect_meets(const Grant& grant, const Choice& choice) {
    ASSERT_EQ(grant.memory_bytes(), choice.bytes);
    ASSERT_LE(choice.placement == Placement::OneNode ? grant.nodes.size() : 1, 1U);
    ASSERT_GE(grant.cpus.size(), choice.policy == CpuPolicy::Dedicated ? choice.vcpus : 1U);
    for (const auto& node : grant.nodes)
        ASSERT_EQ(node.memory_bytes % 2_MiB, 0U);
    for (const auto cpu : grant.cpus)
        ASSERT_TRUE(choice.policy == CpuPolicy::Shared || cpu.value >= 2);
}

TEST(LedgerExhaustive, EveryTripleOfDemandsKeepsTheBook) {
    const auto choices = all_choices();
    auto ledger = Ledger::create(small_host()).value();
    const Totals whole = totals_of(ledger.account());
    ASSERT_EQ(whole.cores, (std::set<uint32_t>{0, 2, 4, 6}));
    size_t granted = 0;
    size_t refused = 0;

    for (const auto& first : choices) {
        for (const auto& second : choices) {
            for (const auto& third : choices) {
                std::vector<Lease> leases;
                size_t number = 0;
                for (const auto* choice : std::array{&first, &second, &third}) {
                    const auto before = ledger.grants();
                    auto lease = ledger.reserve(to_demand(*choice, "vm" + std::to_string(number++)));
                    ASSERT_EQ(totals_of(ledger.account()), whole);
                    if (lease) {
                        ++granted;
                        expect_meets(lease->grant(), *choice);
                        leases.push_back(std::move(*lease));
                    } else {
                        ++refused;
                        ASSERT_EQ(ledger.grants(), before);
                    }
                }
                // Returned in another order than taken.
                while (!leases.empty()) {
                    leases.erase(leases.begin());
                    ASSERT_EQ(totals_of(ledger.account()), whole);
                }
                ASSERT_TRUE(ledger.grants().empty());
            }
        }
    }
    EXPECT_GT(granted, 1000U);
    EXPECT_GT(refused, 1000U);
}

TEST(LedgerExhaustive, ADemandIsRefusedOnlyWhenItCannotBeMet) {
    // On an empty ledger, compared with sums worked out by hand from small_host().
    for (const auto& choice : all_choices()) {
        auto ledger = Ledger::create(small_host()).value();
        const bool huge = choice.pages == PageSize::Size2M;
        const bool shared = choice.policy == CpuPolicy::Shared;
        const auto fits = [&](uint32_t threads, uint64_t bytes) {
            return (shared || choice.vcpus <= threads) && choice.bytes <= bytes;
        };
        const bool in_one = fits(2, huge ? 2_MiB : 4_MiB) || fits(3, huge ? 4_MiB : 2_MiB);
        const bool in_all = fits(5, 6_MiB);
        const bool expected = choice.placement == Placement::OneNode ? in_one : in_all;

        EXPECT_EQ(ledger.reserve(to_demand(choice, "vm")).has_value(), expected)
            << choice.vcpus << " vCPUs, " << choice.bytes / 1_MiB << " MiB, " << to_string(choice.pages);
    }
}

TEST(LedgerExhaustive, WhatWasGrantedCanBeAdoptedByAFreshLedger) {
    for (const auto& choice : all_choices()) {
        auto ledger = Ledger::create(small_host()).value();
        const auto lease = ledger.reserve(to_demand(choice, "vm"));
        if (!lease) continue;
        auto restarted = Ledger::create(small_host()).value();

        const auto adopted = restarted.adopt(lease->grant());

        ASSERT_TRUE(adopted) << adopted.error().to_string();
        EXPECT_EQ(adopted->grant(), lease->grant());
        EXPECT_EQ(restarted.grants(), ledger.grants());
    }
}

}  // namespace
}  // namespace alcove::host

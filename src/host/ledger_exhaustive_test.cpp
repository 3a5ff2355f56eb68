// SPDX-License-Identifier: Apache-2.0
//
// Every sequence of a few demands and returns on small hosts, checked after each step against what must
// always hold: no core has two owners, nothing is created or lost, and a refusal changes nothing.
#include <algorithm>
#include <array>
#include <optional>

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
    uint32_t cores = 0;  // a bit for each
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
            for (const auto core : line.cores) {
                totals.core_twice |= (totals.cores & (1U << core.value)) != 0;
                totals.cores |= 1U << core.value;
            }
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
    // What no node has is refused whatever else there is: once is enough.
    const auto no_node_has = [](uint32_t vcpus, uint64_t bytes) { return vcpus > 3 || bytes > 4_MiB; };
    for (const uint32_t vcpus : {1U, 2U, 3U, 5U})
        for (const uint64_t bytes : {2_MiB, 4_MiB, 6_MiB})
            for (const auto pages : {PageSize::Size4K, PageSize::Size2M})
                for (const auto placement : {Placement::OneNode, Placement::AnyNodes})
                    if (placement == Placement::AnyNodes || !no_node_has(vcpus, bytes))
                        choices.push_back({vcpus, bytes, pages, CpuPolicy::Dedicated, placement});
    choices.push_back({5, 6_MiB, PageSize::Size4K, CpuPolicy::Dedicated, Placement::OneNode});
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

class LedgerExhaustive : public testing::Test {
  protected:
    // What a demand gives; with it, and after a refusal, the book has to be right.
    std::optional<Lease> reserve(const Choice& choice, const std::string& owner) {
        const auto before = ledger.grants();
        auto lease = ledger.reserve(to_demand(choice, owner));
        check_totals();
        if (lease) {
            ++granted;
            expect_meets(lease->grant(), choice);
            return std::move(*lease);
        }
        ++refused;
        EXPECT_EQ(ledger.grants(), before);
        return std::nullopt;
    }
    void give_back(std::optional<Lease>& lease) {
        if (!lease) return;
        lease.reset();
        check_totals();
    }
    void check_totals() { ASSERT_EQ(totals_of(ledger.account()), whole); }

    Ledger ledger = Ledger::create(small_host()).value();
    const Totals whole = totals_of(ledger.account());
    size_t granted = 0;
    size_t refused = 0;
};

TEST_F(LedgerExhaustive, EveryTripleOfDemandsKeepsTheBook) {
    const auto choices = all_choices();
    ASSERT_EQ(whole.cores, 0b1010101U);

    for (const auto& first : choices) {
        auto one = reserve(first, "vm0");
        for (const auto& second : choices) {
            auto two = reserve(second, "vm1");
            for (const auto& third : choices) {
                auto three = reserve(third, "vm2");
                give_back(three);
                ASSERT_FALSE(HasFailure());
            }
            give_back(two);
        }
        give_back(one);
        ASSERT_TRUE(ledger.grants().empty());
    }
    EXPECT_GT(granted, 1000U);
    EXPECT_GT(refused, 1000U);
}

// Of demands of every kind, so few that all orders can be tried.
TEST_F(LedgerExhaustive, WhatIsReturnedInAnyOrderIsThereAgain) {
    auto choices = all_choices();
    for (size_t i = 0; i < choices.size(); ++i)
        choices.erase(choices.begin() + static_cast<ptrdiff_t>(i),
                      choices.begin() + static_cast<ptrdiff_t>(std::min(i + 4, choices.size() - 1)));
    ASSERT_EQ(choices.back().policy, CpuPolicy::Shared);

    for (const auto& first : choices)
        for (const auto& second : choices)
            for (const auto& third : choices) {
                std::array<size_t, 3> order = {0, 1, 2};
                do {
                    std::array leases = {reserve(first, "vm0"), reserve(second, "vm1"),
                                         reserve(third, "vm2")};
                    for (const size_t index : order)
                        give_back(leases.at(index));
                    ASSERT_TRUE(ledger.grants().empty());
                    ASSERT_FALSE(HasFailure());
                } while (std::ranges::next_permutation(order).found);
            }
    EXPECT_GT(granted, 1000U);
    EXPECT_GT(refused, 1000U);
}

TEST_F(LedgerExhaustive, ADemandIsRefusedOnlyWhenItCannotBeMet) {
    // On an empty ledger, compared with sums worked out by hand from small_host().
    for (const auto& choice : all_choices()) {
        const bool huge = choice.pages == PageSize::Size2M;
        const bool shared = choice.policy == CpuPolicy::Shared;
        const auto fits = [&](uint32_t threads, uint64_t bytes) {
            return (shared || choice.vcpus <= threads) && choice.bytes <= bytes;
        };
        const bool in_one = fits(2, huge ? 2_MiB : 4_MiB) || fits(3, huge ? 4_MiB : 2_MiB);
        const bool in_all = fits(5, 6_MiB);
        const bool expected = choice.placement == Placement::OneNode ? in_one : in_all;

        EXPECT_EQ(reserve(choice, "vm").has_value(), expected)
            << choice.vcpus << " vCPUs, " << choice.bytes / 1_MiB << " MiB, " << to_string(choice.pages);
    }
}

TEST_F(LedgerExhaustive, WhatWasGrantedCanBeAdoptedByAFreshLedger) {
    for (const auto& choice : all_choices()) {
        const auto lease = reserve(choice, "vm");
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

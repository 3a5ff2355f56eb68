// SPDX-License-Identifier: Apache-2.0
//
// sgx_guest COMMAND_LINE EPC_MIB [BUDGET_MIB]: the unikernel (guests/unikernel), once to its end, in a
// machine with one vCPU; with a budget its EPC is oversubscribed. ALCOVE_TEST_FILES says where it is.
//
// Prints what the unikernel said, and `mark RUNS EXITS EVICTIONS` for each of its marks: returns of KVM_RUN,
// asynchronous exits, and EPC pages that left memory, all so far.
#include <cstdio>
#include <cstdlib>

#include "tests/machine/test_machine.hpp"

namespace {

using namespace alcove;

Result<void> run(const char* command_line, uint64_t epc_mib, std::optional<uint64_t> budget_mib) {
    sgx::Configuration configuration;
    configuration.epc = {{.size_mib = epc_mib}};
    configuration.budget_mib = budget_mib;
    if (budget_mib) configuration.population = sgx::Population::Oversubscribe;
    const auto done = TRY(tests::run_guest({.kernel = "unikernel.elf",
                                            .command_line = command_line,
                                            .with_rng = false,
                                            .sgx = configuration,
                                            .deadline = std::chrono::seconds(600)}));
    std::fputs(done.console.c_str(), stdout);
    for (const auto& mark : done.marks)
        std::printf("mark %llu %llu %llu\n", static_cast<unsigned long long>(mark.runs),
                    static_cast<unsigned long long>(mark.asynchronous_exits),
                    static_cast<unsigned long long>(mark.evictions));
    if (!done.end) return fail(ErrorCode::Timeout, "the guest does not come to its end");
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3 && argc != 4) {
        std::fputs("usage: sgx_guest COMMAND_LINE EPC_MIB [BUDGET_MIB]\n", stderr);
        return 2;
    }
    const auto number = [](const char* text) { return std::strtoull(text, nullptr, 10); };
    const auto result =
        run(argv[1], number(argv[2]), argc == 4 ? std::optional<uint64_t>(number(argv[3])) : std::nullopt);
    if (!result) std::fprintf(stderr, "sgx_guest: %s\n", result.error().to_string().c_str());
    return result ? 0 : 1;
}

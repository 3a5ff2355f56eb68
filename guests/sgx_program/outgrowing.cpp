// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "sgx_program/program.hpp"

namespace alcove::sgx_program {

namespace {

constexpr int kEnclaves = 3;
constexpr uint64_t kPages = 740;  // of each: more than 8 MiB together
constexpr uint64_t kAgain = 100;

}  // namespace

// EAUG and EACCEPT as the pages are touched, EWB when there are no more, ELDU when the first are wanted
// again.
void outgrow_epc() {
    std::vector<Enclave> enclaves;
    uint64_t grown = 0;
    for (int i = 0; i < kEnclaves; ++i) {
        enclaves.push_back(build(false));
        grown += enclaves.back().grow(kPages);
    }
    line("grown", grown);
    line("swept", enclaves.front().sweep_grown(kAgain));
}

}  // namespace alcove::sgx_program
